"""Kind E: files that are no YAML, or too much of it.

Promise: whatever stands in a file of settings, claims or documents, the answer is one short line that names
the file, and soon.
"""

import time
from pathlib import Path

import pytest

from elbogap.claims import specification
from elbogap.config.yaml_file import read_yaml
from elbogap.errors import UserError, did_you_mean, shown
from elbogap.report import catalogue
from elbogap.scales import load


def tenfold(form: str, first: str) -> str:
    """Nine anchors, each of which stands for the one before it ten times."""
    lines = [f"a0: &a0 {first}"]
    for i in range(1, 10):
        lines.append(f"a{i}: &a{i} {form.format(', '.join([f'*a{i - 1}'] * 10))}")
    return "\n".join(lines)


BROKEN = {
    "a list as key": ("? [1, 2]\n: 3", "line 1: a key must be a word, not of kind seq"),
    "a mapping as key": ("? {a: 1}\n: 3", "line 1: a key must be a word, not of kind map"),
    "a number as key": ("a: 1\n5: 3", "line 2: a key must be a word, not of kind int"),
    "a truth value as key": ("yes: 1", "line 1: a key must be a word, not of kind bool"),
    "a key twice": ("a: 1\n'a': 2", "line 2: key 'a' is given twice (first in line 1)"),
    "no date": ("a: 2001-99-99", "line 1: '2001-99-99' is no value of kind timestamp"),
    "no number": ("a:\n- !!int abc", "line 2: 'abc' is no value of kind int"),
    "no truth value": ("a: !!bool abc", "line 1: 'abc' is no value of kind bool"),
    "a tag of Python": ("a: !!python/object:os.system x", "could not determine a constructor"),
    "open brackets": ("a: " + "[" * 3000, "nested more than 50 deep"),
    "closed brackets": ("a: " + "[" * 3000 + "]" * 3000, "nested more than 50 deep"),
    "lists in lists": ("- " * 3000 + "a", "nested more than 50 deep"),
    "aliases of lists": (tenfold("[{}]", "[x, x]"), "stands for more than 100000 values"),
    "aliases of mappings": (tenfold("{{<<: [{}]}}", "{x: 1}"), "stands for more than 100000 values"),
    "an alias in itself": ("a: &a [*a]", "line 1: *a stands for a value that contains it"),
    "an unknown alias": ("a: *b", "found undefined alias 'b'"),
    "a long tag": ("a: !" + "x" * 5000 + " 3", "could not determine a constructor"),
    "a long key": ("? " + "x" * 5000 + "\n: 1\n? " + "x" * 5000 + "\n: 2", "is given twice"),
    "two documents": ("--- {}\n--- {}", "expected a single document"),
    "a zero byte": ("\0", "characters are not allowed"),
    "nothing": ("", "keys and their values are needed (got None)"),
    "a list": ("[1, 2]", "keys and their values are needed (got [1, 2])"),
    "a word": ("settings", "keys and their values are needed (got 'settings')"),
    "a long value": ("stand_ins: " + "x" * 5000, "bad value for 'stand_ins'"),
    "a deep value": ("stand_ins: " + "[" * 40 + "]" * 40, "bad value for 'stand_ins'"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_one_short_line(tmp_path: Path, name: str) -> None:
    text, says = BROKEN[name]
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    start = time.monotonic()
    with pytest.raises(UserError) as error:
        load(path)
    assert time.monotonic() - start < 5
    message = str(error.value)
    assert says in message
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    assert len(message) < 600 + len(str(path))


@pytest.mark.parametrize("content", [b"\xff\xfea\0:\0", bytes(range(128, 256))], ids=["utf-16", "binary"])
def test_what_is_no_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError, match="not valid YAML: 'utf-8' codec can't decode"):
        load(path)


def test_a_byte_order_mark_and_a_number_without_a_point_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1e-3\nb: -2E+3\nc: 1e\nd: 5-1e3\n")
    assert read_yaml(path) == {"a": 0.001, "b": -2000.0, "c": "1e", "d": "5-1e3"}


def test_few_aliases_are_read(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("a: &a {x: [1, 2]}\nb: {<<: *a, y: *a}\n", encoding="utf-8")
    assert read_yaml(path) == {"a": {"x": [1, 2]}, "b": {"x": [1, 2], "y": {"x": [1, 2]}}}


@pytest.mark.parametrize("text", ["[1]", "3", "", "a: 3", tenfold("[{}]", "[x]"), "? [1]\n: 2"])
def test_claims_and_documents_are_read_with_the_same_care(tmp_path: Path, text: str) -> None:
    (tmp_path / "mapa").mkdir()
    for name, read in (("claims.yaml", specification.load), ("paper.yaml", catalogue.documents)):
        path = tmp_path / "mapa" / name
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UserError) as error:
            read(tmp_path)
        assert str(error.value).startswith(f"{path}: ")
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < 600 + len(str(path))


def test_a_value_is_shown_short_however_large_it_is() -> None:
    value: object = "x"
    for _ in range(100):
        value = [value] * 10
    assert len(shown(value)) <= 80
    assert len(shown("x" * 10**6)) <= 80
    assert len(shown({"key": "x" * 10**6})) <= 120
    assert shown("short") == "'short'"
    assert "\n" not in shown("a\nb")


def test_the_nearest_word_is_told() -> None:
    assert did_you_mean("lpatop", ["smoke", "laptop"]) == " (did you mean 'laptop'?)"
    assert did_you_mean("mine", ["smoke", "laptop"]) == ""
