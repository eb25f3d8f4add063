import copy

import pytest
import torch
from torch import Tensor

from elbogap.nn.damped_rms import DampedRms

SHARES = torch.tensor([1.0, 0.2, 3.0])
CURVATURE = torch.tensor([1e-3, 1.0, 50.0])
STEPS = 12


def gradient(value: Tensor, i: int) -> Tensor:
    """Of a quadratic function that moves."""
    return CURVATURE.to(value.dtype) * (value - i / 10)


def rate(i: int) -> float:
    return 0.1 * 0.9 ** (i // 5)


def by_hand(start: Tensor, decay: float) -> Tensor:
    """One element after the other, in Python's own numbers."""
    result = []
    for value, share, curvature in zip(start.tolist(), SHARES.tolist(), CURVATURE.tolist(), strict=True):
        square = 0.0
        for i in range(STEPS):
            g = curvature * (value - i / 10)
            square = g * g if i == 0 else decay * square + (1 - decay) * g * g
            value -= rate(i) * share * g / (1 + square**0.5)
        result.append(value)
    return torch.tensor(result, dtype=start.dtype)


def trained(
    start: Tensor, decay: float, *, interrupted: int = -1, rate_in_place: bool = False
) -> torch.nn.Parameter:
    parameter = torch.nn.Parameter(start.clone())
    place = torch.tensor(0.0, dtype=start.dtype)
    optimiser = DampedRms(parameter, SHARES.to(start.dtype), place, decay)
    for i in range(STEPS):
        if i == interrupted:
            saved = copy.deepcopy(optimiser.state_dict())
            parameter = torch.nn.Parameter(parameter.detach().clone())
            optimiser = DampedRms(parameter, SHARES.to(start.dtype), place, decay)
            optimiser.load_state_dict(saved)
        if rate_in_place:
            place.fill_(rate(i))
        else:
            optimiser.param_groups[0]["lr"] = rate(i)
        parameter.grad = gradient(parameter.detach(), i)
        optimiser.step()
    return parameter


@pytest.mark.parametrize("decay", [0.9, 0.5])
@pytest.mark.parametrize("rate_in_place", [False, True])
@pytest.mark.parametrize(("dtype", "digits"), [(torch.float64, 1e-13), (torch.float32, 1e-5)])
def test_steps_are_those_of_the_rule(
    decay: float, rate_in_place: bool, dtype: torch.dtype, digits: float
) -> None:
    start = torch.tensor([2.0, -1.0, 0.5], dtype=dtype)
    ours = trained(start, decay, rate_in_place=rate_in_place)
    torch.testing.assert_close(ours.detach(), by_hand(start, decay), rtol=digits, atol=digits)


@pytest.mark.parametrize("interrupted", [0, 1, 7])
def test_its_state_is_all_that_it_remembers(interrupted: int) -> None:
    start = torch.tensor([2.0, -1.0, 0.5], dtype=torch.float64)
    assert torch.equal(trained(start, 0.9, interrupted=interrupted), trained(start, 0.9))


def test_small_gradients_make_steps_of_gradient_descent_and_large_ones_steps_of_the_rate() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2, dtype=torch.float64))
    parameter.grad = torch.tensor([1e-6, -1e6], dtype=torch.float64)
    DampedRms(parameter, torch.ones(2, dtype=torch.float64), 0.1).step()
    torch.testing.assert_close(
        parameter.detach(), torch.tensor([-1e-7, 0.1], dtype=torch.float64), rtol=1e-5, atol=1e-14
    )


def test_without_a_gradient_nothing_moves() -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    DampedRms(parameter, SHARES, 0.1).step()
    assert torch.equal(parameter.detach(), torch.ones(3))
