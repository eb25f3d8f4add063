"""A digest of the code that a module's results depend on: itself and all of the package it imports.

A rule carries this digest as a parameter, so a changed constant anywhere below an experiment reruns it,
while a comment, a docstring or formatting reruns nothing: what is hashed is the syntax tree without
docstrings. Imports are found by reading, at any depth of nesting, so a module must not import others of
this package by computed names; :func:`undeclared` tells whether a process did.
"""

import ast
import functools
import hashlib
import sys
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
    loaded = {name for name in sys.modules if name == PACKAGE or name.startswith(f"{PACKAGE}.")}
    return loaded - closure(*modules) - ignore


def module_path(name: str) -> Path | None:
    """The source file of a module of this package, or None when there is none of that name."""
    base = SOURCE.joinpath(*name.split(".")[1:])
    for path in (base / "__init__.py", base.with_suffix(".py")):
        if path.is_file():
            return path
    return None


@functools.cache
def _tree(name: str) -> ast.Module:
    path = module_path(name)
    if path is None:
        raise ModuleNotFoundError(f"no module {name} in {SOURCE}")
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@functools.cache
def _meaning(name: str) -> str:
    tree = ast.parse(ast.unparse(_tree(name)))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            ):
                node.body = node.body[1:] or [ast.Pass()]
    return ast.dump(tree)


@functools.cache
def _imports(name: str) -> frozenset[str]:
    found = {name.rpartition(".")[0]} - {""}
    path = module_path(name)
    package = name if path is not None and path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(_tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *([node.module] if node.module else [])])
            found.add(base)
            found |= {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(
        found_name
        for found_name in found
        if (found_name == PACKAGE or found_name.startswith(f"{PACKAGE}.")) and module_path(found_name)
    )


def summary(name: str) -> str:
    """The first line of a module's docstring, read without importing it."""
    return (ast.get_docstring(_tree(name)) or "").partition("\n")[0]
