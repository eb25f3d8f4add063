"""Against quadrature over a one-dimensional mixing noise, and formulas written out."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.distributions import Normal

from elbogap.densities import gaussian_log_density, standard_gaussian_log_density
from elbogap.inference import hmc
from elbogap.inference.semi_implicit import Gradient, SemiImplicit, sivi_bound, uivi_gradient
from elbogap.nn.mlp import MLP

PARAMETERS = {"slope": 1.2, "bend": 1.5, "log_deviation": -0.7}


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def nodes(count: int = 1801) -> tuple[Tensor, Tensor]:
    """Noises `[K, 1]` and log-weights of the trapezoidal rule under N(0, 1)."""
    points = torch.linspace(-9, 9, count, dtype=torch.float64)
    return points[:, None], standard_gaussian_log_density(points[:, None]) + math.log(18 / (count - 1))


def curved(parameters: dict[str, Tensor]) -> SemiImplicit:
    """mu(e) = a e + b tanh 2 e on the line; parameters `[...]` have the leading axes of `[..., B, 1]`."""

    def mean(noise: Tensor) -> Tensor:
        a, b = (
            parameters[name].reshape(parameters[name].shape + (1,) * (noise.ndim - parameters[name].ndim))
            for name in ("slope", "bend")
        )
        return a * noise + b * torch.tanh(2 * noise)

    return SemiImplicit(mean, parameters["log_deviation"][..., None, None])


def fixed(**changes: float) -> dict[str, Tensor]:
    return {name: torch.tensor(v, dtype=torch.float64) for name, v in (PARAMETERS | changes).items()}


def log_joint(z: Tensor) -> Tensor:
    """A target with two modes, up to a constant that is not 0."""
    z = z.squeeze(-1)
    return torch.logaddexp(-2 * (z - 2).square(), -0.5 * (z + 1).square()) + 0.3


LINE = torch.linspace(-14, 14, 1401, dtype=torch.float64)[:, None]  # holds all of q, in steps of 0.02


def exact_log_density(family: SemiImplicit, z: Tensor, count: int = 1801) -> Tensor:
    """log q by quadrature over the noise, `[Z, 1]` to `[Z]`."""
    noises, log_weights = nodes(count)
    return torch.logsumexp(family.conditional(z.unsqueeze(-2), family.mean(noises)) + log_weights, -1)


def exact_elbo(family: SemiImplicit) -> Tensor:
    """int q (log p - log q) dz."""
    log_q = exact_log_density(family, LINE)
    return (log_q.exp() * (log_joint(LINE) - log_q)).sum() * 0.02


def z_score(values: Tensor, exact: Tensor | float) -> float:
    """Distance of a mean of independent values from what it should be, in standard errors."""
    return float((values.mean() - exact) / (values.std() / len(values) ** 0.5))


def test_the_quadrature_resolves_the_density() -> None:
    log_density = exact_log_density(curved(fixed()), LINE)
    assert float(log_density.exp().sum() * 0.02) == pytest.approx(1, abs=1e-12)
    torch.testing.assert_close(exact_log_density(curved(fixed()), LINE, 901).exp(), log_density.exp())


def test_a_draw_is_placed_at_the_mean_and_its_conditional_is_the_gaussian_density() -> None:
    family = curved(fixed())
    noise, draws = normal(7, 1), normal(7, 1, seed=1)
    z = family.place(noise, draws)
    mean = 1.2 * noise + 1.5 * torch.tanh(2 * noise)
    torch.testing.assert_close(z, mean + math.exp(-0.7) * draws)
    expected = Normal(mean, math.exp(-0.7)).log_prob(z).sum(-1)
    torch.testing.assert_close(family.conditional(z, family.mean(noise)), expected)


def test_the_reverse_conditional_is_the_joint_density_of_noise_and_draw() -> None:
    """Integrated over the noise, it is log q(z); normalised, it averages conditional scores to that of q."""
    family = curved(fixed())
    z = torch.linspace(-4, 4, 9, dtype=torch.float64)[:, None].requires_grad_()
    noises, _ = nodes()
    log_reverse = family.reverse(z.unsqueeze(-2))(noises)
    integral = torch.logsumexp(log_reverse, -1) + math.log(0.01)
    torch.testing.assert_close(integral, exact_log_density(family, z))
    (score,) = torch.autograd.grad(integral.sum(), z)
    conditional = (family.mean(noises) - z.unsqueeze(-2)) * math.exp(1.4)
    averaged = (log_reverse.softmax(-1)[..., None] * conditional).sum(-2)
    torch.testing.assert_close(averaged, score, rtol=1e-9, atol=1e-9)


def uivi(family: SemiImplicit, shape: tuple[int, ...], seed: int, d: float, burn_in: int = 12) -> Gradient:
    """One kept state after so many iterations, for draws of the given shape."""
    noise = normal(*shape, 1, seed=seed)
    chain = hmc.Noise.draw(burn_in + 1, noise, generator(seed + 1))
    return uivi_gradient(
        log_joint, family, family, noise, normal(*shape, 1, seed=seed + 2), chain,
        step_size=torch.tensor(d, dtype=torch.float64), burn_in=burn_in,
    )  # fmt: skip


def test_the_estimated_score_is_that_of_q_on_average() -> None:
    """Many chains for each z, far from their start."""
    family = curved(fixed())
    leaf = torch.tensor([[-2.0], [-0.5], [0.3], [2.5]], dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(exact_log_density(family, leaf).sum(), leaf)
    z = leaf.detach().expand(10_000, 4, 1)
    start = torch.zeros_like(z)  # mu(0) = 0
    result = uivi_gradient(
        log_joint, family, family, start, z * math.exp(0.7), hmc.Noise.draw(42, start, generator(1)),
        step_size=torch.tensor(0.1, dtype=torch.float64), burn_in=40,
    )  # fmt: skip
    torch.testing.assert_close(result.z, z)
    for i in range(4):
        assert abs(z_score(result.score[:, i, 0], exact[i, 0])) < 4
    by_hand = (family.mean(result.chains.draws[40:]).mean(0) - z) * math.exp(1.4)
    torch.testing.assert_close(result.score, by_hand)


@pytest.mark.parametrize(("iterations", "biased"), [("many", False), ("none that move", True)])
def test_the_gradient_is_unbiased_once_the_chain_has_left_its_start(iterations: str, biased: bool) -> None:
    leaves = {name: value.requires_grad_() for name, value in fixed().items()}
    exact = torch.autograd.grad(exact_elbo(curved(leaves)), list(leaves.values()))
    groups = {name: value.detach().expand(100).clone().requires_grad_() for name, value in fixed().items()}
    result = uivi(curved(groups), (100, 1000), seed=3, d=1e-9 if biased else 0.1)
    estimates = torch.autograd.grad(result.surrogate.mean(1).sum(), list(groups.values()))
    scores = [abs(z_score(one, value)) for one, value in zip(estimates, exact, strict=True)]
    for one, value in zip(estimates, exact, strict=True):  # the test can tell a tenth of a nat per unit
        assert float(one.std()) / 10 < 0.02, value
    if biased:
        assert max(scores) > 20
        bound = {name: value.requires_grad_() for name, value in fixed().items()}
        noise, draws = normal(1000, 1000, 1, seed=6), normal(1000, 1000, 1, seed=7)
        value = sivi_bound(log_joint, curved(bound), noise, draws, noise.new_empty(1000, 0, 1000, 1)).mean()
        of_bound = torch.autograd.grad(value, list(bound.values()))  # what it is the gradient of instead
        for one, expected in zip(estimates, of_bound, strict=True):
            assert float(one.mean()) == pytest.approx(float(expected), abs=0.05)
    else:
        assert max(scores) < 4


def test_the_models_parameters_get_the_gradient_of_the_joint() -> None:
    weight = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    family = curved(fixed())
    noise, draws = normal(6, 1), normal(6, 1, seed=1)
    result = uivi_gradient(
        lambda z: weight * log_joint(z), family, family, noise, draws,
        hmc.Noise.draw(2, noise, generator()), step_size=torch.tensor(0.1, dtype=torch.float64), burn_in=1,
    )  # fmt: skip
    (gradient,) = torch.autograd.grad(result.surrogate.sum(), weight)
    torch.testing.assert_close(gradient, log_joint(family.place(noise, draws)).sum())
    torch.testing.assert_close(result.log_joint, 1.5 * log_joint(result.z))
    assert not any(one.requires_grad for one in (result.z, result.log_joint, result.score))


def test_only_the_burn_in_adapts_the_step_and_only_if_asked() -> None:
    noise, draws = normal(6, 1), normal(6, 1, seed=1)
    chain = hmc.Noise.draw(5, noise, generator())
    family = curved(fixed())
    step = torch.tensor(0.3, dtype=torch.float64)
    rule = hmc.Adaptation(0.8, 0.1)
    arguments = (log_joint, family, family, noise, draws, chain)
    plain = uivi_gradient(*arguments, step_size=step, burn_in=3)
    adapted = uivi_gradient(*arguments, step_size=step, burn_in=3, leapfrog_steps=4, adaptation=rule)
    expected = hmc.sample(
        family.reverse(family.place(noise, draws)), noise, chain,
        step_size=step, leapfrog_steps=4, adapting=3, adaptation=rule,
    )  # fmt: skip
    assert torch.equal(plain.chains.step_size, step)
    torch.testing.assert_close(adapted.chains.step_size, expected.step_size)
    torch.testing.assert_close(adapted.chains.draws, expected.draws)


def written_out(family: SemiImplicit, noise: Tensor, draws: Tensor, more: Tensor) -> Tensor:
    """L_L of one variable at a time, with densities instead of their logarithms."""
    deviation = family.log_deviation.exp()
    z = family.mean(noise) + deviation * draws
    densities = [Normal(family.mean(noise), deviation).log_prob(z).sum(-1).exp()]
    densities += [
        Normal(family.mean(more[..., i, :, :]), deviation).log_prob(z).sum(-1).exp()
        for i in range(more.shape[-3])
    ]
    return log_joint(z) - (sum(densities) / len(densities)).log()


@pytest.mark.parametrize("others", [0, 1, 4])
def test_the_bound_and_its_gradient_are_those_of_the_formula(others: int) -> None:
    noise, draws = normal(2, 5, 1), normal(2, 5, 1, seed=1)
    more = normal(2, others, 5, 1, seed=2)
    results = []
    for bound in (sivi_bound, None):
        leaves = {name: value.expand(2).clone().requires_grad_() for name, value in fixed().items()}
        family = curved(leaves)
        if bound is None:
            value = written_out(family, noise, draws, more)
        else:
            value = sivi_bound(log_joint, family, noise, draws, more)
        assert value.shape == (2, 5)
        results.append((value, *torch.autograd.grad(value.square().sum(), list(leaves.values()))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_without_others_the_bound_has_the_density_of_the_conditional() -> None:
    family = curved(fixed())
    noise, draws = normal(5, 1), normal(5, 1, seed=1)
    value = sivi_bound(log_joint, family, noise, draws, noise.new_empty(0, 5, 1))
    z = family.place(noise, draws)
    torch.testing.assert_close(value, log_joint(z) - family.conditional(z, family.mean(noise)))


def test_the_bound_rises_to_the_elbo_with_the_number_of_others() -> None:
    family = curved(fixed())
    count = 20_000
    noise, draws, more = normal(count, 1, seed=1), normal(count, 1, seed=2), normal(300, count, 1, seed=3)
    elbo = exact_elbo(family)
    values = [sivi_bound(log_joint, family, noise, draws, more[:others]) for others in (0, 1, 3, 10, 300)]
    for lower, higher in itertools.pairwise(values):
        assert z_score(higher - lower, 0) > 5
    assert all(z_score(value, elbo) < -5 for value in values[:4])
    # what is left at L others is about Var(q(z|e) / q(z)) / (2 L), here some hundredths
    assert abs(z_score(values[-1], elbo)) < 4
    z = family.place(noise[:4000], draws[:4000])
    assert abs(z_score(log_joint(z) - exact_log_density(family, z), elbo)) < 4


@pytest.mark.parametrize("terms", [1, 4])
def test_the_estimated_density_is_unbiased_and_its_logarithm_too_low(terms: int) -> None:
    family = curved(fixed())
    for place in (-1.5, 0.4, 3.0):
        z = torch.full((40_000, 1), place, dtype=torch.float64)
        found = family.log_density(z, normal(terms, 40_000, 1, seed=terms))
        exact = exact_log_density(family, z[:1])
        assert abs(z_score(found.exp(), exact.exp())) < 4
        assert z_score(found, exact) < -20
        shared = family.log_density(z[:50], normal(20_000, 1, 1, seed=9))
        torch.testing.assert_close(shared, exact.expand(50), atol=0.1, rtol=0)


@given(
    lead=st.lists(st.integers(1, 3), max_size=2),
    variables=st.integers(1, 4),
    noises=st.integers(1, 3),
    dimensions=st.integers(1, 3),
    others=st.integers(0, 3),
    spread=st.sampled_from(["D", "1 D", "B D", "lead 1 D", "lead B D"]),
)
@settings(max_examples=40, deadline=None)
def test_leading_axes_are_kept_and_variables_do_not_mix(
    lead: list[int], variables: int, noises: int, dimensions: int, others: int, spread: str
) -> None:
    """Whatever the shape of the deviations, the results are those of each variable alone."""
    sizes = {"1": 1, "B": variables, "D": dimensions}
    shape = [*lead] if spread.startswith("lead") else []
    shape += [sizes[name] for name in spread.removeprefix("lead ").split()]
    weight = normal(noises, dimensions)
    log_deviation = 0.3 * normal(*shape, seed=1)
    family = SemiImplicit(lambda noise: torch.tanh(noise @ weight), log_deviation)
    noise, draws = normal(*lead, variables, noises, seed=2), normal(*lead, variables, dimensions, seed=3)
    more = normal(*lead, others, variables, noises, seed=4)
    chain = hmc.Noise.draw(3, noise, generator(5))
    fresh = normal(*lead, 3, variables, noises, seed=6)

    def joint(z: Tensor) -> Tensor:
        return -z.pow(4).sum(-1)

    def results(family: SemiImplicit, *inputs: Tensor) -> list[Tensor]:
        noise, draws, more, fresh, momenta, uniforms = inputs
        gradient = uivi_gradient(
            joint, family, family, noise, draws, hmc.Noise(momenta, uniforms),
            step_size=torch.tensor(0.2, dtype=torch.float64), burn_in=1,
        )  # fmt: skip
        bound = sivi_bound(joint, family, noise, draws, more)
        return [bound, gradient.surrogate, gradient.score, family.log_density(gradient.z, fresh)]

    together = results(family, noise, draws, more, fresh, chain.momenta, chain.uniforms)
    assert together[0].shape == together[1].shape == together[3].shape == (*lead, variables)
    assert together[2].shape == (*lead, variables, dimensions)
    deviations = log_deviation.expand(*lead, variables, dimensions)
    ranges = [torch.arange(n) for n in (*lead, variables)]
    for index in torch.cartesian_prod(*ranges).reshape(-1, len(lead) + 1).tolist():
        *front, b = index
        at, only = tuple(front), slice(b, b + 1)
        alone = results(
            SemiImplicit(family.mean, deviations[at][only]),
            noise[at][only], draws[at][only], more[at][:, only], fresh[at][:, only],
            chain.momenta[(slice(None), *at)][:, only], chain.uniforms[(slice(None), *at)][:, only],
        )  # fmt: skip
        for ours, theirs in zip(alone, together, strict=True):
            torch.testing.assert_close(ours, theirs[at][only])


def amortised(method: Callable[[SemiImplicit, SemiImplicit], Tensor]) -> list[list[Tensor]]:
    """Value and gradients where x is given to the network once, and where it is among its inputs."""
    x = normal(2, 5, 4)
    results = []
    for once in (True, False):
        network = MLP(2, [7, 6, 6, 2], "relu", generator(), dtype=torch.float64)
        log_deviation = torch.full((2, 1, 2), -0.5, dtype=torch.float64, requires_grad=True)

        def joined(noise: Tensor, network: MLP = network) -> Tensor:
            between = [1] * (noise.ndim - 3)
            rows = x.view(2, *between, 5, 4).expand(*noise.shape[:-1], 4)
            return network(torch.cat([rows, noise], -1))

        mean = network.layers().given(x) if once else joined
        constant = network.layers().detach().given(x) if once else joined
        value = method(SemiImplicit(mean, log_deviation), SemiImplicit(constant, log_deviation.detach()))
        gradients = torch.autograd.grad(value.sum(), [*network.parameters(), log_deviation])
        results.append([value, *gradients])
    return results


def test_an_amortised_family_may_take_its_observations_once() -> None:
    noise, draws = normal(2, 5, 3, seed=1), normal(2, 5, 2, seed=2)
    step = torch.full((2, 1), 0.2, dtype=torch.float64)

    def bound(family: SemiImplicit, _: SemiImplicit) -> Tensor:
        return sivi_bound(lambda z: -z.pow(4).sum(-1), family, noise, draws, normal(2, 3, 5, 3, seed=3))

    def surrogate(family: SemiImplicit, constant: SemiImplicit) -> Tensor:
        return uivi_gradient(
            lambda z: -z.pow(4).sum(-1), family, constant, noise, draws,
            hmc.Noise.draw(4, noise, generator(4)), step_size=step, burn_in=2, adaptation=hmc.Adaptation(),
        ).surrogate  # fmt: skip

    def density(family: SemiImplicit, _: SemiImplicit) -> Tensor:
        return family.log_density(draws, normal(2, 6, 1, 3, seed=5).expand(2, 6, 5, 3))

    for method in (bound, surrogate, density):
        once, each_time = amortised(method)
        for ours, theirs in zip(once, each_time, strict=True):
            torch.testing.assert_close(ours, theirs)
        assert all((one != 0).any() for one in once)


def test_the_conditional_mean_may_be_far_away() -> None:
    """Densities below the smallest number do not underflow."""
    family = SemiImplicit(lambda noise: noise, torch.tensor([-5.0], dtype=torch.float64))
    z, far = torch.zeros(1, 1, dtype=torch.float64), torch.full((3, 1, 1), 5.0, dtype=torch.float64)
    expected = gaussian_log_density(z, far[0], torch.tensor([-10.0], dtype=torch.float64))
    torch.testing.assert_close(family.log_density(z, far), expected)
