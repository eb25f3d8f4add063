"""What import-linter and ruff cannot tell of the house: computed imports, and packages that run code."""

import ast
import re
from pathlib import Path

TESTS = Path(__file__).parent
SOURCE = TESTS.parent / "src" / "elbogap"
MODULES = sorted(path for path in SOURCE.rglob("*.py") if path != SOURCE / "__init__.py")


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def test_only_the_command_line_imports_by_computed_names() -> None:
    users = {
        room(path)
        for path in MODULES
        if "importlib.import_module" in path.read_text(encoding="utf-8")
        or "__import__" in path.read_text(encoding="utf-8")
    }
    assert users == {"cli", "warm"}


def test_package_init_files_hold_a_docstring_only() -> None:
    # code digests count a package's parents, so an import there would tie every experiment to it;
    # api names what users import, and holds no experiments
    for path in SOURCE.rglob("__init__.py"):
        if path not in (SOURCE / "__init__.py", SOURCE / "api" / "__init__.py"):
            body = ast.parse(path.read_text(encoding="utf-8")).body
            assert len(body) == 1, path
            assert isinstance(body[0], ast.Expr), path


def test_the_tests_of_the_dag_are_where_make_looks_for_them() -> None:
    found = (TESTS.parent / "Makefile").read_text(encoding="utf-8")
    (folders,) = re.findall(r"pytest .* -m dag (.*)", found)
    marked = [path for path in TESTS.rglob("test_*.py") if "mark.dag" in path.read_text(encoding="utf-8")]
    assert {path.relative_to(TESTS.parent).parts[:2] for path in marked if path != Path(__file__)} == {
        tuple(folder.split("/")) for folder in folders.split()
    }
