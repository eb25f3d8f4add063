"""Nothing left over: settings, texts, rules and local paths."""

import ast
import subprocess

import pytest
from conftest import ROOT

from config_fields import fields
from elbogap.report.catalogue import documents

SOURCE = ROOT / "src" / "elbogap"
DOCUMENTS = [document.key for document in documents(ROOT / "paper")]


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
