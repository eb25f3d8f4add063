"""Results as a run leaves them: each with its provenance beside it."""

from pathlib import Path
from typing import Any

from elbogap import provenance, tables


def write_result(path: Path, value: Any, record: dict[str, Any] | None = None) -> None:
    """Write a table, arrays, plain data, text or bytes as a command does."""

    def write(temporary: Path) -> None:
        if isinstance(value, bytes):
            temporary.write_bytes(value)
        elif isinstance(value, str):
            temporary.write_text(value, encoding="utf-8")
        else:
            tables.save(value, temporary)

    provenance.publish(record or {}, {path: write})


def change_result(path: Path, old: str, new: str) -> None:
    """Make a result anew in which `new` stands for `old`."""
    text = path.read_text(encoding="utf-8")
    assert old in text
    write_result(path, text.replace(old, new), provenance.read(path))
