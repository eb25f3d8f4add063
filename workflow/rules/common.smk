# Helpers of the rules; there are no rules here.
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
sys.path.insert(0, str(ROOT / "src"))

from elbogap import digest
from elbogap.claims.specification import tables_needed
from elbogap.config.load import load, scales, section
from elbogap.data.fetch import record_state
from elbogap.errors import UserError

# Jobs run `python -m elbogap` with this interpreter and this source tree, installed or not.
os.environ["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
os.environ["PYTHONPATH"] = os.pathsep.join(
    [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
)

try:
    CONFIGS = {name: load(ROOT / "config" / f"{name}.yaml") for name in scales(ROOT / "config")}
except UserError as error:
    raise WorkflowError(f"elbogap: {error}") from None

# The product of each document, as paths with a {scale} wildcard; the documents' rule files add to it.
targets = {"mapa": [], "qiw": []}


def product(scale):
    """Everything that one scale makes: figures, tables, verdicts and the report."""
    paths = [path for document in targets.values() for path in document]
    paths += ["results/{scale}/claims.checked", "results/{scale}/report.pdf"]
    return [path.format(scale=scale) for path in paths]


def settings(name):
    """The settings of an experiment, as the JSON that its command line takes."""

    def of_scale(wildcards):
        return section(CONFIGS[wildcards.scale], name).model_dump_json()

    return of_scale


def code(*modules):
    """A digest of what the modules mean, with all they import: a changed constant reruns, a comment does not."""
    return digest.code_digest(*modules)


def files(wildcards, input, output):
    """The `--inputs` and `--outputs` words of a command, from the rule's named files."""
    words = []
    for option, named in (("--inputs", input), ("--outputs", output)):
        pairs = [f"{name}={path}" for name, path in named.items()]
        words += [option, *pairs] if pairs else []
    return " ".join(words)


def stand_ins(wildcards):
    """The scale's policy on stand-in data."""
    return CONFIGS[wildcards.scale].stand_ins


def data_state(wildcards):
    """Changes, and so reruns the job, only when a stand-in can now be replaced by the real data set."""
    record = Path(f"results/{wildcards.scale}/data/{wildcards.dataset}.json")
    return record_state(record, wildcards.dataset)
