"""What every family and every objective promises, against quadrature and enumeration (see `oracles`)."""

import inspect
import io
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from typing import Any

import pytest
import torch
from oracles import (
    FAMILIES,
    OBJECTIVES,
    FamilyCase,
    ObjectiveCase,
    Parameters,
    gaussian,
    grid,
    mixture,
)
from torch import Tensor, nn
from torch.autograd import gradcheck

from allowance import within
from elbogap.errors import UserError
from elbogap.inference import families, hmc, noise, objectives
from elbogap.inference.families.base import Family
from elbogap.inference.families.semi_implicit import Implicit
from elbogap.inference.noise import Specs
from elbogap.inference.objectives.base import Objective
from elbogap.inference.objectives.contrastive import VCD, Hoffman
from elbogap.inference.objectives.elbo import ELBO
from elbogap.inference.objectives.uivi import UIVI

M, S = 3, 6
TOLERANCE = {"rtol": 1e-10, "atol": 1e-10}


def drawn(specs: Specs, *leading: int, seed: int = 0) -> dict[str, Tensor]:
    return noise.draw(specs, torch.Generator().manual_seed(seed), *leading, dtype=torch.float64)


def implemented(package: Any, base: type) -> set[str]:
    """Names of all concrete subclasses in a package."""
    modules = [
        import_module(f"{package.__name__}.{info.name}") for info in pkgutil.iter_modules(package.__path__)
    ]
    classes = (one for module in modules for _, one in inspect.getmembers(module, inspect.isclass))
    return {
        one.__name__
        for one in classes
        if issubclass(one, base) and one is not base and not inspect.isabstract(one)
    }


def test_every_family_and_objective_is_tested() -> None:
    assert {type(case.q()).__name__ for case in FAMILIES.values()} == implemented(families, Family)
    found = {type(case.objective(case.parameters)).__name__ for case in OBJECTIVES.values()}
    of_views = {"Denoising"}  # one value for each view, not each draw: tests/papers/air/test_objective.py
    assert found | of_views == implemented(objectives, Objective)


# Families


def those(**wanted: Any) -> Any:
    """The cases whose family has these attributes."""
    names = [
        name
        for name, case in FAMILIES.items()
        if all(getattr(case.q(), key) == value for key, value in wanted.items())
    ]
    return pytest.mark.parametrize("case", [pytest.param(FAMILIES[name], id=name) for name in names])


WITH_DENSITY = pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=name) for name, case in FAMILIES.items() if not isinstance(case.q(), Implicit)],
)


def draws_and_density(q: Family, own: dict[str, Tensor], further: dict[str, Tensor]) -> tuple[Tensor, ...]:
    z = q.rsample(own) if q.has_rsample else q.sample(own)
    return (z,) if isinstance(q, Implicit) else (z, q.log_prob(z, further))


@those()
def test_draws_and_densities_of_a_member_are_those_of_it_alone(case: FamilyCase) -> None:
    parameters = case.members(M)
    q = case.make(parameters)
    own, further = drawn(q.noise(S), M), drawn(q.log_prob_noise(S), M, seed=1)
    found = draws_and_density(q, own, further)
    assert [one.shape for one in found] == [(M, S, case.dimensions), (M, S)][: len(found)]
    for m in range(M):
        alone = case.make(case.single(parameters, m))
        expected = draws_and_density(alone, case.single(own, m), case.single(further, m))
        for ours, theirs in zip(found, expected, strict=True):
            torch.testing.assert_close(ours[m], theirs if case.alone else theirs[0], **TOLERANCE)


@WITH_DENSITY
def test_densities_integrate_to_one(case: FamilyCase) -> None:
    log_density = case.log_density()
    if case.support is not None:
        total = log_density(case.support).exp().sum()
    else:
        z, cell = grid(case.dimensions, 7.0, 0.1)
        total = log_density(z).exp().sum() * cell
    assert float(total.detach()) == pytest.approx(1, abs=1e-4)


@those(bias="below")
def test_estimated_densities_are_unbiased_and_their_logarithms_below(case: FamilyCase) -> None:
    count = 4000
    q, points = case.q(), torch.linspace(-1.5, 1.5, 4, dtype=torch.float64)
    for point in points:
        z = point.expand(*([] if case.alone else [1]), count, case.dimensions)
        estimate = q.log_prob(z, drawn(q.log_prob_noise(*z.shape[:-1]))).detach().flatten()
        exact = case.log_density()(z[..., :1, :]).detach().flatten()
        error = estimate.exp().std() / count**0.5
        assert within(estimate.exp().mean() - exact.exp(), error)
        assert float(error) < 0.05 * float(exact.exp())
        assert float(estimate.mean() - exact) < -4 * float(estimate.std()) / count**0.5


@WITH_DENSITY
def test_draws_have_the_moments_of_the_density(case: FamilyCase) -> None:
    count = 20_000
    q, log_density = case.q(), case.log_density()
    draws = q.sample(drawn(q.noise(*([] if case.alone else [1]), count))).reshape(count, case.dimensions)
    if case.support is not None:
        z, cell = case.support, 1.0
    else:
        z, cell = grid(case.dimensions, 7.0, 0.1)
    mass = log_density(z).detach().exp() * cell
    log_weights = q.log_draw_weights(count)
    weights = mass.new_full((count,), 1 / count) if log_weights is None else log_weights.exp()

    def features(z: Tensor) -> Tensor:
        z = z.double()
        return torch.cat([z, z.square(), (3 * z).cos(), z.prod(-1, keepdim=True), z.cumsum(-1).sin()], -1)

    at_draws = features(draws)
    error = (weights.square()[:, None] * (at_draws - weights @ at_draws).square()).sum(0).sqrt()
    assert within(weights @ at_draws - mass @ features(z), error)
    assert error.max() < 0.03


def leaves(case: FamilyCase) -> dict[str, Tensor]:
    return {name: value.clone().requires_grad_() for name, value in case.members(1).items()}


@those(has_rsample=True)
def test_gradients_of_draws_are_those_of_finite_differences(case: FamilyCase) -> None:
    parameters = leaves(case)
    own = drawn(case.q().noise(S), 1)
    inputs = (*parameters.values(), *case.shared.parameters())
    assert gradcheck(lambda *_: case.make(parameters).rsample(own), inputs)


@WITH_DENSITY
def test_gradients_of_densities_are_those_of_finite_differences(case: FamilyCase) -> None:
    """In the parameters; in z, if they are exact."""
    parameters = leaves(case)
    q = case.make(parameters)
    z, further = q.sample(drawn(q.noise(S), 1)), drawn(q.log_prob_noise(S), 1)
    inputs = (*parameters.values(), *case.shared.parameters())
    assert gradcheck(lambda *_: case.make(parameters).log_prob(z, further), inputs)
    if q.bias == "exact" and q.has_rsample:
        assert gradcheck(lambda z: q.log_prob(z, further), z.clone().requires_grad_())


@those(has_rsample=False)
def test_draws_that_are_not_reparameterised_say_so(case: FamilyCase) -> None:
    q = case.make(leaves(case))
    assert not q.sample(drawn(q.noise(S), 1)).requires_grad
    with pytest.raises(UserError, match=f"draws of {type(q).__name__} are not reparameterised.*take sample"):
        ELBO().estimate(q, lambda z: z.sum(-1), drawn(q.noise(S), 1))


@those()
def test_detached_families_are_constant_and_the_same(case: FamilyCase) -> None:
    q = case.make(leaves(case))
    own, further = drawn(q.noise(S), 1), drawn(q.log_prob_noise(S), 1)
    for ours, theirs in zip(*(draws_and_density(one, own, further) for one in (q.detach(), q)), strict=True):
        assert not ours.requires_grad
        torch.testing.assert_close(ours, theirs.detach(), **TOLERANCE)


@those()
def test_saved_parameters_give_the_same_family(case: FamilyCase) -> None:
    q, file = case.make(case.members(M)), io.BytesIO()
    own, further = drawn(q.noise(S), M), drawn(q.log_prob_noise(S), M)
    expected = draws_and_density(q, own, further)
    parts = nn.ModuleList([nn.ParameterDict(case.members(M)), case.shared])
    torch.save(parts.state_dict(), file)
    before = [one.detach().clone() for one in parts.parameters()]
    with torch.no_grad():
        for one in parts.parameters():
            one.zero_()
        parts.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    found = draws_and_density(case.make(dict(parts[0].items())), own, further)
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, **TOLERANCE)
    assert all(torch.equal(one, other) for one, other in zip(parts.parameters(), before, strict=True))


# Noise


class Watched(dict[str, Tensor]):
    """Noise that knows which of it was used."""

    def __init__(self, noise: dict[str, Tensor]) -> None:
        super().__init__(noise)
        self.used: set[str] = set()

    def __getitem__(self, name: str) -> Tensor:
        self.used.add(name)
        return super().__getitem__(name)


def altered(noise: dict[str, Tensor]) -> Iterator[tuple[str, dict[str, Tensor]]]:
    """Without one name, or with one of another size in its last axis, by what must be named then."""
    for name, value in noise.items():
        yield name, {other: one for other, one in noise.items() if other != name}
        longer = torch.cat([value, value[..., -1:]], -1)
        yield name, noise | {name: longer}
        yield name, noise | {name: value.new_zeros(())}


def check_noise(use: Any, given: dict[str, Tensor]) -> None:
    watched = Watched(given)
    use(watched)
    assert watched.used == set(given)
    for name, wrong in altered(given):
        with pytest.raises(UserError, match=r"^the noise '\w+' (is missing|must have the shape)") as caught:
            use(wrong)
        assert "\n" not in str(caught.value)
        assert f"'{name}'" in str(caught.value) or name == "normal"


@those()
def test_families_use_the_noise_that_they_asked_for(case: FamilyCase) -> None:
    q = case.make(case.members(M))
    own = drawn(q.noise(S), M)
    check_noise(q.sample, own)
    if not isinstance(q, Implicit):
        z, further = q.sample(own), drawn(q.log_prob_noise(S), M)
        check_noise(lambda given: q.log_prob(z, given), further)
        if further:
            with pytest.raises(UserError, match="is missing"):
                q.log_prob(z)


# Objectives


EVERY = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in OBJECTIVES.items()])


def estimate(case: ObjectiveCase, p: Parameters, given: dict[str, Tensor], state: Any = None) -> Any:
    return case.objective(p).estimate(case.family(p), case.log_joint(p), given, state)


def members(case: ObjectiveCase, count: int = M) -> dict[str, Tensor]:
    return FamilyCase(case.dimensions, case.parameters, case.family).members(count)


@EVERY
def test_objectives_use_the_noise_that_they_asked_for(case: ObjectiveCase) -> None:
    p = members(case)
    check_noise(lambda given: estimate(case, p, given), drawn(case.noise(S), M))


@EVERY
def test_estimates_of_a_member_are_those_of_it_alone(case: ObjectiveCase) -> None:
    p, given = members(case), drawn(case.noise(S), M)
    state = case.objective(p).initial_state(M)
    found = estimate(case, p, given, state and state.double())
    assert found.value.shape == found.surrogate.shape == (*found.mean().shape, S) == (M, S)
    assert not found.value.requires_grad
    for m in range(M):
        own = {name: value[m] for name, value in p.items()}
        state = case.objective(own).initial_state()
        alone = estimate(
            case, own, {name: value[m] for name, value in given.items()}, state and state.double()
        )
        torch.testing.assert_close(found.value[m], alone.value, **TOLERANCE)
        torch.testing.assert_close(found.mean()[m], alone.mean(), **TOLERANCE)


@EVERY
def test_values_and_gradients_are_the_exact_ones_on_average(case: ObjectiveCase) -> None:
    """Groups of draws are members; each gives an independent estimate."""
    groups, values = 64, 600
    p = {
        name: value.expand(groups, *value.shape).clone().requires_grad_()
        for name, value in case.parameters.items()
    }
    found = estimate(case, p, drawn(case.noise(values), groups)).mean()
    exact = {name: value.clone().requires_grad_() for name, value in case.parameters.items()}
    value = case.exact(exact).detach()
    assert within(found.detach().mean() - value, found.detach().std() / groups**0.5)
    total = (case.gradient_of or case.exact)(exact)
    estimates, truth = (
        torch.autograd.grad(of, list(inputs.values()), allow_unused=True, materialize_grads=True)
        for of, inputs in ((found.sum(), p), (total, exact))
    )
    for ours, theirs in zip(estimates, truth, strict=True):
        error = ours.std(0) / groups**0.5
        assert within(ours.mean(0) - theirs, error), (ours.mean(0), theirs, error)
        assert (error < 0.03 * (1 + theirs.abs())).all()


@pytest.mark.parametrize("name", ["IWAE", "IWAE, doubly reparameterised", "IWAE of a mixture"])
def test_draws_of_one_observation_need_no_axis_of_observations(name: str) -> None:
    case = OBJECTIVES[name]
    family = mixture if name == "IWAE of a mixture" else gaussian
    given = drawn(case.noise(1))
    p = {key: value.clone().requires_grad_() for key, value in case.parameters.items()}
    found = [
        estimate(replace(case, family=of), p, {"normal": normal})
        for of, normal in ((case.family, given["normal"]), (family, given["normal"].squeeze(1)))
    ]
    torch.testing.assert_close(found[1].value, found[0].value.squeeze(), **TOLERANCE)
    slopes = [torch.autograd.grad(one.surrogate.sum(), list(p.values())) for one in found]
    for ours, theirs in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, theirs, **TOLERANCE)


ADAPTING = hmc.Kernel(4, leapfrog_steps=3, burn_in=2, adaptation=hmc.Adaptation(0.9, 0.1))


@pytest.mark.parametrize(
    ("objective", "name"),
    [(UIVI(ADAPTING, 0.5), "UIVI"), (VCD(ADAPTING, 0.5), "VCD, 1.0"), (Hoffman(ADAPTING, 0.5), "Hoffman")],
)
def test_state_changes_in_place_and_goes_on_when_it_is_loaded(objective: Any, name: str) -> None:
    case = replace(OBJECTIVES[name], objective=lambda _: objective)
    p = members(case)
    first, second = (drawn(case.noise(S), M, seed=seed) for seed in (1, 2))
    state = objective.initial_state(M).double()
    buffers = dict(state.named_buffers())
    before = {name: value.clone() for name, value in buffers.items()}
    estimate(case, p, first, state)
    assert all(state.get_buffer(name) is value for name, value in buffers.items())
    assert all((value != before[name]).all() for name, value in buffers.items())
    file = io.BytesIO()
    torch.save(state.state_dict(), file)
    again = objective.initial_state(M).double()
    again.load_state_dict(torch.load(io.BytesIO(file.getvalue()), weights_only=True))
    ours, theirs = (estimate(case, p, second, one) for one in (again, state))
    assert torch.equal(ours.value, theirs.value)
    assert torch.equal(ours.surrogate, theirs.surrogate)
    for name, value in state.named_buffers():
        assert torch.equal(again.get_buffer(name), value)
