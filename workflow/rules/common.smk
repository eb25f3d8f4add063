# Helpers of the rules; there are no rules here.
import os
import re
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from snakemake.exceptions import WorkflowError

ROOT = Path(workflow.basedir)
PAPER = os.path.relpath(ROOT / "paper")
if "{" in PAPER:
    raise WorkflowError(f"elbogap: Snakemake takes braces in a path for wildcards; rename a folder of {ROOT}")
sys.path.insert(0, str(ROOT / "src"))

from elbogap import warm
from elbogap.claims.specification import tables_needed, texts_needed
from elbogap.modules import experiment_module, figures_module
from elbogap.scales import DOCUMENTS, Scales, section
from elbogap.data.records import record_state
from elbogap.digest import code_digest as code
from elbogap.errors import UserError, did_you_mean
from elbogap.places import visible
from elbogap.report.catalogue import heading
from elbogap.writer import begin_run

# Jobs run `python -m elbogap` with this interpreter and this source tree, installed or not.
for name, first in (("PATH", Path(sys.executable).parent), ("PYTHONPATH", ROOT / "src")):
    os.environ[name] = os.pathsep.join([str(first), *filter(None, [os.environ.get(name)])])

# Snakemake writes to its folder even in a dry run, and ends with a traceback where it cannot.
# A run that was killed leaves Snakemake's lock behind: it is removed if that run is known to have ended.
if workflow.is_main_process:
    records = Path(".snakemake").resolve()
    if not os.access(records if records.exists() else records.parent, os.W_OK):
        raise WorkflowError(f"elbogap: {records}: cannot be written; name another folder with --directory")
    for line in begin_run(Path(".snakemake")):
        print(f"elbogap: {line}", file=sys.stderr)

# Every file config/<scale>.yaml is a scale; these targets stand for one of them: --config scale=smoke
SCALE = config.get("scale", "laptop")
SCALE_IN_WORD = r"(?:^(?:results|figures)/|\bscale=)([^/,]+)"


def scales_asked():
    """The scales that the command line names in a path, a setting or a rule; if there are none, the scale of `all`."""
    scales_of = {"smoke": {"smoke"}, "paper_scale": {"paper"}}
    named = {name for word in sys.argv[1:] for name in scales_of.get(word, re.findall(SCALE_IN_WORD, word))}
    return named & set(CONFIGS.names) or {SCALE}


# A mistake in a scale that is asked for is reported at once; the others are read only if a rule needs them.
try:
    CONFIGS = Scales(ROOT / "config")
    for name in scales_asked():
        CONFIGS[name]
except UserError as error:
    raise WorkflowError(f"elbogap: {error}") from None

# The rows that the documents' files add; rows.smk makes a rule of each.
experiments, figures = [], {}


def products(scale):
    """Every figure and table of all documents at a scale."""
    drawn = [figure_file(name, suffix) for name in figures for suffix in ("pdf", "png")]
    tables = [path for row in experiments for path in row.tables]
    return [path.format(scale=scale) for path in (*drawn, *tables)]


def everything(scale):
    """All that one scale makes: figures, tables, verdicts and the report."""
    folder = f"results/{scale}"
    return [*products(scale), f"{folder}/claims.checked", f"{folder}/claims.html", f"{folder}/report.pdf"]


def refuse_misspelt_targets():
    """End with the nearest target if a word of the command line looks like a target and is none."""
    known = [each.name for each in workflow.rules]
    known += [path for scale in CONFIGS.names for path in everything(scale)]
    for before, word in zip(sys.argv, sys.argv[1:]):
        of_an_option = before == "-d" or (before.startswith("--") and before != "--")
        if of_an_option or word.startswith("-") or "=" in word or word in known or os.path.exists(word):
            continue
        hint = did_you_mean(word, known)
        if hint and not any(each.is_producer(word) for each in workflow.rules):
            raise WorkflowError(f"elbogap: no rule makes {word}{hint}")


def labels(caption):
    """What the browsable report calls a result: the label in its caption file (a path from here), and the scale."""
    label, _ = heading(ROOT / "workflow" / "rules" / caption)
    return {"item": label, "scale": "{scale}"}


def reported(path):
    """A figure or table that the browsable report shows, under its document, with its caption and label."""
    document, name = Path(path).parts[-2], Path(path).stem
    caption = f"../../paper/{document}/captions/{name}.rst"
    return report(path, caption=caption, category=document, labels=labels(caption))


def settings(name):
    """The settings of an experiment, as the JSON that its command line takes."""

    def of_scale(wildcards):
        return section(CONFIGS[wildcards.scale], name).model_dump_json()

    return of_scale


def settings_of_cell(name, wildcard):
    """An experiment's settings with the wildcard's cell alone, so that a new or changed cell reruns no other."""

    def of_cell(wildcards):
        whole = section(CONFIGS[wildcards.scale], name)
        own = {cell: value for cell, value in whole.cells.items() if cell == getattr(wildcards, wildcard)}
        return whole.model_copy(update={"cells": own or whole.cells}).model_dump_json()

    return of_cell


def files_of(document, words):
    """The files of NAME=FILE words: `data/...` of the scale, `paper/...` of the checkout, or the document's."""
    homes = {"data": "results/{scale}", "paper": os.path.relpath(ROOT)}
    found = {}
    for name, _, path in (word.partition("=") for word in words.split()):
        home = homes.get(Path(path).parts[0], f"results/{{scale}}/{document}")
        found[name] = os.path.normpath(f"{home}/{path}")
    return found


def figure_file(name, suffix):
    """Where the figure `<document>.<name>` is drawn."""
    return f"figures/{{scale}}/{name.replace('.', '/')}.{suffix}"


def files(wildcards, input, output, keys=None):
    """The `--inputs`, `--outputs` and `--keys` words of a command, quoted for the shell."""
    words = []
    for option, named in (("--inputs", input), ("--outputs", output), ("--keys", keys or {})):
        pairs = [f"{name}={value}" for name, value in named.items()]
        words += [option, *pairs] if pairs else []
    return shlex.join(words)


@dataclass(frozen=True)
class Experiment:
    """A row of a document's table, of which rows.smk makes a rule.

    Attributes:
        name: `<document>.<experiment>`, which names the rule and its records.
        does: what a job does, its message; it may name wildcards.
        outputs: the document's files, NAME=FILE; `tab*` are products that the browsable report shows.
        inputs: the document's files, records `data/...` of data sets, or files `paper/...` of the checkout.
        found: a function of the scale, the inputs that its settings decide.
        gpu: 1 if it computes on a GPU where one is granted.
        runs: the experiment that it runs, if not the one that names it.
        settings: a function of the wildcards, if not the settings of what it runs.
        keys: by wildcard, what the command calls it, if not the same.
    """

    name: str
    does: str
    outputs: str
    inputs: str = ""
    found: Callable | None = None
    gpu: int = 0
    runs: str = ""
    settings: Callable | None = None
    keys: dict[str, str] = field(default_factory=dict)

    @property
    def document(self):
        return self.name.partition(".")[0]

    @property
    def module(self):
        return self.runs or self.name

    @property
    def wildcards(self):
        """Those of the outputs, but for the scale: they make the cell."""
        return list(dict.fromkeys(re.findall(r"{(\w+)}", self.outputs)))

    @property
    def record(self):
        """The name of a job's log and benchmark, `<document>/<experiment>_<cell>`."""
        cell = [f"{{{name}}}" for name in self.wildcards]
        return "_".join([self.name.replace(".", "/"), *cell])

    def input(self, wildcards):
        words = f"{self.found(wildcards.scale) if self.found else ''} {self.inputs}"
        paths = files_of(self.document, words)
        return {name: path.format(**dict(wildcards.items())) for name, path in paths.items()}

    @property
    def output(self):
        paths = files_of(self.document, self.outputs)
        return {name: reported(path) if path in self.tables else path for name, path in paths.items()}

    @property
    def tables(self):
        paths = files_of(self.document, self.outputs).values()
        return [path for path in paths if Path(path).name.startswith("tab")]

    @property
    def resources(self):
        """A GPU or none, and what else the profile gives each job that asks for one."""
        return {"gpu": 1, **config.get("gpu_job", {})} if self.gpu else {"gpu": 0}

    def files(self, wildcards, input, output):
        """The files of a job and the keys of its cell, as words of the command."""
        keys = {self.keys.get(name, name): getattr(wildcards, name) for name in self.wildcards}
        return files(wildcards, input, output, keys)


def experiment(name, does, **properties):
    """Add a row: see Experiment."""
    experiments.append(Experiment(name, does, **properties))


def figure(name, tables):
    """Add the row of the figure `<document>.<name>`, drawn from the document's files, NAME=FILE."""
    figures[name] = tables


def stand_ins(wildcards):
    """The scale's policy on stand-in data."""
    return CONFIGS[wildcards.scale].stand_ins


def data_state(wildcards):
    """Changes, and so reruns the job, only when a stand-in can now be replaced by the real data set."""
    record = Path(f"results/{wildcards.scale}/data/{wildcards.dataset}.json")
    return record_state(record, wildcards.dataset)


def claim_files(wildcards):
    """The claims as written, the published numbers that they are compared with, and the template of their page."""
    template = os.path.relpath(ROOT / "src/elbogap/claims/page.html.jinja")
    return [*texts_needed(Path(PAPER), wildcards.scale), template]


def claim_tables(wildcards):
    """The tables that the claims of all documents are checked against at a scale."""
    return tables_needed(Path(PAPER), wildcards.scale)


def report_inputs(wildcards):
    """What the report shows: all products and verdicts of the scale, and the texts written by hand."""
    texts = [
        path
        for folder in ("paper", "workflow/report")
        for path in visible(Path(os.path.relpath(ROOT / folder)), "**/*.*")
    ]
    return [*products(wildcards.scale), f"results/{wildcards.scale}/claims.csv", *sorted(map(str, texts))]
