"""Kind E: settings that validate and cannot be used.

Promise: every number of a scale file is finite and within bounds on both sides, alike for like settings, and
a value that no run could use is refused when the file is loaded, in one line that names it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from elbogap.config.base import validated
from elbogap.errors import UserError
from elbogap.scales import Config

CONFIG = Path(__file__).parents[2] / "config"
VALUES = yaml.safe_load((CONFIG / "smoke.yaml").read_text(encoding="utf-8"))
Place = tuple[str | int, ...]


def places(values: Any, place: Place = ()) -> Iterator[tuple[Place, int | float]]:
    """Where the numbers of a file stand."""
    if isinstance(values, int | float) and not isinstance(values, bool):
        yield place, values
    elif isinstance(values, dict | list):
        parts = values.items() if isinstance(values, dict) else enumerate(values)
        for name, part in parts:
            yield from places(part, (*place, name))


PLACES = dict(places(VALUES))


def problems(place: Place, value: object) -> str:
    """What is said of a document's smoke scale with one value changed; nothing if it is accepted."""
    document, *names, last = place
    model, inner = Config.model_fields[document].annotation, VALUES[document]
    for name in names:
        inner = inner[name]
    old, inner[last] = inner[last], value
    try:
        validated(model, VALUES[document], document)
    except UserError as error:
        return str(error)
    finally:
        inner[last] = old
    return ""


def test_the_file_itself_is_accepted() -> None:
    place = ("qiw", "posterior_2d", "points")
    assert problems(place, PLACES[place]) == ""


@pytest.mark.parametrize(
    "value", [float("inf"), float("-inf"), float("nan"), 1e30, -1e30, 10**30, True, "1e3"]
)
def test_no_number_of_a_scale_file_may_be_this(value: object) -> None:
    for place in PLACES:
        said = problems(place, value)
        assert said, f"{place} may be {value}"
        assert "\n" not in said
        assert len(said) < 300


@pytest.mark.parametrize("cell", ["../k1", "k1 ", "a;b", "K1", ""])
def test_a_cell_has_a_name_that_can_be_a_part_of_a_file_name(cell: str) -> None:
    for document, cells in (("air", "train"), ("implicit", "vae_train"), ("efvae", "newsgroups_train")):
        old = VALUES[document][cells]["cells"]
        said = problems((document, cells, "cells"), old | {cell: next(iter(old.values()))})
        assert "should match pattern" in said, document
