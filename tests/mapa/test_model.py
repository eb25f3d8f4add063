"""Models trained by sparse MAPA: the bound, posteriors, priors and likelihoods against quadrature."""

import math

import numpy as np
import pytest
import torch
from torch import nn

from elbogap.densities import log_mean_exp
from elbogap.errors import UserError
from elbogap.mapa.kernels import Bernoulli, Gaussian
from elbogap.mapa.model import Mapa

VARIANCE = 0.02


def circle(count: int, seed: int = 0) -> torch.Tensor:
    random = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(count, generator=random)
    return torch.stack([angle.cos(), angle.sin()], -1) + VARIANCE**0.5 * torch.randn(
        count, 2, generator=random
    )


def network(inputs: int, outputs: int) -> nn.Module:
    return nn.Sequential(nn.Linear(inputs, 24), nn.Tanh(), nn.Linear(24, outputs))


@pytest.fixture(scope="module")
def fitted() -> Mapa:
    torch.manual_seed(0)
    model = Mapa(network(2, 1), network(1, 2), Gaussian(VARIANCE), code_scale=0.05, neighbours=30)
    return model.fit(circle(600), epochs=150, batch_size=50, learning_rate=0.01, progress=False)


def exact(model: Mapa, x: torch.Tensor) -> torch.Tensor:
    """log p(x) under the prior of the codes, by a grid over z."""
    grid = torch.linspace(float(model.codes.min()) - 1, float(model.codes.max()) + 1, 4000).unsqueeze(-1)
    joint = model.kernel.log_likelihood(x, model.decoder(grid)) + model.prior()(grid)
    return torch.logsumexp(joint, -1) + math.log(float(grid[1] - grid[0]))


def test_training_raises_the_bound_towards_the_entropy_of_the_data(fitted: Mapa) -> None:
    truth = -math.log(2 * math.pi) - 0.5 * math.log(2 * math.pi * math.e * VARIANCE)  # of a circle with noise
    assert fitted.trace[-1] > fitted.trace[0] + 3
    with torch.no_grad():
        np.testing.assert_allclose(exact(fitted, circle(500, seed=1)).mean(), truth, atol=0.25, rtol=0)
    assert 0 < fitted.decoder_passes <= 150 * 600 * 11


def test_the_bound_is_below_the_likelihood_on_average(fitted: Mapa) -> None:
    with torch.no_grad():
        assert fitted.trace[-1] < float(exact(fitted, fitted.points).mean()) + 0.05


def test_all_terms_and_no_entropy_give_the_empiricalised_likelihood() -> None:
    torch.manual_seed(0)
    x = circle(30)
    model = Mapa(network(2, 1), network(1, 2), Gaussian(VARIANCE), code_scale=0.0, neighbours=30, head=29)
    rows, generator = torch.arange(30), torch.Generator().manual_seed(0)
    proposal = model._proposal(None, x)
    with torch.no_grad():
        whole = log_mean_exp(model.kernel.log_likelihood(x, model.decoder(model.encoder(x))), -1)
        bounds = torch.stack(
            [model.bound(x, rows, proposal.terms(rows, 4, generator), generator) for _ in range(300)]
        )
    np.testing.assert_allclose(
        bounds.exp().mean(0), whole.exp(), atol=0.02 * float(whole.exp().max()), rtol=0
    )


def test_equal_seeds_train_equal_models() -> None:
    traces = []
    for _ in range(2):
        torch.manual_seed(0)
        model = Mapa(network(2, 1), network(1, 2), Gaussian(VARIANCE))
        traces.append(model.fit(circle(100), epochs=2, seed=3, progress=False).trace)
    assert traces[0] == traces[1]


def test_the_posterior_is_normalised_and_draws_from_itself(fitted: Mapa) -> None:
    posterior = fitted.posterior(circle(3, seed=2))
    grid = torch.linspace(float(fitted.codes.min()) - 1, float(fitted.codes.max()) + 1, 4000)
    log_q = posterior.log_prob(grid[:, None, None].expand(-1, 3, 1))
    np.testing.assert_allclose(torch.trapezoid(log_q.exp(), grid, dim=0), torch.ones(3), atol=1e-3, rtol=0)
    draws = posterior.sample(4000, torch.Generator().manual_seed(0)).squeeze(-1)
    means = torch.trapezoid(log_q.exp() * grid[:, None], grid, dim=0)
    np.testing.assert_allclose(draws.mean(0), means, atol=0.1, rtol=0)


@pytest.mark.parametrize("kind", ["codes", "mixture", "flow"])
def test_priors_are_normalised_and_near_the_codes(fitted: Mapa, kind: str) -> None:
    prior = fitted.prior(kind, components=8, steps=500)
    low, high = float(fitted.codes.min()) - 2, float(fitted.codes.max()) + 2
    grid = torch.linspace(low, high, 8000).unsqueeze(-1)
    np.testing.assert_allclose(torch.trapezoid(prior(grid).exp(), grid.squeeze(-1)), 1, atol=0.02, rtol=0)
    draws = fitted.draw_codes(2000, torch.Generator().manual_seed(0))
    gaussian = torch.distributions.Normal(draws.mean(), draws.std()).log_prob(draws.squeeze(-1))
    assert float(prior(draws).mean()) > float(gaussian.mean()) + 0.02


def test_the_likelihood_of_new_observations_is_that_of_quadrature(fitted: Mapa) -> None:
    x = circle(40, seed=4)
    with torch.no_grad():
        np.testing.assert_allclose(
            fitted.log_prob(x, num_samples=2000).mean(), exact(fitted, x).mean(), atol=0.02, rtol=0
        )


def test_samples_look_like_the_data(fitted: Mapa) -> None:
    radius = fitted.sample(2000).norm(dim=-1)
    np.testing.assert_allclose(radius.mean(), circle(2000, seed=5).norm(dim=-1).mean(), atol=0.05, rtol=0)


def test_near_batches_decode_fewer_codes() -> None:
    passes = {}
    for size in (1, 100):
        torch.manual_seed(0)
        model = Mapa(network(2, 1), network(1, 2), Gaussian(VARIANCE), num_samples=20, floor=0.05)
        passes[size] = model.fit(circle(1000), epochs=1, leaf_size=size, progress=False).decoder_passes
    assert 2 * passes[100] < passes[1]


def test_training_ends_at_its_budget_of_passes() -> None:
    model = Mapa(network(2, 1), network(1, 2), Gaussian(VARIANCE))
    model.fit(circle(100), epochs=50, most_passes=1, progress=False)
    assert len(model.trace) == 1


def test_binary_images_train() -> None:
    torch.manual_seed(0)
    x = (torch.rand(200, 12) < torch.rand(2, 12)[torch.randint(2, (200,))] ** 3).float()
    model = Mapa(network(12, 2), network(2, 12), Bernoulli(0.8))
    model.fit(x, epochs=15, batch_size=20, learning_rate=0.01, progress=False)
    assert model.trace[-1] > model.trace[0] + 0.3
    assert set(model.sample(10).unique().tolist()) <= {0.0, 1.0}


def test_codes_without_entropy_have_no_density(fitted: Mapa) -> None:
    atoms = Mapa(fitted.encoder, fitted.decoder, fitted.kernel, code_scale=0.0)
    atoms.points, atoms.codes = fitted.points, fitted.codes
    with pytest.raises(UserError, match="fit with code_scale > 0"):
        atoms.prior()
    with pytest.raises(UserError, match="fit with code_scale > 0"):
        atoms.posterior(fitted.points[:1]).log_prob(torch.zeros(1, 1, 1))


def test_a_bound_that_is_not_finite_ends_training_with_a_reason() -> None:
    class Broken(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return z.expand(-1, 2) * math.nan

    with pytest.raises(UserError, match="after 0 epochs; take a smaller learning rate"):
        Mapa(network(2, 1), Broken(), Gaussian(VARIANCE)).fit(circle(50), epochs=1, progress=False)
