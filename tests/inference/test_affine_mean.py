"""Semi-implicit families with an affine mean against the general ones."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from elbogap.densities import standard_gaussian_log_density
from elbogap.inference import hmc
from elbogap.inference.families.affine_mean import AffineMean
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import draw
from elbogap.inference.objectives.base import Estimate
from elbogap.inference.objectives.elbo import SIVI
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import MLP

M, E, D, S, T = 3, 2, 11, 4, 6


@pytest.fixture
def networks() -> tuple[MLP, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mean = MLP(M, [E, 7, 5, D], "relu", generator, "wide", torch.float64)
    return mean, (0.3 * torch.randn(M, 1, D, generator=generator, dtype=torch.float64)).requires_grad_()


@pytest.fixture
def q(networks: tuple[MLP, Tensor]) -> AffineMean:
    return AffineMean(networks[0].layers(), networks[1], E)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def own(count: int = S, mixing: int = E, more: int = T) -> dict[str, Tensor]:
    """Noise of draws, and noises that all draws share."""
    return {
        "mixing": normal(1, M, count, mixing),
        "normal": normal(2, M, count, D),
        "more": normal(3, M, more, 1, mixing),
    }


def log_joint(z: Tensor) -> Tensor:
    return standard_gaussian_log_density(z) - z.sin().sum(-1)


def check_same(networks: tuple[MLP, Tensor], estimate: Callable[[SemiImplicit], Estimate]) -> None:
    """Values and gradients of the affine family and of the general one."""
    families = AffineMean(networks[0].layers(), networks[1], E), SemiImplicit(networks[0], networks[1], E)
    found = [estimate(q) for q in families]
    torch.testing.assert_close(found[0].value, found[1].value)
    parameters = [*networks[0].parameters(), networks[1]]
    slopes = [torch.autograd.grad(one.surrogate.sum(), parameters) for one in found]
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_mean_is_the_networks_and_draws_lie_around_it(
    q: AffineMean, networks: tuple[MLP, Tensor]
) -> None:
    noise = own()
    torch.testing.assert_close(q.mean(noise["mixing"]), networks[0](noise["mixing"]))
    expected = networks[0](noise["mixing"]) + networks[1].exp() * noise["normal"]
    torch.testing.assert_close(q.rsample(noise), expected)


def test_densities_given_the_noises_are_gaussian(q: AffineMean) -> None:
    """Of every z under its own noise and under every other."""
    noise, others = own(), normal(3, M, T, E)
    normals = torch.distributions.Normal(q.mean(others)[:, None], q.log_scale.exp()[:, None])
    expected = normals.log_prob(q.rsample(noise)[:, :, None]).sum(-1)
    torch.testing.assert_close(
        q.conditional_log_prob(noise)[..., None] + q.log_ratios(noise)(others), expected
    )


@pytest.mark.parametrize("count", [1, S])
def test_the_reverse_conditional_is_that_of_the_general_family_up_to_a_constant(
    q: AffineMean, count: int
) -> None:
    noise = own(count)
    z = q.rsample(noise)
    general, cheap = (one.reverse_conditional(z, noise) for one in (SemiImplicit(q.mean, q.log_scale, E), q))
    others = [normal(seed, M, count, E).requires_grad_() for seed in (3, 4)]
    changes = [density(others[1]) - density(others[0]) for density in (general, cheap)]
    torch.testing.assert_close(*changes)
    slopes = [torch.autograd.grad(change.sum(), others[1])[0] for change in changes]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("more", [0, 1, T])
@pytest.mark.parametrize("count", [1, S])
def test_sivi_s_bound_and_its_gradient_are_those_of_the_general_one(
    networks: tuple[MLP, Tensor], count: int, more: int
) -> None:
    check_same(networks, lambda q: SIVI(more).estimate(q, log_joint, own(count, more=more)))


def test_without_noise_the_bound_is_the_elbo_of_a_gaussian() -> None:
    mean, log_scale = normal(1, M, D), normal(2, M, 1, D)
    q = AffineMean(MLP.constant(mean).layers(), log_scale, 0)
    z = mean[:, None] + log_scale.exp() * own()["normal"]
    density = torch.distributions.Normal(mean[:, None], log_scale.exp()).log_prob(z).sum(-1)
    for more in (0, T):
        bound = SIVI(more).estimate(q, lambda z: z.sum(-1), own(mixing=0, more=more)).value
        torch.testing.assert_close(bound, z.sum(-1) - density)


@pytest.mark.parametrize("count", [1, S])
def test_uivi_s_gradient_is_that_of_the_general_chain(networks: tuple[MLP, Tensor], count: int) -> None:
    objective = UIVI(hmc.Kernel(6, burn_in=3), 0.05)
    specs = objective.noise(count, dimensions=D, mixing=E)
    noise = draw(specs, torch.Generator().manual_seed(3), M, dtype=torch.float64)
    check_same(networks, lambda q: objective.estimate(q, standard_gaussian_log_density, noise))
    q = AffineMean(networks[0].layers(), networks[1], E)
    still = UIVI(hmc.Kernel(6, burn_in=3), 1e-12)
    scores = [one.score(q, q.rsample(noise).detach(), noise) for one in (objective, still)]
    assert (scores[0] - scores[1]).abs().max() > 1e-3  # the chains do move
