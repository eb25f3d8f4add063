"""Runs of little time, the logger that says how long is left, and the profile for one GPU."""

import subprocess

import pytest
from conftest import Project

pytestmark = pytest.mark.dag


def test_calls_of_little_time_go_on_and_end_with_the_same_bytes(project: Project) -> None:
    """Without time each call makes one of the two steps of a training, and the third its results."""
    project.edit("config/smoke.yaml", "    batch: 20\n    epochs: 2\n", "    batch: 60\n    epochs: 1\n")
    folder = "results/smoke/efvae/celeba"
    words = ["--keep-going", f"{folder}/ground_truth.npz"]
    said = []
    for _ in range(3):
        answer = subprocess.run(
            project.command(*words), cwd=project.folder, timeout=600, check=False, text=True,
            env=project.environment | {"ELBOGAP_TIME_BUDGET": "0"},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said.append(answer.stdout)
        assert (answer.returncode == 0) == (len(said) == 3), answer.stdout[-3000:]
        assert ("time budget spent; run the same command again" in answer.stdout) == (len(said) < 3)
    assert "rule dataset:" in said[0]
    assert "rule dataset:" not in said[1] + said[2]
    undisturbed = project.snakemake("--directory", "elsewhere", *words)
    assert undisturbed.returncode == 0, undisturbed.stdout[-3000:]
    ours, theirs = (project.folder / place / folder / "ground_truth.npz" for place in ("", "elsewhere"))
    assert ours.read_bytes() == theirs.read_bytes()


def test_the_logger_says_how_many_jobs_are_left(project: Project) -> None:
    answer = project.snakemake("--logger", "elbogap", "--", "figures/smoke/qiw/fig01_posterior_2d.png")
    assert answer.returncode == 0, answer.stdout[-3000:]
    assert "elbogap: 1 of 2 jobs done" in answer.stdout
    assert "elbogap: 2 of 2 jobs done" in answer.stdout


def test_the_gpu_profile_grants_one_gpu(project: Project) -> None:
    words = ("-n", "-p", "--", "results/smoke/efvae/celeba/ground_truth.npz")
    assert "--gpus 0" in project.snakemake(*words).stdout
    assert "--gpus 1" in project.snakemake("--workflow-profile", "profiles/gpu", *words).stdout
