"""The jobs of a scale, as Snakemake plans them: asked, or stored by somebody who had it."""

import importlib.util
import json
import os
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from elbogap import digest, provenance
from elbogap.errors import UserError
from elbogap.plan import jobs
from elbogap.plan.jobs import CHECKOUT, Job
from elbogap.report.lineage import label

PROJECT = digest.SOURCE.parents[1]


def stored(scale: str) -> Path:
    """Where the jobs of a scale are stored for machines without Snakemake."""
    return PROJECT / "workflow" / "plans" / f"{scale}.json"


def made_from(scale: str) -> dict[str, str]:
    """Digests of the files that decide the jobs of a scale."""
    configs = sorted({PROJECT / "config" / f"{scale}.yaml", *(PROJECT / "config").glob("*.yaml")})
    rules = sorted((PROJECT / "workflow" / "rules").glob("*.smk"))
    files = {
        path.relative_to(PROJECT).as_posix(): provenance.sha256(path)
        for path in (*configs, PROJECT / "Snakefile", *rules)
    }
    return files | {"elbogap.config.load": digest.code_digest("elbogap.config.load")}


def jobs_now(scale: str) -> list[Job]:
    """The jobs of a scale: the stored ones if they are up to date, else what Snakemake says.

    Raises:
        UserError: there is no such scale, or its plan is missing or stale and Snakemake is not there.
    """
    path = stored(scale)
    try:
        sources = made_from(scale)
    except FileNotFoundError as error:
        raise UserError(f"no scale '{scale}': {error.filename} is missing") from error
    if path.is_file():
        found, then = jobs.read(path)
        if then == sources:
            return found
        changed = sorted(name for name in {*then, *sources} if then.get(name) != sources.get(name))
        problem = f"{path} is older than {', '.join(changed)}"
    else:
        problem = f"there is no {path}"
    if importlib.util.find_spec("snakemake") is None:
        raise UserError(
            f"{problem}; write it where Snakemake is installed: python -m elbogap plan --scale {scale}"
        )
    return ask(scale)


def ask(scale: str) -> list[Job]:
    """All jobs of a scale but the verdicts and the report, from a dry run in an empty folder.

    A job whose command does not name all files that its rule needs cannot be run by itself and is left out.

    Raises:
        UserError: Snakemake is not there, or finds a mistake.
    """
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "jobs"
        words = ["-n", "--forceall", "--cores", "1", "--quiet", "all", "--directory", folder]
        words += ["--snakefile", str(PROJECT / "Snakefile"), "--config", f"scale={scale}"]
        words += ["--logger", "elbogap-plan", "--logger-elbogap-plan-file", str(file)]
        # a dry run clips resources, and a plan says what a job could use
        words += ["--resources", "gpu=1", "--", "products"]
        answer = subprocess.run(
            [sys.executable, "-m", "snakemake", *words], check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        if answer.returncode:
            last = answer.stdout.strip().splitlines()[-3:]
            raise UserError(f"Snakemake cannot plan scale '{scale}': {' '.join(last)}")
        text = file.read_text(encoding="utf-8").replace(os.path.relpath(PROJECT, folder), CHECKOUT)
        rows = [json.loads(line) for line in text.splitlines()]
    return sorted((job for row in rows if (job := _job(row))), key=lambda job: job.rule)


def _job(row: dict[str, Any]) -> Job | None:
    words = shlex.split(row["shell"] or "", comments=False)
    if words[:3] != ["python", "-m", "elbogap"]:
        return None
    end = next((i for i, word in enumerate(words) if word in (">", "2>&1", "|")), len(words))
    job = Job(
        label(row["rule"], row["wildcards"]), tuple(words[3:end]), row["gpu"] > 0, row["benchmark"] or ""
    )
    return job if set(map(str, job.inputs.values())) == set(row["input"]) and job.outputs else None
