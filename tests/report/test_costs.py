"""Recorded costs, and the time left by them."""

import time
from pathlib import Path

import pytest

from elbogap.places import Places
from elbogap.report import costs
from elbogap.report.costs import TimeLeft

CSV = """document,target,scale,rule,seconds,max_rss_mib,threads,device
air,tab01,paper,air_train[k=1],100,1,1,cpu
air,tab02,paper,air_train[k=1],100,1,1,cpu
air,tab02,paper,air_train[k=8],300,1,1,cpu
air,tab02,paper,air_other,,1,1,cpu
air,tab02,laptop,air_train[k=1],7,1,1,cpu
"""


@pytest.fixture
def places(tmp_path: Path) -> Places:
    found = Places(project=tmp_path, work=tmp_path)
    found.recorded_costs.parent.mkdir(parents=True)
    found.recorded_costs.write_text(CSV, encoding="utf-8")
    return found


def test_costs_in_the_mean_of_a_rule(places: Places) -> None:
    assert costs.seconds_by_rule(places) == {("paper", "air_train"): 200, ("laptop", "air_train"): 7}
    for damage in (b"", bytes(100)):
        places.recorded_costs.write_bytes(damage)
        assert costs.seconds_by_rule(places) == {}
    places.recorded_costs.unlink()
    assert costs.seconds_by_rule(places) == {}


def test_time_left_follows_the_pace_of_this_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """200 recorded seconds took 50 here: the other 400 take 100."""
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    left = TimeLeft({"a": 3, "b": 1, "c": 1}, {("paper", "a"): 200.0, ("paper", "b"): 0.0})
    assert left.finish("c", "paper") == "1 of 5 jobs done"
    now[0] = 50.0
    assert left.finish("a", "paper") == "2 of 5 jobs done, about 1.67 min left"
    assert TimeLeft({"x": 2}, {}).finish("x", "paper") == "1 of 2 jobs done, 1 without a recorded cost"
