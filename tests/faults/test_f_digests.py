"""Kind F: the user's surroundings decide which results are out of date.

Promise: code digests do not depend on the version of Python, so an upgrade reruns nothing and drops no
checkpoint.
"""

import ast
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from elbogap import digest

SOURCE = Path(__file__).parents[2] / "src"
SAMPLE = Path(__file__).with_name("every_construct.txt")
NAMES = (
    "",
    ".data.synthetic",
    ".papers.mapa.experiments.train",
    ".papers.mapa.figures",
    ".inference.bounds",
    ".cli",
)
MODULES = [f"{digest.PACKAGE}{name}" for name in NAMES]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def interpreters() -> dict[str, str]:
    """The other versions of Python on this machine, from 3.11: a path by version."""
    minors = [f"python3.{minor}" for minor in range(11, 20)]
    paths = [shutil.which(name) for name in minors]
    paths += [str(path) for path in (Path.home() / ".pyenv/versions").glob("*/bin/python3.*")]
    found = {}
    for path in filter(None, paths):
        if re.fullmatch(r"python3\.\d+", Path(path).name):
            program = "import platform; print(platform.python_version())"
            answer = subprocess.run([path, "-c", program], capture_output=True, text=True, encoding="utf-8")
            version = tuple(map(int, re.findall(r"\d+", answer.stdout)[:2]))
            if answer.returncode == 0 and version >= (3, 11) and version != sys.version_info[:2]:
                found[answer.stdout.strip()] = path
    return found


def test_the_sample_has_every_construct() -> None:
    found = {type(node) for node in ast.walk(tree(SAMPLE))}
    old = {"Num", "Str", "Bytes", "NameConstant", "Ellipsis"}  # names of constants before 3.8
    for base in (ast.stmt, ast.expr, ast.pattern, ast.operator, ast.cmpop, ast.unaryop, ast.boolop):
        known = {kind for kind in base.__subclasses__() if kind.__name__ not in old}
        later = {kind for kind in known if kind.__name__ in {"TypeAlias", "TemplateStr", "Interpolation"}}
        assert known - later <= found, base


@pytest.mark.parametrize(
    ("path", "expected"),
    [(SAMPLE, "d0c9a8177b84afca"), (SOURCE / "elbogap/evaluation/histogram.py", "c706368f4f536ca0")],
    ids=lambda value: value.stem if isinstance(value, Path) else "",
)
def test_a_source_has_the_digest_that_it_had_under_another_python(path: Path, expected: str) -> None:
    """Stored under 3.11, 3.12 and 3.13; store it anew only where the source itself has changed."""
    text = digest.text_of(tree(path))
    assert hashlib.sha256(text.encode("ascii")).hexdigest()[:16] == expected


@pytest.mark.parametrize(
    "pair",
    [("1", "True"), ("1", "1.0"), ("'1'", "b'1'"), ("'1'", "1"), ("None", "'None'"), ("f'{x}'", "f'{x!s}'"),
     ("f'a{x}'", "f'{x}a'"), ("f'a'", "'a'"), ("{**a}", "{a: a}"), ("1e400", "inf"), ("x[1,]", "x[1]")],
)  # fmt: skip
def test_sources_of_other_meaning_have_other_texts(pair: tuple[str, str]) -> None:
    first, second = (digest.text_of(ast.parse(source)) for source in pair)
    assert first != second


@pytest.mark.parametrize(
    "pair",
    [("u'a' 'b'", "'ab'"), ("f'a' 'b{c}' f'{d}'", "f'ab{{c}}' f'{d}'"), ("0x10", "16"), ("'é'", r"'\xe9'"),
     ("a: int = 1\n'doc'", "a: int = 1"), ("def f(): 'doc'", "def f():\n    pass")],
)  # fmt: skip
def test_sources_of_one_meaning_have_one_text(pair: tuple[str, str]) -> None:
    first, second = (digest.text_of(ast.parse(source)) for source in pair)
    assert first == second


def test_every_other_python_on_this_machine_computes_the_same_digests() -> None:
    others = interpreters()
    if not others:
        pytest.skip("needs a second version of Python, 3.11 or newer, on PATH or below ~/.pyenv/versions")
    program = "import sys; from elbogap import digest; print(*map(digest.code_digest, sys.argv[1:]))"
    ours = [digest.code_digest(name) for name in MODULES]
    for version, path in others.items():
        answer = subprocess.run(
            [path, "-c", program, *MODULES], capture_output=True, text=True, encoding="utf-8",
            env=os.environ | {"PYTHONPATH": str(SOURCE), "PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        assert answer.stdout.split() == ours, f"Python {version}: {answer.stderr}"
