"""Kind I: what users expect of an installed package.

Promise: what is imported is declared, type checkers see the annotations, `--version` tells the version and
the commit, a misspelt command is told with the nearest one, and a build leaves nothing for git to see.
"""

import ast
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
import yaml

import elbogap
from elbogap.cli import main

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def imported() -> set[str]:
    """The first names of all absolute imports in the source tree, at any depth of nesting."""
    found = set()
    for path in (ROOT / "src").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.add(node.module.partition(".")[0])
    return found


def test_every_package_that_is_imported_is_declared() -> None:
    declared = {word.partition(">")[0].lower() for word in PROJECT["project"]["dependencies"]}
    own = {path.name for path in (ROOT / "src").iterdir()}
    others = imported() - own - set(sys.stdlib_module_names)
    assert {"numpy", "requests", "yaml"} <= others
    names = packages_distributions()
    for package in sorted(others):
        makers = {name.lower().replace("_", "-") for name in names.get(package, [package])}
        assert makers & declared, f"{package} is imported; declare {' or '.join(sorted(makers))}"


def test_type_checkers_see_the_annotations() -> None:
    assert "py.typed" in PROJECT["tool"]["setuptools"]["package-data"]["elbogap"]
    assert (ROOT / "src/elbogap/py.typed").is_file()


def test_the_version_is_told_with_the_commit(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    words = capsys.readouterr().out.split()
    assert words[:2] == ["elbogap", elbogap.__version__]
    head = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert words[2:] == ["(commit", f"{head.stdout.strip()})"]


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert PROJECT["project"]["version"] == elbogap.__version__ == citation["version"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["mapa.trian"], "no command 'mapa.trian' (did you mean 'mapa.train'?)"),
        (["conifg", "config/smoke.yaml"], "no command 'conifg' (did you mean 'config'?)"),
        (["figure", "qwi.fig01", "--scale", "x", "--outputs", "a=b"], "'qwi' (did you mean 'qiw'?)"),
        (
            ["figure", "qiw.fig01_posterior_2", "--scale", "x", "--outputs", "a=b"],
            "no figure 'fig01_posterior_2' (did you mean 'fig01_posterior_2d'?)",
        ),
    ],
)
def test_a_misspelt_name_is_one_line_with_the_nearest(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert says in line
    assert len(line) < 200


def test_what_a_build_leaves_is_ignored() -> None:
    left = (
        "build/lib/elbogap/cli.py",
        "dist/elbogap.whl",
        "src/elbogap.egg-info/PKG-INFO",
        ".home/.cache/pip",
    )
    for path in left:
        answer = subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, check=False)
        assert answer.returncode == 0, path
