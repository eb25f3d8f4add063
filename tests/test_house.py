"""The plan of the house: which floor may import which, and who may use torch or computed imports."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "elbogap"
FLOORS = {
    "errors": 0, "runtime": 0, "files": 0, "digest": 0, "tables": 0, "provenance": 0, "config": 0, "data": 0,
    "budget": 0, "places": 0, "words": 0, "untrusted": 0, "writer": 0, "checksums": 0,
    "densities": 1, "nn": 1,
    "inference": 2,
    "evaluation": 3, "training": 3, "ensemble": 3, "profiling": 3,
    "experiments": 4,
    "figures": 5,
    "claims": 6, "report": 6,
    "cli": 7, "__main__": 7,
}  # fmt: skip
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imported(path: Path) -> set[str]:
    """Dotted names of all imports in a file, at any depth of nesting."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_a_floor_imports_only_its_own_and_those_below(path: Path) -> None:
    floor = FLOORS[room(path)]
    for name in imported(path):
        parts = name.split(".")
        if parts[0] == "elbogap" and len(parts) > 1 and parts[1] in FLOORS:
            assert FLOORS[parts[1]] <= floor, f"{path.name} (floor {floor}) imports {name}"


@pytest.mark.parametrize("folder", ["figures", "claims", "report", "config"])
def test_these_rooms_never_import_torch(folder: str) -> None:
    for path in (SOURCE / folder).rglob("*.py"):
        assert not any(name.split(".")[0] == "torch" for name in imported(path)), path


def test_experiments_of_one_document_do_not_import_another_documents() -> None:
    for path in (SOURCE / "experiments").glob("*/*.py"):
        for name in imported(path):
            if name.startswith("elbogap.experiments."):
                assert name.split(".")[2] == path.parent.name, f"{path} imports {name}"


def test_only_the_command_line_imports_by_computed_names() -> None:
    users = {
        room(path)
        for path in MODULES
        if "importlib.import_module" in path.read_text(encoding="utf-8")
        or "__import__" in path.read_text(encoding="utf-8")
    }
    assert users == {"cli"}


def test_package_init_files_hold_a_docstring_only() -> None:
    # code digests count a package's parents, so an import there would tie every experiment to it
    for path in SOURCE.rglob("__init__.py"):
        if path != SOURCE / "__init__.py":
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1, path
            assert isinstance(body[0], ast.Expr), path
