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

PACKAGE = "elbogap"
SOURCE = Path(__file__).resolve().parent


def code_digest(*modules: str) -> str:
    """The first 16 hex digits of the SHA-256 over the modules' import closure."""
    digest = hashlib.sha256()
    for name in sorted(closure(*modules)):
        digest.update(f"{name}\n{_meaning(name)}\n".encode())
    return digest.hexdigest()[:16]


def closure(*modules: str) -> set[str]:
    """The given modules and every module of this package that they import, directly or not.

    A package stands for its `__init__` module; the package's parents count too, as Python runs them.
    """
    found: set[str] = set()
    waiting = list(modules)
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imports(name))
    return found


def undeclared(*modules: str, ignore: frozenset[str] = frozenset()) -> set[str]:
    """Modules of this package that are loaded in this process but are not in the closure."""
    loaded = {name for name in sys.modules if name.split(".")[0] == PACKAGE}
    return loaded - closure(*modules) - ignore


def module_path(name: str) -> Path | None:
    """The source file of a module of this package, or None when there is none of that name."""
    base = SOURCE.joinpath(*name.split(".")[1:])
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _path(name: str) -> Path:
    path = module_path(name)
    if path is None:
        raise ModuleNotFoundError(f"no module {name} in {SOURCE}")
    return path


@functools.cache
def _tree(name: str) -> ast.Module:
    return ast.parse(_path(name).read_text(encoding="utf-8"), filename=str(_path(name)))


@functools.cache
def _meaning(name: str) -> str:
    table = _path(name).with_suffix(".toml")
    values = ascii(tomllib.loads(table.read_text(encoding="utf-8"))) if table.is_file() else ""
    return text_of(_tree(name)) + values


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
        fields = ((name, value) for name, value in ast.iter_fields(node) if value not in (None, []))
        return f"{type(node).__name__}({', '.join(f'{name}={text_of(value)}' for name, value in fields)})"
    if isinstance(node, list):
        return f"[{', '.join(text_of(item) for item in node if not _says_nothing(item))}]"
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


@functools.cache
def _imports(name: str) -> set[str]:
    parent = name.rpartition(".")[0]
    package = name if _path(name).name == "__init__.py" else parent
    found = {parent}
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = resolve_name("." * node.level + (node.module or ""), package)
            found |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    return {other for other in found if other.split(".")[0] == PACKAGE and module_path(other)}


def summary(name: str) -> str:
    """The first line of a module's docstring, read in its source."""
    return (ast.get_docstring(_tree(name)) or "").partition("\n")[0]
