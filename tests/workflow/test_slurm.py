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


def test_the_slurm_profile_and_the_rules_share_their_words() -> None:
    """No rule is listed: the group of all drawings and what a GPU job gets go by properties of rules."""
    slurm = profile("slurm")
    assert not {"set-resources", "groups"} & set(slurm)
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "workflow/rules").glob("*.smk"))
    assert re.findall(r'group:\n +"(\w+)"', rules) == list(slurm["group-components"])
    assert rules.count("elbogap figure ") == 1, "all drawings are made by the rule with the group"
    given = yaml.safe_load((PROFILES / "slurm" / slurm["configfile"]).read_text(encoding="utf-8"))
    assert re.findall(r'config\.get\("(\w+)", {}\)', rules) == list(given)
    assert set(given["gpu_job"]) == set(slurm["default-resources"])


@pytest.mark.dag
def test_each_rule_that_may_compute_on_a_gpu_gets_what_the_slurm_profile_says(project: Project) -> None:
    """A dry run without the plugin, and without the messages that would hide the jobs' resources."""
    project.edit("profiles/slurm/profile.yaml", "executor: slurm\n", "")
    rules = (project.folder / "workflow/rules/rows.smk").read_text(encoding="utf-8")
    message = re.search(r" +message:\n.*\n", rules)
    assert message
    project.edit("workflow/rules/rows.smk", message.group(), "")
    answer = project.snakemake("-n", "--workflow-profile", "profiles/slurm", "--", "smoke")
    assert answer.returncode == 0, answer.stdout[-3000:]
    jobs = re.findall(r"^rule (\w+):\n(?:    .*\n)*?    resources: (.*)$", answer.stdout, re.MULTILINE)
    gpu = {"gpu=1", "slurm_partition=gpu", "mem_mb=16000", "runtime=240"}
    cpu = {"slurm_partition=cpu", "mem_mb=4000", "runtime=60"}
    on_gpu = {rule for rule, words in jobs if "gpu=1" in words.split(", ")}
    assert {"air_train", "efvae_gan", "implicit_toys", "mapa_train", "qiw_mnist_train"} <= on_gpu
    for rule, words in jobs:
        assert (gpu if rule in on_gpu else cpu) <= set(words.split(", ")), rule


@pytest.mark.dag
@pytest.mark.slurm
def test_the_cluster_makes_the_same_results(project: Project, tmp_path: Path) -> None:
    """A figure in a group, a training on the GPU partition, and a job that is cut short and sent again."""
    if reason := missing():
        pytest.skip(reason)
    before = {number for number, _ in jobs_known()}
    local = copy_project(tmp_path / "local")
    for each in (project, local):  # two steps, and a call for each without time for more
        each.edit("config/smoke.yaml", "    batch: 20\n    epochs: 2\n", "    batch: 60\n    epochs: 1\n")
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
    for path in ("results/smoke/qiw/tab01_bounds.csv", "results/smoke/efvae/celeba/ground_truth.npz"):
        assert (local.folder / path).read_bytes() == (project.folder / path).read_bytes()


def jobs_known() -> list[list[str]]:
    """Number and partition of the jobs that the cluster remembers."""
    answer = subprocess.run(
        ["squeue", "-h", "-t", "all", "-o", "%i %P"], capture_output=True, text=True, check=True
    )
    return [line.split() for line in answer.stdout.splitlines()]
