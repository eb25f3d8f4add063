"""YAML files of words as keys, each given once, and of a size that a person can have written.

PyYAML silently takes the last of two equal keys, and raises many kinds of errors for a malformed value.
"""

import re
from pathlib import Path
from typing import Any

import yaml
from yaml.composer import Composer

from elbogap.errors import UserError, shortened, shown

DEEPEST = 50  # levels of lists and mappings
LARGEST = 100_000  # values, those that an alias stands for counted at each use
WIDEST = 400  # characters of a message


_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml's parser takes an eighth of the time


def read_yaml(path: Path) -> Any:
    """The values in a YAML file; a UserError, with the line, if it cannot be read or is malformed."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {shortened(error, WIDEST)}") from error


class _Checked(Composer):
    def __init__(self, text: str) -> None:
        _Base.__init__(self, text)
        Composer.__init__(self)
        self._depth = self._count = 0
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        """Read a value; an alias counts as large as what it stands for."""
        event = self.peek_event()
        line, before = event.start_mark.line + 1, self._count
        self._depth += 1
        if self._depth > DEEPEST:
            raise yaml.YAMLError(f"line {line}: lists and mappings are nested more than {DEEPEST} deep")
        node = super().compose_node(parent, index)
        self._depth -= 1
        if isinstance(event, yaml.AliasEvent):
            if node not in self._sizes:
                raise yaml.YAMLError(f"line {line}: *{event.anchor} stands for a value that contains it")
            self._count += self._sizes[node]
        else:
            self._count += 1
            self._sizes[node] = self._count - before
        if self._count > LARGEST:
            raise yaml.YAMLError(f"line {line}: stands for more than {LARGEST} values")
        return node

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """Read a mapping; here its keys are still those written, before `<<` adds those of an anchor."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            kind = _kind(key)
            if kind not in ("str", "merge"):
                raise yaml.YAMLError(f"line {line}: a key must be a word, not of kind {kind}; quote it")
            if key.value in lines:
                first = lines[key.value]
                raise yaml.YAMLError(
                    f"line {line}: key {shown(key.value)} is given twice (first in line {first})"
                )
            lines[key.value] = line
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """The value of a node; one that is not of its kind, such as 2001-99-99, is no valid YAML."""
        try:
            return super().construct_object(node, deep)
        except (ValueError, LookupError, ArithmeticError, AttributeError, TypeError) as error:
            says = f"line {node.start_mark.line + 1}: {shown(node.value)} is no value of kind {_kind(node)}"
            raise yaml.YAMLError(says) from error


class _Loader(_Checked, _Base):
    pass


# YAML 1.2 reads 1e-3 as a number, PyYAML as text
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), list("-+0123456789")
)


def _kind(node: yaml.Node) -> str:
    return shown(node.tag.rpartition(":")[2]).strip("'")
