"""The SLURM profile against a running cluster: tests/slurm/node.sh makes one of this machine.

Nothing is installed or started here; without a cluster the tests skip and say what is missing.
"""

import importlib.util
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, Project, copy_project

from elbogap.places import Places
from elbogap.report import catalogue

PROFILES = ROOT / "profiles"


def missing() -> str:
    """What a run on SLURM lacks here, if anything."""
    if shutil.which("sinfo") is None:
        return "no SLURM commands; see tests/slurm/node.sh"
    answer = subprocess.run(["sinfo", "-h", "-o", "%R %a"], capture_output=True, text=True, check=False)
    partitions = answer.stdout.split()
    if answer.returncode or not {"cpu", "gpu"} <= set(partitions):
        return "no SLURM cluster with the partitions cpu and gpu answers; see tests/slurm/node.sh"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "no executor plugin: pip install -e .[slurm]"
    return ""


def profile(name: str) -> dict:
    return yaml.safe_load((PROFILES / name / "profile.yaml").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", ["gpu", "slurm"])
def test_profiles_repeat_the_default_one(name: str) -> None:
    """A workflow profile takes its place; all but the resources is the same."""
    ours = profile(name)
    for key, value in profile("default").items():
        if key != "resources":
            assert ours[key] == value, key


def test_the_slurm_profile_knows_the_rules() -> None:
    """Every rule that may compute on a GPU asks for one, and every drawing is in the group."""
    places, slurm = Places.here(), profile("slurm")
    rules = "".join(
        path.read_text(encoding="utf-8") for path in (places.project / "workflow/rules").glob("*.smk")
    )
    with_gpu = [
        rule.partition(":")[0] for rule in re.split(r"^ *rule ?", rules, flags=re.M) if "gpu=1," in rule
    ]
    assert len(with_gpu) == rules.count("gpu=1,")
    assert set(slurm["set-resources"]) == set(with_gpu)
    targets = catalogue.everything(places.paper / "documents.yaml", places.captions)
    figures = {f"{one.document}_{one.name}" for one in targets if one.kind == "figure"}
    assert set(slurm["groups"]) == figures


@pytest.mark.dag
@pytest.mark.slurm
def test_the_cluster_makes_the_same_results(project: Project, tmp_path: Path) -> None:
    """A figure in a group, a training on the GPU partition, and a job that is cut short and sent again."""
    if reason := missing():
        pytest.skip(reason)
    before = {number for number, _ in jobs_known()}
    local = copy_project(tmp_path / "local")
    for one in (project, local):  # two steps, and a call for each without time for more
        one.edit("config/smoke.yaml", "    batch: 20\n    epochs: 2\n", "    batch: 60\n    epochs: 1\n")
    targets = ["figures/smoke/qiw/fig01_posterior_2d.png", "results/smoke/efvae/celeba/ground_truth.npz"]
    words = ["--workflow-profile", "profiles/slurm", "--slurm-status-command", "squeue"]
    words += ["--latency-wait", "5", "--seconds-between-status-checks", "1", "--retries", "4"]
    answer = subprocess.run(
        project.command(*targets, *words), cwd=project.folder, timeout=900, check=False, text=True,
        env=project.environment | {"ELBOGAP_TIME_BUDGET": "0"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout[-3000:]
    assert "time budget spent" in answer.stdout
    assert {partition for number, partition in jobs_known() if number not in before} == {"cpu", "gpu"}
    assert local.snakemake(*targets).returncode == 0
    for path in ("results/smoke/qiw/tab01_bounds.csv", "results/smoke/efvae/celeba/gan_training.csv"):
        assert (local.folder / path).read_bytes() == (project.folder / path).read_bytes()


def jobs_known() -> list[list[str]]:
    """Number and partition of the jobs that the cluster remembers."""
    answer = subprocess.run(
        ["squeue", "-h", "-t", "all", "-o", "%i %P"], capture_output=True, text=True, check=True
    )
    return [line.split() for line in answer.stdout.splitlines()]
