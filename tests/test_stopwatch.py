"""The time of a process is divided without rest among what it was spent on."""

from collections.abc import Iterator

import pytest

from elbogap import stopwatch
from elbogap.stopwatch import spending


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[float]]:
    now = [0.0]
    monkeypatch.setattr(stopwatch.time, "perf_counter", lambda: now[0])
    stopwatch._spent.clear()
    yield now
    stopwatch._spent.clear()


def test_time_inside_something_else_counts_there_alone(clock: list[float]) -> None:
    with spending("evaluation"):
        clock[0] = 1
        with spending("data"):
            clock[0] = 3
        clock[0] = 7
    clock[0] = 20
    with spending("data"):
        clock[0] = 21
    assert stopwatch.spent() == {"evaluation": 5, "data": 3}


def test_time_counts_though_the_work_fails(clock: list[float]) -> None:
    @spending("training")
    def fail() -> None:
        clock[0] = 2
        raise ValueError("it")

    with pytest.raises(ValueError, match="it"):
        fail()
    assert stopwatch.spent() == {"training": 2}
