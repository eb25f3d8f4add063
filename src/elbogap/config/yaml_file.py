"""YAML files in which a key that is given twice is an error; PyYAML silently takes the last one."""

from pathlib import Path
from typing import Any

import yaml

from elbogap.errors import UserError


def read_yaml(path: Path) -> Any:
    """The values in a YAML file.

    Raises:
        UserError: it is not valid YAML, or gives a key twice; the message names the file and the line.
        OSError: the file cannot be read.
    """
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """Read a mapping; here its keys are still those written, before `<<` adds those of an anchor."""
        node = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key, _ in node.value:
            line = key.start_mark.line + 1
            if key.value in lines:
                raise yaml.YAMLError(
                    f"line {line}: key '{key.value}' is given twice (first in line {lines[key.value]})"
                )
            lines[key.value] = line
        return node
