"""The same jobs without Snakemake, and the logger that says how long is left."""

import subprocess
import sys

import pytest
from conftest import Project

TARGETS = ("qiw/tab01", "efvae/tab02", "implicit/fig01")
TABLES = ("qiw/tab01_bounds.csv", "efvae/tab02_newsgroups.csv", "implicit/tab_density_ratio.csv")


def run(project: Project, *words: str) -> subprocess.CompletedProcess[str]:
    environment = project.environment | {"PYTHONPATH": str(project.folder / "src")}
    return subprocess.run(
        [sys.executable, "-m", "elbogap", "run", "--scale", "smoke", *words], cwd=project.folder,
        env=environment, timeout=900, check=False, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip


@pytest.mark.dag
def test_jobs_run_one_by_one_give_the_bytes_that_snakemake_gives(smoke: Project, project: Project) -> None:
    """In calls of little time, each of which goes on where the last one stopped."""
    words = ["--targets", *TARGETS, "--out", "elsewhere", "--time-budget", "20"]
    for _ in range(30):
        answer = run(project, *words)
        if answer.returncode != 75:
            break
    assert answer.returncode == 0, answer.stdout[-3000:]
    for table in TABLES:
        ours = (project.folder / "elsewhere/results/smoke" / table).read_bytes()
        assert ours == (smoke.folder / "results/smoke" / table).read_bytes(), table
    again = run(project, *words)
    assert again.returncode == 0
    assert "_train" not in again.stdout


@pytest.mark.dag
def test_the_logger_says_how_many_jobs_are_left(project: Project) -> None:
    answer = project.snakemake("--logger", "elbogap", "--", "figures/smoke/qiw/fig01_posterior_2d.png")
    assert answer.returncode == 0, answer.stdout[-3000:]
    assert "elbogap: 1 of 2 jobs done" in answer.stdout
    assert "elbogap: 2 of 2 jobs done" in answer.stdout


@pytest.mark.dag
def test_the_gpu_profile_grants_one_gpu(project: Project) -> None:
    words = ("-n", "-p", "--", "results/smoke/efvae/celeba/ground_truth.npz")
    assert "--gpus 0" in project.snakemake(*words).stdout
    assert "--gpus 1" in project.snakemake("--workflow-profile", "profiles/gpu", *words).stdout
