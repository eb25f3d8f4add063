"""A digest of the code that a module's results depend on: itself and all of the package it imports.

A rule carries this digest as a parameter, so a changed constant anywhere below an experiment reruns it,
while a comment, a docstring, formatting or another version of Python reruns nothing: what is hashed is the
syntax tree without docstrings. Imports are found by reading, at any depth of nesting, so a module must not
import others of this package by computed names; :func:`undeclared` tells whether a process did.
"""

import ast
import functools
import hashlib
import sys
from collections.abc import Iterable, Iterator
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
    return text_of(_tree(name))


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


def summary(name: str, function: str | None = None) -> str:
    """The first line of the docstring of a module or of one of its functions, read in its source."""
    tree: ast.Module | ast.FunctionDef = _tree(name)
    if function is not None:
        (tree,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == function)
    return (ast.get_docstring(tree) or "").partition("\n")[0]
