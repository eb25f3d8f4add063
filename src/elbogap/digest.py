"""A digest of the code that a module's results depend on: itself and all of the package it imports.

A rule carries this digest as a parameter, so a changed constant anywhere below an experiment reruns it,
while a comment, a docstring, formatting or another version of Python reruns nothing: what is hashed is the
syntax tree without docstrings. The values in a file `<module>.toml` beside a module count as a part of it.
Imports are found by reading, at any depth of nesting, so a module must not
import others of this package by computed names; :func:`undeclared` tells whether a process did.
"""

import ast
import functools
import hashlib
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.util import resolve_name
from pathlib import Path
from typing import NamedTuple

PACKAGE = "elbogap"
SOURCE = Path(__file__).resolve().parent


class Source(NamedTuple):
    """What the source of a module says."""

    meaning: str  # SHA-256 of its syntax tree, see :func:`text_of`, and of its table
    imports: frozenset[str]  # names of what it imports: both a and a.b for `from a import b`
    summary: str  # the first line of its docstring


def code_digest(*modules: str) -> str:
    """The first 16 hex digits of the SHA-256 over the modules' import closure."""
    digest = hashlib.sha256()
    for name, source in sorted(closure(*modules).items()):
        digest.update(f"{name}\n{source.meaning}\n".encode())
    return digest.hexdigest()[:16]


def closure(*modules: str) -> dict[str, Source]:
    """The sources of the given modules and of all in this package that they import, directly or not.

    A package stands for its `__init__` module; the package's parents count too, as Python runs them.
    """
    found: dict[str, Source] = {}
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = _source(name)
            waiting.extend(_files().keys() & {name.rpartition(".")[0], *found[name].imports})
    return found


def prepare_to_fork() -> None:
    """Understand every module now, so that children do so at once; each still reads what it asks for."""
    for name in _files():
        _source(name)
    _files.cache_clear()
    _source.cache_clear()


def undeclared(*modules: str, ignore: frozenset[str] = frozenset()) -> set[str]:
    """Modules of this package that are loaded in this process but are not in the closure."""
    loaded = {name for name in sys.modules if name.split(".")[0] == PACKAGE}
    return loaded - closure(*modules).keys() - ignore


def module_path(name: str) -> Path | None:
    """The source file of a module of this package, or None when there is none of that name."""
    return _files().get(name)


def summary(name: str) -> str:
    """The first line of a module's docstring, read in its source."""
    return _source(name).summary


@functools.cache
def _files() -> dict[str, Path]:
    """The source file of every module of this package; hidden files are an editor's, not ours."""
    parts = {path: path.relative_to(SOURCE).with_suffix("").parts for path in SOURCE.rglob("*.py")}
    ours = {path: of for path, of in parts.items() if all(part.isidentifier() for part in of)}
    return {".".join([PACKAGE, *of]).removesuffix(".__init__"): path for path, of in ours.items()}


@functools.cache
def _source(name: str) -> Source:
    path = module_path(name)
    if path is None:
        raise ModuleNotFoundError(f"no module {name} in {SOURCE}")
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    table = path.with_suffix(".toml")
    values = table.read_text(encoding="utf-8") if table.is_file() else None
    return _understood(path.read_text(encoding="utf-8"), values, package)


@functools.cache
def _understood(source: str, table: str | None, package: str) -> Source:
    """The slow part, kept by what the files say."""
    tree = ast.parse(source)
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    values = "" if table is None else ascii(tomllib.loads(table))
    first_line = (ast.get_docstring(tree) or "").partition("\n")[0]
    meaning = hashlib.sha256((text_of(tree) + values).encode()).hexdigest()
    return Source(meaning, frozenset(found), first_line)


def text_of(node: object) -> str:
    """A syntax tree as ASCII text, the same in every version of Python.

    A node is its type and those of its fields that hold something, as versions add empty ones. Docstrings
    and `pass` are left out.
    """
    if isinstance(node, ast.Constant):
        return text_of(node.value)  # u"a" means "a"
    if isinstance(node, ast.JoinedStr):
        return f"JoinedStr({', '.join(_pieces(node.values))})"
    if isinstance(node, ast.AST):
        fields = [(name, getattr(node, name, None)) for name in node._fields]
        said = [f"{name}={text_of(value)}" for name, value in fields if value is not None and value != []]
        return f"{type(node).__name__}({', '.join(said)})"
    if isinstance(node, list):
        return f"[{', '.join([text_of(item) for item in node if not _says_nothing(item)])}]"
    if type(node) is int:
        return hex(node)  # Python refuses to write a huge one in decimals
    return ascii(node)


def _pieces(values: Iterable[ast.expr]) -> Iterator[str]:
    """An f-string as constant, value, constant ... constant: versions cut the constants differently."""
    constant = ""
    for value in values:
        if isinstance(value, ast.Constant):
            constant += str(value.value)
        else:
            yield from (ascii(constant), text_of(value))
            constant = ""
    yield ascii(constant)


def _says_nothing(node: object) -> bool:
    """Whether it is `pass` or the docstring of a module, class, function or attribute."""
    return isinstance(node, ast.Pass) or (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
