"""The additions that CONTRIBUTING.md shows as patches are all that a family, a data set or a figure takes."""

import json
import re
import subprocess

import pandas as pd
import pytest
from conftest import ROOT, Project

pytestmark = pytest.mark.dag

TEXT = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
PATCHES = re.findall(r"```diff\n(.*?)```", TEXT, re.DOTALL)
TARGETS = re.findall(r"`snakemake --cores 2 (\S+)`", TEXT)
FILES_AT_MOST = {"family": 6, "data set": 3, "figure": 3}


def test_each_addition_touches_few_files() -> None:
    counts = [len(re.findall(r"^\+\+\+ ", patch, re.MULTILINE)) for patch in PATCHES]
    assert len(counts) == len(TARGETS) == 3
    for count, (what, most) in zip(counts, FILES_AT_MOST.items(), strict=True):
        assert count <= most, what


def test_the_patches_are_all_that_the_additions_take(project: Project) -> None:
    for patch in PATCHES:
        subprocess.run(["git", "apply"], cwd=project.folder, input=patch, text=True, check=True)
    answer = project.snakemake(*TARGETS)
    assert answer.returncode == 0, answer.stdout[-6000:]
    density, evaluation, figure = (project.folder / target for target in TARGETS)
    cells = pd.read_csv(density).groupby("cell")["test_kl"].count()
    assert cells["iwae_laplace_S10"] == cells["iwae_S10"] > 0
    table = pd.read_csv(evaluation)
    assert set(table["dataset"]) == {"fashion_mnist"}
    assert {"denoising", "plain", "weight_norm"} <= set(table["method"])
    record = json.loads(figure.with_name(f"{figure.name}.provenance.json").read_text(encoding="utf-8"))
    assert list(record["inputs"]) == ["results/smoke/qiw/tab01_bounds.csv"]
