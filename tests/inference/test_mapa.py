"""The proposal over indices and MAPA's bound are those of the functions that they replace."""

import math

import pytest
import torch
from torch import Tensor

from elbogap.inference import empirical, noise
from elbogap.inference.families.proposal import Proposal
from elbogap.inference.objectives.mapa import MAPA, Uniform
from elbogap.runtime import torch_generator

B, N = 30, 12


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch_generator(0, *shape))


@pytest.mark.parametrize(("k", "samples"), [(1, 0), (0, 5), (3, 1), (3, 40), (N - 1, 2), (N, 7)])
@pytest.mark.parametrize("uniform", [False, True])
def test_values_gradients_and_draws(k: int, samples: int, uniform: bool) -> None:
    log_q = empirical.index_log_posterior(normal(B, N) * (0 if uniform else 3))
    log_likelihood = 3 * normal(B, N + 1)[:, :N]
    log_likelihood.requires_grad_()
    new, old = torch_generator(1), torch_generator(1)
    for _ in range(2):
        q = Proposal.prepare(log_q, k, samples, new)
        drawn = noise.draw(q.noise(B), new, dtype=torch.float64)
        joint = Uniform(lambda indices: log_likelihood.gather(-1, indices), -math.log(N))
        estimate = MAPA().estimate(q, joint, drawn)
        terms = empirical.choose_terms(log_q, k, samples, old)
        before = empirical.mapa_bound(log_likelihood.gather(-1, terms.indices), terms, N)
        assert torch.equal(q.rsample(drawn), terms.indices)
        torch.testing.assert_close(q.terms(drawn).log_weights, terms.log_weights, rtol=1e-10, atol=1e-10)
        torch.testing.assert_close(estimate.value, before, rtol=1e-10, atol=1e-10)
        slopes = [torch.autograd.grad(value, log_likelihood)[0] for value in (estimate.mean(), before.mean())]
        torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-10)
