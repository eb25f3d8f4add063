"""The table of paces: what a row says, and which rows it replaces."""

from pathlib import Path
from typing import Any

import pytest

from elbogap import provenance
from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.profiling import COLUMNS, KEY, Piece, pace, read_paces, write_paces

PIECE = Piece(
    "net", "step", 7200, members=3, steps_per_s=2.0, gflop_per_step=4.0, busy_share=0.5,
    dearest="aten::mm 50%", max_rss_mib=9.0,
)  # fmt: skip
KEYS = {"problem": "circle", "cell": "vae"}


def made(**changes: Any) -> dict[str, Any]:
    found = pace("mapa.train", KEYS, PIECE, 16.0, scale="paper", device="cpu", threads=1)
    return found | changes


def test_a_row_says_what_the_pace_means() -> None:
    found = made()
    assert found["rule"] == "mapa_train[cell=vae, problem=circle]"
    assert (found["work"], found["scale"], found["device"], found["threads"]) == ("net", "paper", "cpu", 1)
    assert found["model_steps_per_s"] == 6
    assert found["piece_hours"] == 1
    assert found["gflops"] == 8
    assert found["peak_share"] == 0.5
    assert found["torch"] == provenance.versions()["torch"]
    assert found["commit"] == provenance.git_state()["commit"]
    assert set(COLUMNS) <= set(found)


def test_rows_of_other_devices_and_jobs_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "paces.csv"
    again, others = (
        made(piece_hours=2.0),
        ({"device": "gpu"}, {"threads": 2}, {"rule": "b"}, {"work": "other"}),
    )
    for new in (made(), again, *(made(**other) for other in others)):
        write_paces([*read_paces(path), new], path)
    rule = made()["rule"]
    assert {tuple(found[name] for name in KEY): found["piece_hours"] for found in read_paces(path)} == {
        ("paper", rule, "net", "cpu", 1): 2,
        ("paper", rule, "net", "gpu", 1): 1,
        ("paper", rule, "net", "cpu", 2): 1,
        ("paper", "b", "net", "cpu", 1): 1,
        ("paper", rule, "other", "cpu", 1): 1,
    }


def test_a_recorded_table_is_kept_to_the_byte(tmp_path: Path) -> None:
    recorded, path = Places.here().recorded_paces, tmp_path / "paces.csv"
    write_paces(read_paces(recorded), path)
    assert path.read_bytes() == recorded.read_bytes()


@pytest.mark.parametrize(("name", "says"), [("a.json", "ends in .csv"), ("a.csv", "not a table of paces")])
def test_other_files_are_refused(tmp_path: Path, name: str, says: str) -> None:
    (tmp_path / name).write_text("value\n1\n", encoding="utf-8")
    with pytest.raises(UserError, match=says):
        read_paces(tmp_path / name)
