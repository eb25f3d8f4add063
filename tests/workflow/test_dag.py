"""The DAG: what is planned, and whose results are whose when runs meet or are killed."""

import json
import os
import re
import subprocess
import time

import psutil
import pytest
from conftest import Project

from elbogap.writer import claim_of, sole

pytestmark = pytest.mark.dag


def test_every_target_plans_without_running(project: Project) -> None:
    targets = ["all", "products", "paper_scale", "claims", "report"]
    answer = project.snakemake("-n", "--quiet", "progress", "--", *targets)
    assert answer.returncode == 0, answer.stdout[-3000:]
    planned = re.findall(r"^rule (\w+):\n    input: (.+)$", answer.stdout, re.MULTILINE)
    made = {target: set(files.split(", ")) for target, files in planned if target in targets}
    assert made["claims"] == {"results/laptop/claims.checked"}
    assert made["report"] == {"results/laptop/report.pdf"}
    assert made["products"] == made["all"] - made["claims"] - made["report"] - {"results/laptop/claims.html"}
    assert made["paper_scale"] == {path.replace("/laptop/", "/paper/") for path in made["all"]}
    assert len(made["products"]) > 3
    for message in ("checking the claims at", "typesetting the report of"):
        scales = re.findall(rf"^Job \d+: {message} scale (\w+)$", answer.stdout, re.MULTILINE)
        assert sorted(scales) == ["laptop", "paper"]


def test_a_single_figure_needs_only_its_own_jobs(project: Project) -> None:
    jobs = project.jobs("figures/smoke/mapa/fig06_posterior_absolute_value.pdf")
    assert jobs == {"mapa_surrogate": 1, "mapa_posteriors": 1, "mapa_fig06_posterior_absolute_value": 1}


def test_a_misspelt_key_is_one_clear_line(project: Project) -> None:
    project.edit("config/laptop.yaml", "stand_ins:", "stand_inz:")
    answer = project.snakemake("-n", "all")
    assert answer.returncode != 0
    lines = [line for line in answer.stdout.splitlines() if "stand_inz" in line]
    assert len(lines) == 1
    assert "did you mean 'stand_ins'?" in lines[0]
    assert "Traceback" not in answer.stdout


def test_a_run_in_progress_keeps_its_lock(project: Project) -> None:
    target = "results/smoke/data/mnist.json"
    locks, runs = project.folder / ".snakemake/locks", project.folder / ".snakemake/elbogap-runs"
    for folder in (locks, runs):
        folder.mkdir(parents=True)
    (locks / "0.output.lock").write_text(f"{target}\n", encoding="utf-8")
    record = runs / "another"
    with sole([record]):
        answer = project.snakemake(target)
    assert "cannot be locked" in answer.stdout
    assert f"elbogap: process {os.getpid()} on " in answer.stdout
    claim_of(record).touch()  # as a killed run leaves it
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
        while not (claim.exists() and claim.stat().st_size):
            assert run.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.002)
        job = psutil.Process(int(claim.read_text(encoding="utf-8").split()[0]))
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
