"""The NAME=VALUE and NAME=FILE words of the command line."""

from collections.abc import Sequence
from pathlib import Path

from elbogap.errors import UserError


def values(words: Sequence[str]) -> dict[str, str]:
    """The values of NAME=VALUE words by name; a UserError if a word has another form."""
    for word in words:
        if "=" not in word:
            raise UserError(f"'{word}' is not of the form NAME=VALUE")
    return dict(word.split("=", 1) for word in words)


def files(words: Sequence[str]) -> dict[str, Path]:
    """The files of NAME=FILE words by name; a UserError if a word has another form."""
    return {name: Path(value) for name, value in values(words).items()}


def outputs(words: Sequence[str], *names: str) -> dict[str, Path]:
    """The files by name of a command that makes just these outputs; a UserError if the words name others."""
    found = {name: Path(path) for name, _, path in (word.partition("=") for word in words) if path}
    if set(found) != set(names):
        form = " ".join(f"{name}=FILE" for name in names)
        raise UserError(f"--outputs must be {form}, not {' '.join(words)}")
    return {name: found[name] for name in names}
