"""The documentation's tables are those of the code."""

from pathlib import Path

from elbogap.data.commands import overview

DOCUMENT = Path(__file__).parents[2] / "docs" / "data.md"


def test_documentation_is_current() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for table in overview():
        assert table in text, "run 'python -m elbogap data table' and put its tables into docs/data.md"
