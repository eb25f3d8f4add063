"""When an ascent ends, and what it keeps."""

import math

import pytest
import torch
from torch import Tensor, nn

from elbogap.api.ascent import WINDOW, Steps, Trace, ascend


class Point(nn.Module):
    def __init__(self, at: float) -> None:
        super().__init__()
        self.x = nn.Parameter(torch.tensor(at, dtype=torch.float64))


def climb(point: Point, hill: "Hill", steps: Steps) -> Trace:
    return ascend(point, hill, torch.optim.Adam(point.parameters(), lr=0.02), steps=steps)


class Hill:
    """-x^2 / 2 with noise of this standard deviation; `faults` says what else happens at which step."""

    def __init__(
        self, point: Point, noise: float, faults: dict[int, Exception | float] | None = None
    ) -> None:
        self.point, self.noise, self.faults, self.calls = point, noise, faults or {}, 0
        self.random = torch.Generator().manual_seed(0)

    def __call__(self) -> Tensor:
        self.calls += 1
        fault = self.faults.get(self.calls, 0.0)
        if isinstance(fault, Exception):
            raise fault
        u = torch.randn((), generator=self.random, dtype=torch.float64)
        return -0.5 * self.point.x.square() + self.noise * u + fault * self.point.x


def test_an_ascent_ends_once_it_is_flat_at_each_learning_rate() -> None:
    point = Point(3.0)
    trace = climb(point, Hill(point, 0.1), "auto")
    assert trace.converged
    assert trace.reason.startswith(f"flat after {len(trace.values)} steps")
    assert len(trace.values) % WINDOW == 0
    assert 6 * WINDOW <= len(trace.values) < 20 * WINDOW
    assert abs(point.x.item()) < 0.02


def test_an_ascent_that_is_too_short_says_so() -> None:
    point = Point(30.0)
    trace = climb(point, Hill(point, 0.01), 100)
    assert not trace.converged
    assert "not flat after 100 steps: +" in trace.reason


def test_steps_without_a_gradient_are_left_out_and_counted() -> None:
    point = Point(1.0)
    faults = {3: math.nan, 7: math.nan}
    trace = climb(point, Hill(point, 0.1, faults), 400)
    assert trace.undefined == 2
    assert abs(point.x.item()) < 0.1


def test_an_ascent_without_a_finite_value_goes_back_and_ends() -> None:
    point = Point(1.0)
    faults = dict.fromkeys(range(2 * WINDOW + 1, 6 * WINDOW), math.nan)
    trace = climb(point, Hill(point, 0.1, faults), "auto")
    assert not trace.converged
    assert math.isfinite(point.x.item())


def test_a_program_s_mistake_ends_the_ascent() -> None:
    point = Point(1.0)
    with pytest.raises(KeyError):
        climb(point, Hill(point, 0.1, {2: KeyError("x")}), 5)


def test_the_gain_of_a_window_and_its_error() -> None:
    trace = Trace([1.0, 3.0, math.nan, 4.0, 6.0, math.nan])
    gain, error = trace.gain(3)
    assert gain == pytest.approx(3.0)
    assert error == pytest.approx(math.sqrt(2 / 2 + 2 / 2))
