"""The DAG itself: what one command builds, what an edit reruns, and what survives a kill."""

import json
import os
import re
import signal
import socket
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from browser import check_html
from conftest import ROOT, Project
from test_html_report import expected_words

from elbogap.places import Places
from elbogap.report.lineage import jobs

pytestmark = pytest.mark.dag


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
        assert {"git", "code_digest", "package_digest", "settings", "inputs", "versions", "run"} <= set(
            record
        ), path


@pytest.mark.parametrize("target", ["all", "products", "paper_scale", "claims", "report"])
def test_every_target_plans_without_running(project: Project, target: str) -> None:
    jobs = project.jobs(target)
    assert sum(jobs.values()) > 3


def test_a_single_figure_needs_only_its_own_jobs(project: Project) -> None:
    jobs = project.jobs("figures/smoke/mapa/fig06_posterior_absolute_value.pdf")
    assert jobs == {"mapa_surrogate": 1, "mapa_posteriors": 1, "mapa_fig06_posterior_absolute_value": 1}


def test_a_comment_reruns_nothing_and_a_constant_what_depends_on_it(built: Project) -> None:
    path = "src/elbogap/inference/importance.py"
    source = built.folder / path
    source.write_text(f"# a comment\n{source.read_text(encoding='utf-8')}", encoding="utf-8")
    assert built.jobs("smoke") == {}
    source.write_text(f"{source.read_text(encoding='utf-8')}\nCHANGED = 1\n", encoding="utf-8")
    jobs = set(built.jobs("smoke"))
    assert "qiw_posterior_2d" in jobs
    assert not any(job.startswith("mapa_") for job in jobs), jobs


def test_a_changed_setting_reruns_its_experiment_alone(built: Project) -> None:
    built.edit("config/smoke.yaml", "stand_ins: always", "stand_ins: always  # by design")
    assert built.jobs("smoke") == {}
    config = (built.folder / "config/smoke.yaml").read_text(encoding="utf-8")
    batch = re.search(r"(passes:\n(?:    .*\n)*?    seed: )(\d+)", config)
    assert batch, "mapa.passes has no seed"
    built.edit("config/smoke.yaml", batch.group(0), f"{batch.group(1)}{int(batch.group(2)) + 1}")
    jobs = set(built.jobs("smoke"))
    assert "mapa_passes" in jobs
    assert not jobs & {"mapa_surrogate", "mapa_posteriors", "qiw_posterior_2d"}, jobs


def test_scales_do_not_disturb_each_other(built: Project) -> None:
    config = (built.folder / "config/smoke.yaml").read_text(encoding="utf-8")
    (built.folder / "config/mine.yaml").write_text(config, encoding="utf-8")
    assert built.jobs("smoke") == {}
    assert built.jobs("results/mine/qiw/tab01_bounds.csv") == {"qiw_posterior_2d": 1}


def test_a_misspelt_key_is_one_clear_line(project: Project) -> None:
    project.edit("config/laptop.yaml", "stand_ins:", "stand_inz:")
    answer = project.snakemake("-n", "all")
    assert answer.returncode != 0
    lines = [line for line in answer.stdout.splitlines() if "stand_inz" in line]
    assert len(lines) == 1
    assert "did you mean 'stand_ins'?" in lines[0]
    assert "Traceback" not in answer.stdout


def test_a_failing_required_claim_breaks_the_build_and_is_named(built: Project) -> None:
    path = built.folder / "paper/qiw/claims.yaml"
    text = path.read_text(encoding="utf-8")
    text += """
  - id: qiw-made-to-fail
    item: "a test"
    statement: "The bound is positive and huge."
    table: qiw/tab01_bounds.csv
    check: {kind: bound, metric: k, lower: 1000000}
    scales:
      smoke: {status: require, tolerance: 0.0}
      laptop: {status: skip}
      paper: {status: skip}
"""
    path.write_text(text, encoding="utf-8")
    answer = built.snakemake("smoke")
    assert answer.returncode != 0
    assert re.search(r"claim qiw-made-to-fail: required at smoke, not reproduced", answer.stdout), (
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


def test_a_run_in_progress_keeps_its_lock(project: Project) -> None:
    target = "results/smoke/data/mnist.json"
    locks, runs = project.folder / ".snakemake/locks", project.folder / ".snakemake/elbogap-runs"
    for folder in (locks, runs):
        folder.mkdir(parents=True)
    (locks / "0.output.lock").write_text(f"{target}\n", encoding="utf-8")
    record = runs / "elsewhere-4711.json"
    record.write_text('{"host": "elsewhere", "pid": 4711, "started": 0}', encoding="utf-8")
    answer = project.snakemake(target)
    assert "cannot be locked" in answer.stdout
    assert "elbogap: process 4711 on elsewhere (since " in answer.stdout
    dead = {"host": socket.gethostname(), "pid": os.getpid(), "started": 0}  # another of this number
    record.write_text(json.dumps(dead), encoding="utf-8")
    answer = project.snakemake(target)
    assert answer.returncode == 0, answer.stdout[-3000:]
    assert list(runs.iterdir()) == []


@pytest.mark.parametrize("unlocked", [False, True], ids=["as it is", "unlocked by hand"])
def test_what_a_killed_run_left_alive_overwrites_nothing(project: Project, unlocked: bool) -> None:
    """Snakemake alone is killed; a setting changes, and a new run comes while the old job still works."""
    target = "results/smoke/qiw/mnist_classifier_accuracy.csv"
    table = project.folder / target
    claim = table.with_name(f".{table.name}.writer")
    deadline = time.monotonic() + 600
    with subprocess.Popen(
        project.command(target), cwd=project.folder, env=project.environment, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    ) as run:  # fmt: skip
        while not claim.exists():
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        job = psutil.Process(json.loads(claim.read_text(encoding="utf-8"))["pid"])
        job.suspend()
        run.kill()
    try:
        project.edit(
            "config/smoke.yaml", "images: 2000, epochs: 10, seed: 0}", "images: 2000, epochs: 10, seed: 7}"
        )
        answer = project.snakemake(target)
        assert answer.returncode != 0
        assert "cannot be locked" in answer.stdout
        assert re.search(
            rf"process {job.pid} on .* still writes it, though its run was killed", answer.stdout
        )
        if unlocked:
            assert project.snakemake("--unlock").returncode == 0
            answer = project.snakemake(target)
            assert answer.returncode != 0
            assert re.search(
                rf"^elbogap: .*: process {job.pid} on .* writes it; wait", answer.stdout, re.MULTILINE
            )
    finally:
        job.resume()
    psutil.wait_procs([job], timeout=600)
    assert table.exists() != unlocked  # once another run has come, the job writes nothing any more
    answer = project.snakemake(target)
    assert answer.returncode == 0, answer.stdout[-3000:]
    record = json.loads(table.with_name(f"{table.name}.provenance.json").read_text(encoding="utf-8"))
    assert record["settings"]["seed"] == 7
    assert project.jobs(target) == {}
    assert not [path for path in table.parent.iterdir() if path.name.startswith(".")]
