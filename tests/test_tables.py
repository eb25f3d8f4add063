"""Files are written whole or not at all, and equal values are equal bytes."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elbogap import tables
from elbogap.errors import UserError


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=20))
def test_a_table_keeps_every_digit(tmp_path_factory: pytest.TempPathFactory, values: list[float]) -> None:
    path = tmp_path_factory.mktemp("tables") / "table.csv"
    tables.write(pd.DataFrame({"value": values}), path)
    assert tables.read_table(path)["value"].astype(float).tolist() == values


@pytest.mark.parametrize("name", ["a.csv", "a.npz", "a.json"])
def test_equal_values_are_equal_bytes(tmp_path: Path, name: str) -> None:
    value = {"a.csv": pd.DataFrame({"x": [0.1, 2]}), "a.npz": {"x": np.arange(3.0)}, "a.json": {"x": [1, 2]}}[
        name
    ]
    contents = []
    for folder in ("one", "two"):
        tables.write(value, tmp_path / folder / name)
        contents.append((tmp_path / folder / name).read_bytes())
    assert contents[0] == contents[1]


def test_arrays_come_back(tmp_path: Path) -> None:
    arrays = {"x": np.eye(3), "y": np.arange(4, dtype=np.uint8)}
    tables.write(arrays, tmp_path / "a.npz")
    back = tables.read_arrays(tmp_path / "a.npz")
    assert {name: value.tolist() for name, value in back.items()} == {
        name: value.tolist() for name, value in arrays.items()
    }


def test_unknown_suffix_and_unwritable_place_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="do not know how to write"):
        tables.write({}, tmp_path / "a.xyz")
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match="cannot be written"):
        tables.write({}, tmp_path / "file" / "a.json")
