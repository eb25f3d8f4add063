"""Kind G: the right value with a poisoned derivative.

Promise: where a value is finite its derivative is the right one, at the edges too (equal values, values of
10,000, distances and probabilities of 0) and whatever else is done with the same tensors; and a point without
finite value never makes NaN of the gradient in parameters that it shares with others.
"""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from elbogap import densities
from elbogap.evaluation.iw_svi import fit
from elbogap.inference import (
    bounds,
    denoising,
    empirical,
    exact_importance,
    exponential_family,
    hmc,
    importance,
)
from elbogap.inference.families.affine_mean import AffineMean
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.bernoulli import BernoulliCodes
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.families.semi_implicit import Implicit, SemiImplicit
from elbogap.inference.objectives.adversarial import DensityRatio, discriminator_objective
from elbogap.inference.objectives.base import StandardNormalPrior
from elbogap.inference.objectives.codes import ARM, REINFORCE, DisARM, OfCodes
from elbogap.inference.objectives.contrastive import VCD, Hoffman
from elbogap.inference.objectives.elbo import ELBO, SIVI
from elbogap.inference.objectives.mapa import MAPA
from elbogap.inference.prior_recovery import MonotoneMap, quantile_map
from elbogap.nn.mlp import MLP, Layers
from elbogap.nn.norm_bounded import NormBoundedMLP

INF, NAN = math.inf, math.nan
POINTS, TERMS = 4, 5

OfRows = Callable[[Tensor], Tensor]
"""Log-values `[B, K]`, K of each of B points, to `[B, ...]`."""


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


OTHERS = normal(POINTS, TERMS, seed=1)
STATISTICS = normal(TERMS, 3, seed=2)


def mapa(log_values: Tensor) -> Tensor:
    """Two terms for certain and the others drawn from a uniform tail."""
    log_weights = torch.tensor([0.0, 0.0, *[math.log(3 / (TERMS - 2))] * (TERMS - 2)], dtype=torch.float64)
    return MAPA().at(log_values + log_weights, -math.log(TERMS)).surrogate


def doubly(log_values: Tensor) -> Tensor:
    draws = log_values.mT.unsqueeze(-1)
    return bounds.doubly_reparameterised_iwae(draws, lambda z: z.squeeze(-1))


def estimator(objective: OfCodes) -> OfRows:
    """Bits with logits 0.3, where f is the sum of the log-values of the bits that are set, or 0."""

    def of_rows(log_values: Tensor) -> Tensor:
        uniforms = torch.rand(
            7, *log_values.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(3)
        )

        def f(bits: Tensor) -> Tensor:
            return torch.where(bits > 0, log_values, 0).sum(-1)

        q = BernoulliCodes(torch.full_like(OTHERS, 0.3))
        return objective.estimate(q, f, {"uniform": uniforms}).surrogate.mean(0)

    return of_rows


def density_ratio(log_values: Tensor) -> Tensor:
    """The log-values are draws on the line."""
    model = StandardNormalPrior(lambda z: z.squeeze(-1))
    objective = DensityRatio(lambda z: torch.tanh(z.squeeze(-1)))
    return objective.estimate(Implicit(lambda e: e, 1), model, {"normal": log_values.unsqueeze(-1)}).mean()


def elbo_of_draws(log_values: Tensor) -> Tensor:
    """Their log-joints are the log-values."""
    zero = torch.zeros(1, dtype=torch.float64)
    noise = {"normal": OTHERS.unsqueeze(-1)}
    return ELBO().estimate(DiagonalGaussian(zero, zero), lambda _: log_values, noise).mean()


def divergence(log_values: Tensor) -> Tensor:
    return exponential_family.enumerated(log_values, OTHERS.log_softmax(-1)).elbo


OF_ROWS: dict[str, OfRows] = {
    "log_sum_exp": lambda v: densities.log_sum_exp(v, -1),
    "log_mean_exp": lambda v: densities.log_mean_exp(v, -1),
    "softmax": lambda v: densities.softmax(v, -1),
    "log_softmax": lambda v: densities.log_softmax(v, -1),
    "categorical_kl from": lambda v: densities.categorical_kl(densities.log_softmax(v, -1), OTHERS),
    "categorical_kl to": lambda v: densities.categorical_kl(OTHERS, densities.log_softmax(v, -1)),
    "elbo": lambda v: bounds.elbo(v.mT),
    "iwae": lambda v: bounds.iwae(v.mT),
    "iwae of one point": lambda v: torch.stack([bounds.iwae(one) for one in v]),
    "normalised_weights": lambda v: bounds.normalised_weights(v.mT).mT,
    "doubly_reparameterised_iwae": doubly,
    "log_batch_conditional": lambda v: importance.log_batch_conditional(OTHERS.mT, v.mT).mT,
    "log_conditional": lambda v: importance.log_conditional(OTHERS[:, 0], v[:, 0], v[:, 1:].mT),
    "log_marginal": lambda v: importance.log_marginal(OTHERS[:, 0], v[:, 0], v[:, 1:].mT.view(2, 2, POINTS)),
    "index_log_posterior": empirical.index_log_posterior,
    "empiricalised_log_likelihood": empirical.empiricalised_log_likelihood,
    "mapa": mapa,
    "generator_means": lambda v: denoising.generator_means(v, STATISTICS),
    "log_encoder": lambda v: exponential_family.log_encoder(v, torch.eye(TERMS, dtype=torch.float64)),
    "enumerated": divergence,
    "arm": estimator(ARM()),
    "disarm": estimator(DisARM()),
    "reinforce": estimator(REINFORCE()),
    "discriminator_objective": lambda v: discriminator_objective(v, OTHERS),
    "DensityRatio": density_ratio,
    "ELBO": elbo_of_draws,
}

EDGES: dict[str, Tensor] = {
    "plain": normal(POINTS, TERMS),
    "equal": torch.zeros(POINTS, TERMS, dtype=torch.float64),
    "1e3": 1e3 * normal(POINTS, TERMS),
    "1e4": 1e4 * normal(POINTS, TERMS),
    "-1e4": normal(POINTS, TERMS) - 1e4,
}
ESTIMATED = ("arm", "disarm", "reinforce", "DensityRatio", "ELBO", "doubly_reparameterised_iwae")
EXACT = [name for name in OF_ROWS if name not in ESTIMATED]


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", EXACT)
def test_derivatives_at_the_edges_are_those_of_finite_differences(name: str, edge: str) -> None:
    values = EDGES[edge].clone().requires_grad_()
    assert gradcheck(OF_ROWS[name], values, atol=1e-4)
    if edge in ("plain", "equal"):
        assert gradgradcheck(OF_ROWS[name], values)


@pytest.mark.parametrize("name", EXACT)
def test_a_term_of_no_probability_has_no_derivative_and_leaves_those_of_the_others(name: str) -> None:
    """The first three terms of each point vary, of the other two one is impossible."""

    def function(values: Tensor) -> Tensor:
        impossible = torch.full((POINTS, 1), -INF, dtype=torch.float64)
        every = OF_ROWS[name](torch.cat([values, impossible, OTHERS[:, :1]], 1))
        return torch.where(every.isfinite(), every, 0)

    assert gradcheck(function, normal(POINTS, 3).requires_grad_())


DEAD = {
    "no weight": [-INF] * TERMS,
    "an infinite weight": [0.0, INF, 0.0, -INF, 1.0],
    "NaN": [0.0, 1.0, NAN, 0.0, -INF],
}


@pytest.mark.parametrize("dead", DEAD)
@pytest.mark.parametrize("name", OF_ROWS)
def test_a_point_without_a_finite_value_leaves_the_shared_gradient_of_the_others(
    name: str, dead: str
) -> None:
    """A parameter moves all points; the loss is the other points' alone, or replaces the dead one's value."""
    shared = torch.tensor([0.7, -0.4], dtype=torch.float64, requires_grad=True)
    lines = normal(POINTS, TERMS, 2, seed=4)

    def values(row: list[float] | None) -> Tensor:
        moving = (lines @ shared).tanh()
        if row is None:
            return moving
        fixed = torch.tensor(row, dtype=torch.float64)
        last = torch.where(fixed == 0, moving[-1], fixed)
        return torch.cat([moving[:-1], last[None]])

    with_dead, alone = (OF_ROWS[name](values(row))[:-1].sum() for row in (DEAD[dead], None))
    torch.testing.assert_close(with_dead, alone)
    (found,) = torch.autograd.grad(with_dead, shared)
    (expected,) = torch.autograd.grad(alone, shared)
    assert expected.abs().max() > 1e-3 or name in ("normalised_weights", "softmax")
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("dead", DEAD)
@pytest.mark.parametrize("name", [name for name in EXACT if name != "discriminator_objective"])  # torch's own
def test_a_point_without_a_finite_value_leaves_the_shared_second_derivatives(name: str, dead: str) -> None:
    def slope(row: list[float] | None, shared: Tensor) -> Tensor:
        values = shared.tanh() * OTHERS
        if row is not None:
            values = torch.cat([values[:-1], torch.tensor([row], dtype=torch.float64) + 0 * shared])
        loss = (OF_ROWS[name](values)[:-1] * torch.arange(1.0, POINTS)[:, None]).sum()
        (first,) = torch.autograd.grad(loss, shared, create_graph=True)
        return torch.autograd.grad(first, shared)[0]

    shared = torch.tensor(0.3, dtype=torch.float64, requires_grad=True)
    torch.testing.assert_close(slope(DEAD[dead], shared), slope(None, shared))


@pytest.mark.parametrize("name", ["iwae", "doubly_reparameterised_iwae", "mapa", "log_marginal"])
def test_a_point_of_no_weight_is_minus_infinity_and_constant(name: str) -> None:
    values = normal(POINTS, TERMS)
    values[1] = -INF
    values.requires_grad_()
    bound = OF_ROWS[name](values)
    assert bound[1] == -INF if name != "log_marginal" else bound[1].isnan()
    (gradient,) = torch.autograd.grad(bound.sum(), values)
    assert torch.equal(gradient[1], torch.zeros(TERMS, dtype=torch.float64))
    assert gradient.isfinite().all()
    assert gradient[0].abs().sum() > 0.1


def test_one_draw_of_no_weight_does_not_spoil_the_doubly_reparameterised_bound() -> None:
    draws = normal(TERMS, 2, 1).requires_grad_()

    def log_weights(z: Tensor) -> Tensor:
        return torch.where(z > 0.5, -INF, -z.square())[..., 0]

    bound = bounds.doubly_reparameterised_iwae(draws, log_weights)
    torch.testing.assert_close(bound, bounds.iwae(log_weights(draws)))
    assert (log_weights(draws) == -INF).any()
    (found,) = torch.autograd.grad(bound.sum(), draws)
    weights = log_weights(draws.detach()).softmax(0)
    torch.testing.assert_close(found[..., 0], weights.square() * -2 * draws.detach()[..., 0])


def test_the_callers_draws_have_the_gradient_of_all_that_is_made_of_them() -> None:
    """Two bounds on the same draws, one of them doubly reparameterised, and a term without any bound."""
    draws = normal(3, 2, 1, seed=5).requires_grad_()

    def log_weights(z: Tensor) -> Tensor:
        return -(z.squeeze(-1) - 1).square()

    def parts() -> list[Tensor]:
        doubly = (bounds.doubly_reparameterised_iwae(draws, log_weights).sum() for _ in range(2))
        return [*doubly, draws.square().sum(), bounds.iwae(log_weights(draws)).sum()]

    apart = [torch.autograd.grad(one, draws)[0] for one in parts()]
    (together,) = torch.autograd.grad(torch.stack(parts()).sum(), draws)
    torch.testing.assert_close(together, sum(apart))
    torch.testing.assert_close(apart[2], 2 * draws.detach())
    assert not draws._backward_hooks


def test_fits_of_other_observations_do_not_feel_one_that_is_impossible() -> None:
    """z of the second observation has no density anywhere."""

    def log_joint(z: Tensor) -> Tensor:
        return -0.5 * (z - 3).square().sum(-1) + torch.tensor([0.0, -INF], dtype=torch.float64)

    start = DiagonalGaussian(*torch.zeros(2, 1, 2, 1, dtype=torch.float64))
    random = torch.Generator().manual_seed(0)
    q = fit(log_joint, start, samples=4, steps=400, learning_rate=0.1, generator=random)
    assert float(q.mean[0, 0]) == pytest.approx(3, abs=0.05)
    assert float(q.mean[0, 1]) == 0


def mixture_density(z: Tensor) -> Tensor:
    """Two equal components, and one of no weight."""
    log_weight = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64).log()
    mean = torch.tensor([[0.0], [0.0], [1.0]], dtype=torch.float64)
    return GaussianMixture(log_weight, mean, torch.ones_like(mean)).log_prob(z)


FAMILY = SemiImplicit(lambda e: e, torch.zeros(1, 2, dtype=torch.float64), 2)
EYE, NOTHING = torch.eye(2, dtype=torch.float64)[None], torch.zeros(1, 1, 2, dtype=torch.float64)
AFFINE = AffineMean(Layers([EYE], [NOTHING], "identity"), NOTHING, EYE.shape[1])
ZERO, ONE = torch.zeros(1, 2, dtype=torch.float64), torch.ones(1, 2, dtype=torch.float64)
TIED = quantile_map(torch.tensor([0.0, 1.0, 1.0, 1.0, 2.0], dtype=torch.float64))


def sivi(q: SemiImplicit, mixing: Tensor) -> Tensor:
    """The bound of draws at the noise e `[..., B, 2]` with one other noise, which is 0."""
    noise = {
        "mixing": mixing,
        "normal": torch.zeros_like(mixing),
        "more": torch.zeros_like(mixing)[..., None, :, :],
    }
    return SIVI(1).estimate(q, lambda z: z.sum(-1), noise).surrogate


def bounded(weight: Tensor) -> Tensor:
    """The weights of a norm-bounded layer whose columns are those of `[2, 2]`."""
    network = MLP.from_tensors([weight.detach()[None]], [torch.zeros(1, 1, 2, dtype=torch.float64)], "tanh")
    layer = NormBoundedMLP.around(network, [1.0])
    return weight * layer._shrinking(weight[None], layer.scales[0])[0]


COINCIDING: dict[str, tuple[Callable[[Tensor], Tensor], Tensor]] = {
    "gaussian_log_density": (lambda v: densities.gaussian_log_density(v, ZERO, ZERO), ZERO),
    "isotropic_gaussian_log_density": (
        lambda v: densities.isotropic_gaussian_log_density(v, ZERO, 0.3),
        ZERO,
    ),
    "standard_gaussian_log_density": (densities.standard_gaussian_log_density, ZERO),
    "pairwise_gaussian_log_density": (
        lambda v: densities.pairwise_gaussian_log_density(v, torch.cat([ZERO, ONE]), 0.3),
        torch.cat([ZERO, ZERO, ONE]),
    ),
    "bernoulli_log_likelihood": (lambda v: densities.bernoulli_log_likelihood(ONE, v), ZERO),
    "bernoulli_log_likelihood, 1e3": (lambda v: densities.bernoulli_log_likelihood(ONE, v), -1e3 * ONE),
    "pairwise_bernoulli_log_likelihood": (
        lambda v: densities.pairwise_bernoulli_log_likelihood(torch.cat([ZERO, ONE]), v),
        torch.cat([ZERO, 1e3 * ONE]),
    ),
    "gaussian_kl_to_standard": (lambda v: densities.gaussian_kl_to_standard(v, v), ZERO),
    "bernoulli_kl_to_uniform": (densities.bernoulli_kl_to_uniform, torch.cat([ZERO, ONE, 1e3 * ONE])),
    "log_kernel_weights": (lambda v: denoising.log_kernel_weights(v, torch.cat([ZERO, ONE]), 0.7), ZERO),
    "natural_parameters": (
        lambda v: denoising.natural_parameters(v, torch.cat([ZERO, ONE]), STATISTICS[:2], 0.7),
        torch.cat([ZERO, ONE]),
    ),
    "GaussianMixture.log_prob": (mixture_density, torch.zeros(2, 1, dtype=torch.float64)),
    "SemiImplicit.log_prob": (lambda v: FAMILY.log_prob(v, {"more": ZERO.expand(3, 1, 2)}), ZERO),
    "SIVI": (lambda v: sivi(FAMILY, v), ZERO),
    "SIVI of affine means": (lambda v: sivi(AFFINE, v[None]), ZERO),
    "MonotoneMap": (MonotoneMap.identity(1.0), torch.tensor([0.3, 5.0], dtype=torch.float64)),
    "MonotoneMap.inverse": (TIED.inverse, torch.tensor([-1.0, 0.3, 1.7, 9.0], dtype=torch.float64)),
    "NormBoundedMLP": (bounded, torch.tensor([[2.0, 1e-2], [3.0, 0.0]], dtype=torch.float64)),
}


@pytest.mark.parametrize("name", COINCIDING)
def test_first_and_second_derivatives_where_things_coincide(name: str) -> None:
    function, at = COINCIDING[name]
    at = at.clone().requires_grad_()
    assert gradcheck(function, at)
    assert gradgradcheck(function, at)


def test_flat_pieces_of_a_quantile_map_have_no_derivative() -> None:
    codes = torch.tensor([0.5, 1.0, 5.0], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(TIED.inverse(codes).sum(), codes)
    assert gradient[0] > 0.1
    assert gradient[1:].tolist() == [0, 0]


@pytest.mark.parametrize("size", [0.0, 1e-30, 1e-20, 1e-3])
def test_small_columns_of_a_norm_bounded_layer_are_as_they_are(size: float) -> None:
    weight = torch.tensor([[size, 1.0], [0.0, 2.0]], requires_grad=True)
    network = MLP.from_tensors([weight.detach()[None]], [torch.zeros(1, 1, 2)], "tanh")
    layer = NormBoundedMLP.around(network, [1.0])
    made = layer.layer_weights()[0]
    assert torch.equal(made[0, :, 0], weight.detach()[:, 0])
    (gradient,) = torch.autograd.grad(made[0, :, 0].sum(), layer.weights[0])
    assert torch.equal(gradient[0], torch.tensor([[1.0, 0.0], [1.0, 0.0]]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_extreme_variances_have_finite_densities_and_derivatives(dtype: torch.dtype) -> None:
    """At the mean log N = -1/2 (log 2 pi + s), whatever s; float32 holds exp s for s from -87 to 88."""
    for log_variance in (-170.0, -90.0, 0.0, 90.0, 170.0):
        truth = pytest.approx(-0.5 * (math.log(2 * math.pi) + log_variance), rel=1e-6)
        value, mean, s = (
            torch.tensor([one], dtype=dtype, requires_grad=True) for one in (0.0, 0.0, log_variance)
        )
        found = densities.gaussian_log_density(value, mean, s)
        assert found.item() == truth
        gradients = torch.autograd.grad(found, [value, mean, s])
        assert [float(one) for one in gradients] == [0, 0, -0.5]
        one = torch.zeros(1, 1, dtype=dtype)
        mixture = GaussianMixture(one[0], one, torch.full_like(one, log_variance / 2).exp())
        assert mixture.log_prob(one).item() == truth
        isotropic = densities.isotropic_gaussian_log_density(value, mean, math.exp(log_variance))
        assert isotropic.item() == truth
        pairwise = densities.pairwise_gaussian_log_density(value[None], mean[None], math.exp(log_variance))
        assert pairwise.item() == truth
        for density in (isotropic, pairwise):
            assert torch.autograd.grad(density.sum(), value)[0].item() == 0


def test_certain_bits_are_one_bit_from_uniform_in_single_precision_too() -> None:
    logits = torch.tensor([1e4, -1e8, 1e30], requires_grad=True)
    found = densities.bernoulli_kl_to_uniform(logits)
    assert found.item() == pytest.approx(3 * math.log(2), rel=1e-6)
    (gradient,) = torch.autograd.grad(found, logits)
    assert gradient.tolist() == [0, 0, 0]


def test_a_divergence_from_what_q_excludes_is_infinite_and_constant() -> None:
    half, certain = torch.tensor([0.5, 0.5]).log(), torch.tensor([1.0, 0.0]).log()
    log_p = torch.stack([half, certain, half]).requires_grad_()
    log_q = torch.stack([certain, half, half]).requires_grad_()
    found = densities.categorical_kl(log_p, log_q)
    assert found.tolist() == [INF, pytest.approx(math.log(2)), 0]
    for gradient in torch.autograd.grad(found.sum(), (log_p, log_q)):
        assert gradient.isfinite().all()
        assert gradient[0].tolist() == [0, 0]
        assert gradient[1, 1] == 0
        assert gradient[1, 0] != 0


def test_a_divergence_of_what_is_no_distribution_is_not_silently_zero() -> None:
    nothing = torch.tensor([NAN, NAN])
    assert densities.categorical_kl(nothing, torch.zeros(2)).isnan()
    assert densities.categorical_kl(torch.zeros(2), nothing).isnan()


def test_without_its_share_the_refined_end_of_a_chain_does_not_count() -> None:
    """alpha = 0 is the ELBO, even where q_0 excludes where the chain ended."""
    theta = torch.tensor(0.5, dtype=torch.float64, requires_grad=True)

    class Half(DiagonalGaussian):
        """Without density above 5."""

        def log_prob(self, z: Tensor, noise: object = None) -> Tensor:
            return torch.where(z[..., 0] > 5, -INF, -(z - self.mean)[..., 0].square())

    def log_joint(z: Tensor) -> Tensor:
        return -z[..., 0].square()

    start, end = theta * torch.ones(2, 1, dtype=torch.float64), torch.tensor([[6.0], [1.0]])
    q = Half(theta[None], torch.zeros(1, dtype=torch.float64))
    objective = VCD(hmc.Kernel(1), 0.1, torch.tensor([0.0, 1.0], dtype=torch.float64))
    found = objective.contrast(log_joint, q, start, end.double())
    elbo = (log_joint(start) - q.log_prob(start))[0]
    torch.testing.assert_close(objective.watched(found)[0], elbo.detach())
    (gradient,) = torch.autograd.grad(found.surrogate.sum(), theta, retain_graph=True)
    alone = VCD(hmc.Kernel(1), 0.1).contrast(log_joint, q, start[1:], end[1:].double()).surrogate
    expected = torch.autograd.grad(alone.sum() + elbo, theta)
    torch.testing.assert_close(gradient, expected[0])


def test_a_model_without_density_where_a_chain_ended_leaves_the_others() -> None:
    weight = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    z = torch.tensor([[0.5], [2.0]], dtype=torch.float64)

    class Learning:
        """Without density above 1 as it learns; the chains are on another one."""

        def __call__(self, z: Tensor) -> Tensor:
            return torch.where(z > 1, -INF, -weight * z.square())[..., 0]

        def detach(self) -> LogJoint:
            return lambda z: 3 * z[..., 0]

    class Still(hmc.Kernel):
        """An iteration that stays where it is."""

        def run(self, log_density: LogJoint, start: Tensor, *_: object) -> hmc.Chains:
            return hmc.Chains(start.detach()[None], torch.ones(1, 2), torch.tensor(0.1))

    q, noise = DiagonalGaussian(*torch.zeros(2, 1, dtype=torch.float64)), {"normal": z}
    found = Hoffman(Still(1), 0.1).estimate(q, Learning(), noise)
    torch.testing.assert_close(found.value, 3 * z[..., 0] - q.log_prob(z))
    assert torch.autograd.grad(found.mean().sum(), weight)[0] == -0.125


def test_exact_bounds_have_derivatives_for_weights_that_are_far_apart() -> None:
    mass = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)

    def bound(log_weights: Tensor) -> Tensor:
        return exact_importance.iwae(exact_importance.weight_transform(mass, log_weights), 3)

    for spread in (0.0, 1.0, 600.0):
        log_weights = spread * torch.tensor([0.0, -1.0, -0.5], dtype=torch.float64)
        assert gradcheck(bound, log_weights.requires_grad_(), atol=1e-4)
