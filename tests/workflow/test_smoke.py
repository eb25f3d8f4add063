"""The whole smoke scale: what one command builds, what an edit reruns, and what survives a kill.

All in one file, which goes to one process of the tests: the run is built once.
"""

import ast
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
from browser import check_html
from conftest import ROOT, Project
from test_html_report import expected_words

from elbogap import modules
from elbogap.claims.specification import load as load_claims
from elbogap.places import Places
from elbogap.report.catalogue import documents, targets
from elbogap.report.lineage import jobs

pytestmark = pytest.mark.dag
IMPORTANCE = "src/elbogap/inference/importance.py"  # qiw depends on it, mapa does not


def test_one_command_builds_the_whole_smoke_scale(smoke: Project) -> None:
    for path in ("claims.csv", "claims.html", "report.pdf"):
        assert (smoke.folder / "results/smoke" / path).stat().st_size > 0
    figures = sorted((smoke.folder / "figures/smoke").rglob("*.pdf"))
    assert figures
    assert all(path.with_suffix(".png").is_file() for path in figures)


def test_smoke_touches_no_data_source(smoke: Project) -> None:
    cache = Path(smoke.environment["ELBOGAP_CACHE"])
    assert not cache.exists() or not any(path.is_file() for path in cache.rglob("*"))
    made = sorted((smoke.folder / "results/smoke/data").glob("*.json"))
    records = [path for path in made if not path.name.endswith(".provenance.json")]
    assert records
    assert {json.loads(path.read_text(encoding="utf-8"))["kind"] for path in records} == {"stand-in"}


def test_every_rule_runs_at_smoke_scale(smoke: Project) -> None:
    listed = re.findall(r"^\w+$", smoke.snakemake("--list-rules").stdout, re.MULTILINE)
    aliases = {"all", "products", "paper_scale", "claims", "report", "data"}
    ran = set(re.findall(r"^Finished jobid: \d+ \(Rule: (\w+)\)", smoke.log, re.MULTILINE))
    assert len(listed) > len(aliases)
    assert set(listed) - aliases - ran == set()


def test_every_job_is_measured(smoke: Project) -> None:
    """The cost table rests on these records; each names its outputs, but for the mere check of the claims."""
    measured = jobs(smoke.folder / "results/smoke/benchmarks")
    ran = re.findall(r"^Finished jobid: \d+ \(Rule: (?!smoke)(\w+)\)", smoke.log, re.MULTILINE)
    assert sorted(job.rule.partition("[")[0] for job in measured) == sorted(ran)
    assert [job.rule for job in measured if not job.outputs] == ["claims_checked"]


def test_a_second_run_does_nothing(smoke: Project) -> None:
    answer = smoke.snakemake("smoke")
    assert "Nothing to be done" in answer.stdout, answer.stdout[-3000:]


def test_every_result_has_its_provenance(smoke: Project) -> None:
    results = smoke.folder / "results/smoke"
    tables = [path for path in results.rglob("*") if path.suffix in {".csv", ".npz"}]
    figures = list((smoke.folder / "figures/smoke").rglob("*.p[dn][fg]"))
    assert tables
    for path in [*tables, *figures]:
        record = json.loads(path.with_name(f"{path.name}.provenance.json").read_text(encoding="utf-8"))
        assert {"git", "code_digest", "settings", "inputs", "versions", "run"} <= set(record), path


def built_targets(project: Project) -> set[str]:
    """`<document>_<target>` of every figure and table that the smoke run made."""
    figures = (project.folder / "figures/smoke").glob("*/fig*.png")
    tables = (project.folder / "results/smoke").glob("*/tab*.csv")
    return {f"{path.parent.name}_{path.stem}" for path in (*figures, *tables)}


def test_captions_and_built_figures_and_tables_agree(smoke: Project) -> None:
    captioned = {
        f"{target.document}_{target.name}"
        for document in documents(ROOT / "paper")
        for target in targets(ROOT / "paper", document.key)
    }
    assert built_targets(smoke) == captioned


def test_every_figure_function_is_drawn(smoke: Project) -> None:
    functions = {
        f"{path.parent.name}_{node.name}"
        for path in ROOT.glob("src/elbogap/papers/*/figures.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("fig")
    }
    assert functions
    assert functions <= built_targets(smoke)


def test_every_experiment_runs(smoke: Project) -> None:
    records = (smoke.folder / "results/smoke").rglob("*.provenance.json")
    ran = {json.loads(path.read_text(encoding="utf-8"))["module"] for path in records}
    assert {modules.experiment_module(name) for name in modules.experiments()} <= ran


def test_every_claim_is_decided_at_smoke_scale(smoke: Project) -> None:
    verdicts = pd.read_csv(smoke.folder / "results/smoke/claims.csv").set_index("id")
    claims = [claim for _, claim in load_claims(ROOT / "paper")]
    assert {claim.id for claim in claims} == set(verdicts.index)
    for claim in claims:
        detail = str(verdicts.loc[claim.id, "detail"])
        undecided = verdicts.loc[claim.id, "verdict"] == "not assessed"
        assert not undecided or "stand-in" in detail, f"{claim.id} is not run at smoke scale: {detail}"


def test_comments_and_other_scales_rerun_nothing(built: Project) -> None:
    config = built.folder / "config/smoke.yaml"
    shutil.copy(config, config.with_name("mine.yaml"))
    built.edit("config/smoke.yaml", "stand_ins: always", "stand_ins: always  # by design")
    built.edit(IMPORTANCE, "", "# a comment\n")
    assert built.jobs("smoke") == {}
    assert built.jobs("results/mine/qiw/tab01_bounds.csv") == {"qiw_posterior_2d": 1}


def test_a_changed_constant_reruns_what_depends_on_it(built: Project) -> None:
    built.edit(IMPORTANCE, "\n\n\n", "\n\n\nCHANGED = 1\n")
    jobs = set(built.jobs("smoke"))
    assert "qiw_posterior_2d" in jobs
    assert not any(job.startswith("mapa_") for job in jobs), jobs


def test_a_changed_setting_reruns_its_experiment_alone(built: Project) -> None:
    config = (built.folder / "config/smoke.yaml").read_text(encoding="utf-8")
    batch = re.search(r"(passes:\n(?:    .*\n)*?    seed: )(\d+)", config)
    assert batch, "mapa.passes has no seed"
    built.edit("config/smoke.yaml", batch.group(0), f"{batch.group(1)}{int(batch.group(2)) + 1}")
    jobs = set(built.jobs("smoke"))
    assert "mapa_passes" in jobs
    assert not jobs & {"mapa_surrogate", "mapa_posteriors", "qiw_posterior_2d"}, jobs


def test_a_failing_required_claim_breaks_the_build_and_is_named(built: Project) -> None:
    path = built.folder / "paper/qiw/claims.yaml"
    text = path.read_text(encoding="utf-8")
    text += """
  - id: qiw-made-to-fail
    item: "a test"
    statement: "The bound is positive and huge."
    table: qiw/tab01_bounds.csv
    check: {kind: bound, metric: k, lower: 1000000}
    nature: identity
    origin: ours
    exact: true
    scales:
      smoke: {status: require, tolerance: 0.0}
      laptop: {status: skip}
      paper: {status: skip}
"""
    path.write_text(text, encoding="utf-8")
    checked = "results/smoke/claims.checked"  # without which neither `smoke` nor `all` ends well
    answer = built.snakemake(checked)
    assert answer.returncode != 0
    assert not (built.folder / checked).exists()
    assert re.search(r"claim qiw-made-to-fail: required at smoke, contradicted", answer.stdout), (
        answer.stdout[-3000:]
    )
    assert "qiw-made-to-fail" in (built.folder / "results/smoke/claims.csv").read_text(encoding="utf-8")


# Every kind of work: fits, ensembles with checkpoints, image models, tables and drawing.
SAMPLE = [
    "results/smoke/mapa/density_circle.csv",
    "figures/smoke/mapa/fig12_nonident_circle.pdf",
    "results/smoke/qiw/tab01_bounds.csv",
    "results/smoke/qiw/tab02_reconstruction.csv",
]


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(project: Project, smoke: Project) -> None:
    process = subprocess.Popen(
        project.command(*SAMPLE), cwd=project.folder, env=project.environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    halfway = sum(project.jobs(*SAMPLE).values()) // 2
    deadline = time.monotonic() + 600
    while len(project.results()) < halfway and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.1)
    assert process.poll() is None, "the run ended before it could be killed"
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    killed = project.results()
    answer = project.snakemake(*SAMPLE)
    assert answer.returncode == 0, answer.stdout[-6000:]
    whole, found = smoke.results(), project.results()
    assert len(found) > len(killed) >= halfway
    assert found == {name: whole[name] for name in found}


@pytest.mark.browser
def test_the_browsable_report_can_be_built_and_read(smoke: Project, tmp_path: Path) -> None:
    made = re.search(
        r"snakemake --cores 1 (--config .*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    answer = smoke.snakemake(*made.group(1).replace("$(SCALE)", "smoke").split())
    assert answer.returncode == 0, answer.stdout[-3000:]
    check_html(smoke.folder / "results/smoke/report.html", expected_words(Places.here()), tmp_path)
