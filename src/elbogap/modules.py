"""Where the experiments and figures of the documents are: names to modules and back, and names of cells."""

from collections.abc import Mapping

from elbogap import digest
from elbogap.places import visible


def experiments() -> list[str]:
    """Names `<document>.<experiment>` of all experiments."""
    modules = visible(digest.SOURCE / "papers", "*/experiments/*.py")
    return [f"{path.parts[-3]}.{path.stem}" for path in modules if path.stem != "__init__"]


def experiment_module(name: str) -> str:
    """The module of the experiment `<document>.<experiment>`."""
    document, _, experiment = name.partition(".")
    return f"{digest.PACKAGE}.papers.{document}.experiments.{experiment}"


def label(rule: str, wildcards: Mapping[str, str]) -> str:
    """A rule and its cell, `rule[name=value, ...]` by name; the scale is not part of it."""
    cell = ", ".join(f"{name}={wildcards[name]}" for name in sorted(wildcards) if name != "scale")
    return f"{rule}[{cell}]" if cell else rule


def figures_module(document: str) -> str:
    """The module of a document's figures."""
    return f"{digest.PACKAGE}.papers.{document}.figures"
