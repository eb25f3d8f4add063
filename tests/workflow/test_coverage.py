"""Nothing without a run at smoke scale: figures, tables, experiments, settings and claims."""

import ast
import json
import subprocess

import pandas as pd
import pytest
from conftest import ROOT, Project

from config_fields import fields
from elbogap import modules
from elbogap.claims.specification import load as load_claims
from elbogap.report.catalogue import documents, targets

SOURCE = ROOT / "src" / "elbogap"
DOCUMENTS = [document.key for document in documents(ROOT / "paper")]


def built_targets(project: Project) -> set[str]:
    """`<document>_<target>` of every figure and table that the smoke run made."""
    figures = (project.folder / "figures/smoke").glob("*/fig*.png")
    tables = (project.folder / "results/smoke").glob("*/tab*.csv")
    return {f"{path.parent.name}_{path.stem}" for path in (*figures, *tables)}


@pytest.mark.dag
def test_captions_and_built_figures_and_tables_agree(smoke: Project) -> None:
    captioned = {
        f"{target.document}_{target.name}" for key in DOCUMENTS for target in targets(ROOT / "paper", key)
    }
    assert built_targets(smoke) == captioned


@pytest.mark.dag
def test_every_figure_function_is_drawn(smoke: Project) -> None:
    functions = {
        f"{path.parent.name}_{node.name}"
        for path in SOURCE.glob("papers/*/figures.py")
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("fig")
    }
    assert functions
    assert functions <= built_targets(smoke)


@pytest.mark.dag
def test_every_experiment_runs(smoke: Project) -> None:
    records = (smoke.folder / "results/smoke").rglob("*.provenance.json")
    ran = {json.loads(path.read_text(encoding="utf-8"))["module"] for path in records}
    assert {modules.experiment_module(name) for name in modules.experiments()} <= ran


@pytest.mark.dag
def test_every_claim_is_decided_at_smoke_scale(smoke: Project) -> None:
    verdicts = pd.read_csv(smoke.folder / "results/smoke/claims.csv").set_index("id")
    claims = [claim for _, claim in load_claims(ROOT / "paper")]
    assert {claim.id for claim in claims} == set(verdicts.index)
    for claim in claims:
        detail = str(verdicts.loc[claim.id, "detail"])
        undecided = verdicts.loc[claim.id, "verdict"] == "not assessed"
        assert not undecided or "stand-in" in detail, f"{claim.id} is not run at smoke scale: {detail}"


def test_every_setting_is_read_by_some_code() -> None:
    read: set[str] = set()
    for path in SOURCE.rglob("*.py"):
        if "config" not in path.relative_to(SOURCE).parts:
            tree = ast.parse(path.read_text(encoding="utf-8"))
            read |= {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    unread = [name for name, _, is_value in fields() if is_value and name.rpartition(".")[2] not in read]
    assert unread == []


def test_every_document_has_its_texts_and_its_rules() -> None:
    files = ("paper.yaml", "notes.md", "claims.yaml", "captions")
    assert sorted(DOCUMENTS) == sorted(path.name for path in (ROOT / "paper").glob("*/"))
    for key in DOCUMENTS:
        paths = [*(ROOT / "paper" / key / file for file in files), ROOT / f"workflow/rules/{key}.smk"]
        assert [path for path in paths if not path.exists()] == []


def test_the_committed_tree_is_free_of_local_paths() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("this is no git checkout, so nothing tells which files are the project's")
    words = [b"/" + b"work/", b"/" + b"tmp/w"]
    files = [ROOT / name for name in listed.stdout.split("\0")[:-1]]
    contents = {file: file.read_bytes() for file in files if file.is_file()}
    texts = {file: content for file, content in contents.items() if b"\0" not in content}
    assert ROOT / "README.md" in texts
    assert [file for file, text in texts.items() if any(word in text for word in words)] == []
