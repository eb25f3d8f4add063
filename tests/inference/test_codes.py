"""The estimators integrated exactly over their noise, against all 2^L codes.

Between the points 0, sigmoid(-|a|), sigmoid(|a|) and 1 of each bit's u, no code changes and each estimate is
linear in u: two Gauss nodes in each piece integrate it and its square exactly.
"""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.bernoulli import BernoulliCodes
from elbogap.inference.objectives.codes import ARM, REINFORCE, DisARM, OfCodes

ESTIMATORS = {"arm": ARM(), "disarm": DisARM(), "reinforce": REINFORCE()}
SEEDS = st.integers(0, 2**31)
L = 3


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def table(values: Tensor) -> LogJoint:
    """The function that has these values `[2^L]` at the codes, read as binary numbers."""
    powers = 2 ** torch.arange(L, dtype=torch.float64)
    return lambda codes: values[(codes @ powers).long()]


def all_codes() -> Tensor:
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=L)), dtype=torch.float64)


def expectation(values: Tensor, logits: Tensor) -> Tensor:
    """E f by enumeration, differentiable."""
    every = all_codes()
    log_q = (every * logits - torch.nn.functional.softplus(logits)).sum(-1)
    return log_q.exp() @ table(values)(every)


def nodes(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Values of u `[Q, L]` and weights `[Q]` of the exact integral over the unit cube."""
    points, weights = np.polynomial.legendre.leggauss(2)
    bits = []
    for logit in logits.detach().tolist():
        inner = 1 / (1 + math.exp(abs(logit)))
        pieces = list(itertools.pairwise([0.0, inner, 1 - inner, 1.0]))
        bits.append([(a + (b - a) * (p + 1) / 2, (b - a) * w / 2) for a, b in pieces
                     for p, w in zip(points, weights, strict=True)])  # fmt: skip
    grid = torch.tensor(list(itertools.product(*bits)), dtype=torch.float64)
    return grid[..., 0], grid[..., 1].prod(-1)


def expected_value(objective: OfCodes, function: LogJoint, logits: Tensor, uniforms: Tensor) -> Tensor:
    """The mean of f over samples `[S, ..., L]`, with its gradient: the objective without the entropy."""
    q = BernoulliCodes(logits)
    found = objective.estimate(q, function, {"uniform": uniforms})
    surrogate = found.surrogate - q.entropy()
    return (surrogate - surrogate.detach() + found.value - q.entropy().detach()).mean(0)


def gradients(objective: OfCodes, values: Tensor, logits: Tensor, uniforms: Tensor) -> Tensor:
    """The estimate at each u `[Q, L]` by itself, as a batch with a single sample."""
    live = logits.expand(uniforms.shape).clone().requires_grad_()
    (found,) = torch.autograd.grad(expected_value(objective, table(values), live, uniforms[None]).sum(), live)
    return found


def moments(name: str, values: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of the estimate over its noise, `[L]` each."""
    uniforms, weights = nodes(logits)
    found = gradients(ESTIMATORS[name], values, logits, uniforms)
    mean = weights @ found
    return mean, weights @ (found - mean).square()


@pytest.mark.parametrize("name", ESTIMATORS)
@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_estimates_are_unbiased(name: str, seed: int) -> None:
    values, logits = 3 * draw(seed, 2**L), 2 * draw(seed + 1, L).requires_grad_()
    (expected,) = torch.autograd.grad(expectation(values, logits), logits)
    torch.testing.assert_close(moments(name, values, logits)[0], expected, rtol=1e-9, atol=1e-10)


@settings(deadline=None, max_examples=30)
@given(seed=SEEDS)
def test_averaging_over_the_augmentation_never_adds_variance(seed: int) -> None:
    values, logits = draw(seed, 2**L), 2 * draw(seed + 1, L)
    arm_variance, disarm_variance = (moments(name, values, logits)[1] for name in ("arm", "disarm"))
    assert (disarm_variance <= arm_variance + 1e-12).all()
    assert disarm_variance.sum() < arm_variance.sum()


def test_antithetic_codes_beat_one_code_on_functions_far_from_zero() -> None:
    """Such as the negative log-likelihood of a document, hundreds of nats for any code."""
    values, logits = 100 + 5 * draw(0, 2**L), draw(1, L)
    variance = {name: moments(name, values, logits)[1].sum() for name in ESTIMATORS}
    assert variance["disarm"] < variance["arm"] < 0.1 * variance["reinforce"]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_samples_are_averaged_and_divide_the_variance(name: str) -> None:
    values, logits = draw(0, 2**L), draw(1, L)
    generator = torch.Generator().manual_seed(2)
    uniforms = torch.rand((5, 20000, L), generator=generator, dtype=torch.float64)
    live = logits.expand(20000, L).clone().requires_grad_()
    (joint,) = torch.autograd.grad(
        expected_value(ESTIMATORS[name], table(values), live, uniforms).sum(), live
    )
    single = torch.stack([gradients(ESTIMATORS[name], values, logits, one) for one in uniforms])
    torch.testing.assert_close(joint, single.mean(0))
    torch.testing.assert_close(joint.var(0), moments(name, values, logits)[1] / 5, rtol=0.06, atol=1e-12)


@pytest.mark.parametrize("name", ESTIMATORS)
def test_value_and_parameter_gradient_are_those_of_the_mean_over_the_codes(name: str) -> None:
    weight, logits = draw(0, L).requires_grad_(), draw(1, 4, L).requires_grad_()
    uniforms = torch.rand((6, 4, L), generator=torch.Generator().manual_seed(2), dtype=torch.float64)

    def function(codes: Tensor) -> Tensor:
        return (codes * weight).sum(-1).exp()

    found = expected_value(ESTIMATORS[name], function, logits, uniforms)
    expected = function(BernoulliCodes(logits).sample({"uniform": uniforms})).mean(0)
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)
    (slope,) = torch.autograd.grad(found.sum(), weight, retain_graph=True)
    (expected_slope,) = torch.autograd.grad(expected.sum(), weight)
    torch.testing.assert_close(slope, expected_slope)


def test_codes_are_bernoulli_with_these_logits() -> None:
    logits = torch.tensor([-2.0, 0.0, 1.0], dtype=torch.float64)
    uniforms, weights = nodes(logits)
    for u in (uniforms, 1 - uniforms):
        codes = BernoulliCodes(logits).sample({"uniform": u})
        torch.testing.assert_close(weights @ codes, torch.sigmoid(logits))


def test_entropy_and_divergence_are_those_of_all_codes() -> None:
    q, z = BernoulliCodes(2 * draw(0, L)), all_codes()
    log_q = q.log_prob(z)
    torch.testing.assert_close(q.entropy(), -log_q.exp() @ log_q)
    torch.testing.assert_close(q.kl_to_uniform(), log_q.exp() @ (log_q + L * math.log(2)))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_certain_bits_give_finite_gradients(name: str) -> None:
    logits = torch.tensor([60.0, -60.0, 0.3], dtype=torch.float64)
    uniforms = torch.rand((50, L), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert gradients(ESTIMATORS[name], draw(0, 2**L), logits, uniforms).isfinite().all()
