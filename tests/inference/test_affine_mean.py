"""Semi-implicit families with an affine mean against the general ones."""

import pytest
import torch
from torch import Tensor

from elbogap.densities import standard_gaussian_log_density
from elbogap.inference import affine_mean, hmc, semi_implicit
from elbogap.inference.affine_mean import AffineMean
from elbogap.inference.semi_implicit import SemiImplicit
from elbogap.nn.mlp import MLP

M, E, D, S, L = 3, 2, 11, 4, 6


@pytest.fixture
def networks() -> tuple[MLP, Tensor]:
    generator = torch.Generator().manual_seed(0)
    mean = MLP(M, [E, 7, 5, D], "relu", generator, "wide", torch.float64)
    return mean, (0.3 * torch.randn(M, 1, D, generator=generator, dtype=torch.float64)).requires_grad_()


@pytest.fixture
def q(networks: tuple[MLP, Tensor]) -> AffineMean:
    return AffineMean.of(networks[0].layers(), networks[1])


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_the_mean_is_the_networks_and_z_is_placed_around_it(
    q: AffineMean, networks: tuple[MLP, Tensor]
) -> None:
    noise, draws = normal(1, M, S, E), normal(2, M, S, D)
    torch.testing.assert_close(q.mean(noise), networks[0](noise))
    torch.testing.assert_close(q.place(noise, draws), networks[0](noise) + networks[1].exp() * draws)


def test_densities_given_the_noises_are_gaussian(q: AffineMean) -> None:
    """Of every z under its own noise and under every other."""
    noise, draws, others = normal(1, M, S, E), normal(2, M, S, D), normal(3, M, L, E)
    z, means = q.place(noise, draws), q.mean(others)
    normals = torch.distributions.Normal(means[:, None], q.log_deviation.exp()[:, None])
    expected = normals.log_prob(z[:, :, None]).sum(-1)
    torch.testing.assert_close(q.conditional(draws)[..., None] + q.ratios(noise, draws)(others), expected)


def test_the_reverse_conditional_is_that_of_the_general_family_up_to_a_constant(q: AffineMean) -> None:
    noise, draws = normal(1, M, 1, E), normal(2, M, 1, D)
    general, cheap = q.plain().reverse(q.place(noise, draws)), q.reverse(noise, draws)
    others = [normal(seed, M, 1, E).requires_grad_() for seed in (3, 4)]
    changes = [density(others[1]) - density(others[0]) for density in (general, cheap)]
    torch.testing.assert_close(*changes)
    slopes = [torch.autograd.grad(change.sum(), others[1])[0] for change in changes]
    torch.testing.assert_close(*slopes)


@pytest.mark.parametrize("more", [0, 1, L])
def test_sivi_s_bound_and_its_gradient_are_those_of_the_general_one(
    q: AffineMean, networks: tuple[MLP, Tensor], more: int
) -> None:
    noise, draws, others = normal(1, M, 1, E), normal(2, M, 1, D), normal(3, M, more, E)

    def log_joint(z: Tensor) -> Tensor:
        return standard_gaussian_log_density(z) - z.sin().sum(-1)

    family = SemiImplicit(networks[0], networks[1])
    general = semi_implicit.sivi_bound(log_joint, family, noise, draws, others.unsqueeze(2))
    cheap = affine_mean.sivi_bound(log_joint, q, noise, draws, others)
    torch.testing.assert_close(cheap, general)
    parameters = [*networks[0].parameters(), networks[1]]
    slopes = [torch.autograd.grad(one.sum(), parameters) for one in (cheap, general)]
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_without_noise_the_bound_is_the_elbo_of_a_gaussian() -> None:
    mean, logarithm = normal(1, M, D), normal(2, M, 1, D)
    q = AffineMean.of(MLP.constant(mean).layers(), logarithm)
    draws = normal(3, M, S, D)
    z = mean[:, None] + logarithm.exp() * draws
    density = torch.distributions.Normal(mean[:, None], logarithm.exp()).log_prob(z).sum(-1)
    for more in (0, L):
        bound = affine_mean.sivi_bound(
            lambda z: z.sum(-1), q, normal(4, M, S, 0), draws, normal(5, M, more, 0)
        )
        torch.testing.assert_close(bound, z.sum(-1) - density)


def test_uivi_s_gradient_is_that_of_the_general_chain(q: AffineMean, networks: tuple[MLP, Tensor]) -> None:
    noise, draws = normal(1, M, 1, E), normal(2, M, 1, D)
    chain = hmc.Noise.draw(6, noise, torch.Generator().manual_seed(3))
    general = SemiImplicit(networks[0], networks[1])
    constant = SemiImplicit(networks[0].layers().detach(), networks[1].detach())
    parameters = [*networks[0].parameters(), networks[1]]
    slopes = []
    for family, reverse in ((general, None), (q.plain(), q.reverse(noise, draws))):
        found = semi_implicit.uivi_gradient(
            standard_gaussian_log_density, family, constant, noise, draws, chain,
            step_size=torch.full((M, 1), 0.05, dtype=torch.float64), burn_in=3, reverse=reverse,
        )  # fmt: skip
        assert not torch.equal(found.chains.last, noise)
        slopes.append(torch.autograd.grad(found.surrogate.sum(), parameters))
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs)
