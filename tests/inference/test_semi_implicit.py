"""Semi-implicit q against quadrature over a one-dimensional mixing noise, and formulas written out."""

import itertools
import math
from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from oracles import CURVED, Parameters, mixed, semi_implicit, semi_implicit_elbo, standard
from oracles import on_the_line as log_joint
from torch import Tensor
from torch.distributions import Normal

from elbogap.densities import gaussian_log_density
from elbogap.inference import hmc
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import Noise, Spec, draw
from elbogap.inference.objectives.base import ChainState, Estimate
from elbogap.inference.objectives.elbo import SIVI
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import MLP

SLOPE, BEND, LOG_SCALE = (float(value) for value in CURVED.values())


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def curved(parameters: Parameters = CURVED) -> SemiImplicit:
    """mu(e) = a e + b tanh 2 e on the line."""
    return semi_implicit(parameters, num_mixing=0)


def leaves(*shape: int) -> dict[str, Tensor]:
    """The parameters of so many equal families."""
    return {name: value.expand(*shape, 1).clone().requires_grad_() for name, value in CURVED.items()}


def own(*batch: int, more: int = 0, seed: int = 1) -> dict[str, Tensor]:
    """Noise of draws on the line, and `more` noises for each."""
    shape = (*batch[:-1], more, batch[-1], 1)
    return draw(curved().noise(*batch) | {"more": Spec(shape)}, generator(seed), dtype=torch.float64)


def z_score(values: Tensor, exact: Tensor | float) -> float:
    """Distance of a mean of independent values from what it should be, in standard errors."""
    return float((values.mean() - exact) / (values.std() / len(values) ** 0.5))


def test_a_draw_lies_around_its_mean_and_its_conditional_is_the_gaussian_density() -> None:
    q, noise = curved(), own(7)
    z = q.rsample(noise)
    mean = SLOPE * noise["mixing"] + BEND * torch.tanh(2 * noise["mixing"])
    torch.testing.assert_close(z, mean + math.exp(LOG_SCALE) * noise["normal"])
    torch.testing.assert_close(
        q.conditional_log_prob(noise), Normal(mean, math.exp(LOG_SCALE)).log_prob(z).sum(-1)
    )


def test_the_reverse_conditional_is_the_joint_density_of_noise_and_draw() -> None:
    """Integrated over the noise, it is log q(z); normalised, it averages conditional scores to that of q."""
    q = curved()
    z = torch.linspace(-4, 4, 9, dtype=torch.float64)[:, None].requires_grad_()
    e, _ = standard(1, 0.01)
    log_reverse = q.reverse_conditional(z.unsqueeze(-2), own(9))(e)
    integral = torch.logsumexp(log_reverse, -1) + (e[1, 0] - e[0, 0]).log()
    torch.testing.assert_close(integral, mixed(q)(z))
    (score,) = torch.autograd.grad(integral.sum(), z)
    conditional = (q.mean(e) - z.unsqueeze(-2)) * math.exp(-2 * LOG_SCALE)
    averaged = (log_reverse.softmax(-1)[..., None] * conditional).sum(-2)
    torch.testing.assert_close(averaged, score, rtol=1e-9, atol=1e-9)


def test_the_estimated_score_is_that_of_q_on_average() -> None:
    """Many chains for each z, far from their start."""
    q = curved()
    leaf = torch.tensor([[-2.0], [-0.5], [0.3], [2.5]], dtype=torch.float64, requires_grad=True)
    (exact,) = torch.autograd.grad(mixed(q)(leaf).sum(), leaf)
    z = leaf.detach().expand(10_000, 4, 1)
    objective = UIVI(hmc.Kernel(42, burn_in=40), 0.2)
    noise = draw(objective.kernel.noise(4, 1), generator(1), 10_000, dtype=torch.float64)
    start = torch.zeros_like(z)
    score = objective.score(q, z, noise | {"mixing": start})
    for i in range(4):
        assert abs(z_score(score[:, i, 0], exact[i, 0])) < 4
        assert float(score[:, i, 0].std()) / 100 < 0.02
    reverse = q.reverse_conditional(z, {})
    states = objective.kernel.run(reverse, start, noise, objective.step_size).draws[40:]
    by_hand = (q.mean(states).mean(0) - z) * math.exp(-2 * LOG_SCALE)
    torch.testing.assert_close(score, by_hand)


def test_chains_that_do_not_move_give_the_gradient_of_the_bound_without_others() -> None:
    """Why e itself would not do."""
    groups = leaves(100)
    objective = UIVI(hmc.Kernel(13, burn_in=12), 1e-9)
    noise = draw(objective.noise(1000, dimensions=1, mixing=1), generator(3), 100, dtype=torch.float64)
    found = objective.estimate(curved(groups), log_joint, noise).mean()
    estimates = torch.autograd.grad(found.sum(), list(groups.values()))
    single, of_bound = leaves(), leaves(1000)
    exact = torch.autograd.grad(semi_implicit_elbo(single), list(single.values()))
    scores = [abs(z_score(one, value)) for one, value in zip(estimates, exact, strict=True)]
    assert max(scores) > 20
    value = SIVI(0).estimate(curved(of_bound), log_joint, own(1000, 1000, seed=6)).mean().mean()
    expected = torch.autograd.grad(value, list(of_bound.values()))
    for one, other in zip(estimates, expected, strict=True):
        assert float(one.mean()) == pytest.approx(float(other.sum()), abs=0.05)


def test_the_models_parameters_get_the_gradient_of_the_joint() -> None:
    weight = torch.tensor(1.5, dtype=torch.float64, requires_grad=True)
    q, objective = curved(), UIVI(hmc.Kernel(2, burn_in=1), 0.1)
    noise = draw(objective.noise(6, dimensions=1, mixing=1), generator(), dtype=torch.float64)
    found = objective.estimate(q, lambda z: weight * log_joint(z), noise)
    (gradient,) = torch.autograd.grad(found.surrogate.sum(), weight)
    joint = log_joint(q.rsample(noise))
    torch.testing.assert_close(gradient, joint.sum())
    torch.testing.assert_close(found.value, 1.5 * joint - q.conditional_log_prob(noise))
    assert not found.value.requires_grad


def test_only_the_burn_in_adapts_the_step_and_only_if_asked() -> None:
    q, rule = curved(), hmc.Adaptation(0.8, 0.1)
    plain, adapting = hmc.Kernel(5, 4, burn_in=3), hmc.Kernel(5, 4, burn_in=3, adaptation=rule)
    noise = draw(UIVI(plain, 0.3).noise(6, dimensions=1, mixing=1), generator(), dtype=torch.float64)
    sizes = []
    for kernel in (plain, adapting):
        objective = UIVI(kernel, 0.3)
        state = objective.initial_state().double()
        objective.estimate(q, log_joint, noise, state)
        sizes.append(state.step_size)
    expected = hmc.sample(
        q.reverse_conditional(q.rsample(noise), noise), noise["mixing"], noise,
        step_size=ChainState(None, 0.3).double().step_size, leapfrog_steps=4, adapting=3, adaptation=rule,
    )  # fmt: skip
    torch.testing.assert_close(sizes[0], torch.tensor([0.3]).double())
    torch.testing.assert_close(sizes[1], expected.step_size)
    assert abs(float(sizes[1]) - 0.3) > 1e-3


def written_out(q: SemiImplicit, noise: Noise) -> Tensor:
    """L_T of one variable at a time, with densities instead of their logarithms."""
    scale, more = q.log_scale.exp(), noise["more"]
    z = q.mean(noise["mixing"]) + scale * noise["normal"]
    densities = [Normal(q.mean(noise["mixing"]), scale).log_prob(z).sum(-1).exp()]
    densities += [
        Normal(q.mean(more[..., t, :, :]), scale).log_prob(z).sum(-1).exp() for t in range(more.shape[-3])
    ]
    return log_joint(z) - (sum(densities) / len(densities)).log()


@pytest.mark.parametrize("others", [0, 1, 4])
def test_the_bound_and_its_gradient_are_those_of_the_formula(others: int) -> None:
    noise, results = own(2, 5, more=others), []
    for bound in (SIVI(others, shared=False), None):
        parameters = leaves(2)
        q = curved(parameters)
        value = bound.estimate(q, log_joint, noise).surrogate if bound else written_out(q, noise)
        assert value.shape == (2, 5)
        results.append((value, *torch.autograd.grad(value.square().sum(), list(parameters.values()))))
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_the_bound_rises_to_the_elbo_with_the_number_of_others() -> None:
    q, noise = curved(), own(20_000, more=300)
    elbo = semi_implicit_elbo(CURVED)
    values = [
        SIVI(others).estimate(q, log_joint, noise | {"more": noise["more"][:others]}).value
        for others in (0, 1, 3, 10, 300)
    ]
    for lower, higher in itertools.pairwise(values):
        assert z_score(higher - lower, 0) > 5
    assert all(z_score(value, elbo) < -5 for value in values[:4])
    # what is left at T others is about Var(q(z|e) / q(z)) / (2 T), here some hundredths
    assert abs(z_score(values[-1], elbo)) < 4
    z = q.rsample(noise)[:4000]
    assert abs(z_score(log_joint(z) - mixed(q)(z), elbo)) < 4


@pytest.mark.parametrize("terms", [1, 4])
def test_the_estimated_density_is_unbiased_and_its_logarithm_too_low(terms: int) -> None:
    q = curved()
    for at in (-1.5, 0.4, 3.0):
        z = torch.full((40_000, 1), at, dtype=torch.float64)
        found = q.log_prob(z, own(40_000, more=terms, seed=terms))
        exact = mixed(q)(z[:1])
        assert abs(z_score(found.exp(), exact.exp())) < 4
        assert z_score(found, exact) < -20
        shared = q.log_prob(z[:50], {"more": normal(20_000, 1, 1, seed=9)})
        torch.testing.assert_close(shared, exact.expand(50), atol=0.1, rtol=0)


@given(
    lead=st.lists(st.integers(1, 3), max_size=2),
    variables=st.integers(1, 4),
    mixing=st.integers(1, 3),
    dimensions=st.integers(1, 3),
    others=st.integers(0, 3),
    spread=st.sampled_from(["D", "1 D", "B D", "lead 1 D", "lead B D"]),
)
@settings(max_examples=40, deadline=None)
def test_leading_axes_are_kept_and_variables_do_not_mix(
    lead: list[int], variables: int, mixing: int, dimensions: int, others: int, spread: str
) -> None:
    """Whatever the shape of the scales, the results are those of each variable alone."""
    sizes = {"1": 1, "B": variables, "D": dimensions}
    shape = [*lead] if spread.startswith("lead") else []
    shape += [sizes[name] for name in spread.removeprefix("lead ").split()]
    weight = normal(mixing, dimensions)
    log_scale = 0.3 * normal(*shape, seed=1)
    sivi, uivi = SIVI(others, shared=False), UIVI(hmc.Kernel(3, burn_in=1), 0.2)
    specs = [one.noise(variables, dimensions=dimensions, mixing=mixing) for one in (sivi, uivi)]
    noise = draw(specs[0] | specs[1], generator(2), *lead, dtype=torch.float64)
    fresh = {"more": normal(*lead, 3, variables, mixing, seed=6)}

    def joint(z: Tensor) -> Tensor:
        return -z.pow(4).sum(-1)

    def results(log_scale: Tensor, noise: Noise, fresh: Noise) -> list[Tensor]:
        q = SemiImplicit(lambda e: torch.tanh(e @ weight), log_scale, mixing)
        z = q.rsample(noise)
        bound, ascent = (one.estimate(q, joint, noise) for one in (sivi, uivi))
        return [bound.value, ascent.surrogate, ascent.value, q.log_prob(z, fresh), uivi.score(q, z, noise)]

    together = results(log_scale, noise, fresh)
    assert all(one.shape == (*lead, variables) for one in together[:-1])
    assert together[-1].shape == (*lead, variables, dimensions)
    scales = log_scale.expand(*lead, variables, dimensions)
    ranges = [torch.arange(n) for n in (*lead, variables)]
    for index in torch.cartesian_prod(*ranges).reshape(-1, len(lead) + 1).tolist():
        *front, b = index
        at, only = tuple(front), slice(b, b + 1)

        def of_variable(name: str, value: Tensor, at: tuple[int, ...] = at, only: slice = only) -> Tensor:
            axis = -1 if name == "uniforms" else -2
            return value[at].movedim(axis, 0)[only].movedim(0, axis)

        own, further = (
            {name: of_variable(name, value) for name, value in given.items()} for given in (noise, fresh)
        )
        for ours, theirs in zip(results(scales[at][only], own, further), together, strict=True):
            torch.testing.assert_close(ours, theirs[at][only])


def amortised(method: Callable[[SemiImplicit], Tensor]) -> list[list[Tensor]]:
    """Value and gradients where x is given to the network once, and where it is among its inputs."""
    x = normal(2, 5, 4)
    results = []
    for once in (True, False):
        network = MLP(2, [7, 6, 6, 2], "relu", generator(), dtype=torch.float64)
        log_scale = torch.full((2, 1, 2), -0.5, dtype=torch.float64, requires_grad=True)

        def joined(e: Tensor, network: MLP = network) -> Tensor:
            between = [1] * (e.ndim - 3)
            rows = x.view(2, *between, 5, 4).expand(*e.shape[:-1], 4)
            return network(torch.cat([rows, e], -1))

        value = method(SemiImplicit(network.layers().given(x) if once else joined, log_scale, 3))
        results.append([value, *torch.autograd.grad(value.sum(), [*network.parameters(), log_scale])])
    return results


def test_an_amortised_family_may_take_its_observations_once() -> None:
    sivi = SIVI(3, shared=False)
    uivi = UIVI(hmc.Kernel(4, burn_in=2, adaptation=hmc.Adaptation()), 0.2)
    specs = [one.noise(5, dimensions=2, mixing=3) for one in (sivi, uivi)]
    noise = draw(specs[0] | specs[1], generator(1), 2, dtype=torch.float64)

    def estimated(objective: SIVI | UIVI) -> Callable[[SemiImplicit], Tensor]:
        def method(q: SemiImplicit) -> Tensor:
            found: Estimate = objective.estimate(q, lambda z: -z.pow(4).sum(-1), noise)
            return found.surrogate

        return method

    def density(q: SemiImplicit) -> Tensor:
        return q.log_prob(noise["normal"], {"more": normal(2, 6, 1, 3, seed=5).expand(2, 6, 5, 3)})

    for method in (estimated(sivi), estimated(uivi), density):
        once, each_time = amortised(method)
        for ours, theirs in zip(once, each_time, strict=True):
            torch.testing.assert_close(ours, theirs)
        assert all((one != 0).any() for one in once)


def test_the_conditional_mean_may_be_far_away() -> None:
    """Densities below the smallest number do not underflow."""
    log_scale = torch.tensor([-5.0], dtype=torch.float64)
    q = SemiImplicit(lambda e: e, log_scale, 1)
    z, far = torch.zeros(1, 1, dtype=torch.float64), torch.full((3, 1, 1), 5.0, dtype=torch.float64)
    expected = gaussian_log_density(z, far[0], 2 * log_scale)
    torch.testing.assert_close(q.log_prob(z, {"more": far}), expected)
