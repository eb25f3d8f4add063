"""VCD's toy experiments, where closed forms and quadrature say what must come out."""

import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.distributions import Categorical, Independent, MixtureSameFamily, MultivariateNormal, Normal

from allowance import within
from elbogap.ensemble import Variational
from elbogap.errors import OutOfTime, UserError
from elbogap.inference import hmc
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.hmc import Adaptation, Chains, Kernel
from elbogap.inference.objectives.base import ChainState
from elbogap.inference.objectives.contrastive import VCD
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.experiments import vcd_toys
from elbogap.papers.implicit.experiments.vcd_toys import mixture
from elbogap.papers.implicit.settings import VcdChains, VcdFit, VcdProperties, VcdSteps, VcdSweep, VcdToys
from elbogap.papers.implicit.targets import VCD_TARGETS, Component, Target, divergences, log_density
from elbogap.papers.implicit.vcd_of_gaussians import (
    best_scale,
    leapfrog,
    properties,
    replaced_fraction,
    transition,
)
from elbogap.runtime import Run, limit_torch_threads

STEPS = VcdSteps(mean=0.05, deviation=0.03, logit=0.01, factor=0.8, forgetting=0.1)
LENGTH = {
    "draws": 1,
    "iterations": 20,
    "reduced_every": 10,
    "steps": STEPS,
    "seeds": 2,
}
SETTINGS = VcdToys(
    chains=VcdChains(iterations=3, adapting=2, leapfrog_steps=5, step_size=0.25, acceptance=0.7),
    start_deviation=0.1,
    factorised=VcdFit(**LENGTH),
    mixture=VcdFit(**LENGTH),
    sweep=VcdSweep(
        **LENGTH | {"draws": 24, "iterations": 150, "reduced_every": 15},
        ts=(2, 8),
        alphas=(0.0, 0.5, 1.0),
        step_size=0.1,
    ),
    properties=VcdProperties(
        means=(0.0, 1.0), widths=(0.5, 1.0), ts=(1, 3), alphas=(0.4, 1.0), limit_ts=(1, 100),
        step_size=0.1, nodes=501, chains=4000, seed=0,
    ),
    round_steps=10,
    figure_points=20,
    checkpoint_seconds=1e9,
    seed=0,
)  # fmt: skip
MIXTURE = GaussianMixture(
    torch.tensor([[0.3, 0.7]], dtype=torch.float64).log(),
    torch.tensor([[[0.2, -1.0], [1.0, -2.5]]], dtype=torch.float64),
    torch.tensor([[[0.6, 0.8], [-0.5, 1.1]]], dtype=torch.float64),
)


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def distribution(target: Target) -> MixtureSameFamily:
    """Of the target before the bend."""
    covariances = [[[1.0, one.correlation], [one.correlation, 1.0]] for one in target.components]
    return MixtureSameFamily(
        Categorical(torch.tensor([one.weight for one in target.components], dtype=torch.float64)),
        MultivariateNormal(
            torch.tensor([one.mean for one in target.components], dtype=torch.float64),
            torch.tensor(covariances, dtype=torch.float64),
        ),
    )


def as_distribution(q: GaussianMixture) -> MixtureSameFamily:
    components = Independent(Normal(q.mean[0], q.scale[0].abs()), 1)
    return MixtureSameFamily(Categorical(logits=q.log_weight[0]), components)


# Densities and divergences


def test_targets_together_have_the_densities_of_torch_s_own() -> None:
    z = randn(len(VCD_TARGETS), 50, 2) * 2
    found = log_density(list(VCD_TARGETS.values()), dtype=torch.float64)(z)
    for rows, points, target in zip(found, z, VCD_TARGETS.values(), strict=True):
        bent = torch.stack([points[:, 0], points[:, 1] + target.bend * (points[:, 0] ** 2 + 1)], 1)
        torch.testing.assert_close(rows, distribution(target).log_prob(bent))


def test_targets_are_the_document_s() -> None:
    banana, gaussian, two = VCD_TARGETS["banana"], VCD_TARGETS["gaussian"], VCD_TARGETS["mixture"]
    assert (banana.components, banana.bend) == ([Component(1.0, (0, 0), 0.9)], 1.0)
    assert (gaussian.components, gaussian.bend) == ([Component(1.0, (0, 0), 0.95)], 0.0)
    pair = [Component(0.3, (0.8, 0.8), 0.8), Component(0.7, (-2, -2), -0.6)]
    assert (two.components, two.bend) == (pair, 0.0)


def test_approximations_have_the_densities_and_moments_of_torch_s_own() -> None:
    z, own = randn(1, 50, 2), as_distribution(MIXTURE)
    torch.testing.assert_close(MIXTURE.log_prob(z)[0], own.log_prob(z[0]))
    torch.testing.assert_close(MIXTURE.covariance()[0].diagonal(), own.variance)
    draws = MIXTURE.rsample({"normal": randn(1, 40000, 2)})[0].unflatten(0, (2, -1)).transpose(0, 1)
    torch.testing.assert_close(draws.mean(0), MIXTURE.mean[0], rtol=0, atol=0.03)
    torch.testing.assert_close(draws.std(0), MIXTURE.scale[0].abs(), rtol=0.02, atol=1e-12)
    chosen = draws[torch.arange(len(draws)), (torch.rand(len(draws)) > 0.3).long()]
    torch.testing.assert_close(torch.cov(chosen.T), MIXTURE.covariance()[0], rtol=0, atol=0.06)


def test_divergences_between_gaussians_are_in_closed_form() -> None:
    q = GaussianMixture(
        torch.zeros(1, 1, dtype=torch.float64),
        torch.tensor([[[0.3, -0.4]]], dtype=torch.float64),
        torch.tensor([[[0.5, -0.9]]], dtype=torch.float64),
    )
    p = MultivariateNormal(
        torch.zeros(2, dtype=torch.float64), torch.tensor([[1, 0.95], [0.95, 1]], dtype=torch.float64)
    )
    own = MultivariateNormal(q.mean[0, 0], torch.diag(q.scale[0, 0] ** 2))
    kl = torch.distributions.kl_divergence
    assert divergences(q, VCD_TARGETS["gaussian"]) == pytest.approx(
        (float(kl(own, p)), float(kl(p, own))), rel=1e-9
    )


@pytest.mark.parametrize("name", VCD_TARGETS)
def test_divergences_from_mixtures_are_those_of_draws(name: str) -> None:
    torch.manual_seed(0)
    target, own = VCD_TARGETS[name], as_distribution(MIXTURE)
    x = distribution(target).sample((200_000,))
    from_p = torch.stack([x[:, 0], x[:, 1] - target.bend * (x[:, 0] ** 2 + 1)], 1)
    p = log_density([target], dtype=torch.float64)
    found = divergences(MIXTURE, target)
    for kl, z, sign in ((found[0], own.sample((200_000,)), 1), (found[1], from_p, -1)):
        values = sign * (own.log_prob(z) - p(z[None])[0])
        error = float(values.std()) / math.sqrt(len(values))
        assert within(kl - float(values.mean()), error)


# The objective


def networks() -> dict[str, MLP]:
    values = {"logit": MIXTURE.log_weight, "mean": MIXTURE.mean, "scale": MIXTURE.scale}
    return {name: MLP.constant(value.flatten(1).float()) for name, value in values.items()}


def training(alpha: float, draws: int = 4000, iterations: int = 3) -> Variational:
    objective = VCD(
        Kernel(iterations, leapfrog_steps=5, burn_in=2, adaptation=Adaptation(0.7, 0.01)),
        0.25,
        alpha=torch.tensor([[alpha]]),
        iterations=torch.tensor([iterations]),
    )
    banana = log_density([VCD_TARGETS["banana"]])
    return Variational(
        objective=objective,
        family=lambda networks, _: mixture(networks),
        log_joint=lambda *_: banana,
        specs=objective.noise(2 * draws, dimensions=2),
        streams=[lambda epoch: torch.Generator().manual_seed(epoch)],
        steps=1,
        state=objective.initial_state(1),
    )


def kl_slope(which: int) -> np.ndarray:
    """The gradient of one of the divergences in logits, means and deviations, by finite differences."""
    h, slopes = 1e-5, []
    for place in range(3):
        parts = [MIXTURE.log_weight, MIXTURE.mean, MIXTURE.scale]
        for entry in range(parts[place].numel()):
            ends = []
            for step in (h, -h):
                moved = [part.clone() for part in parts]
                moved[place].view(-1)[entry] += step
                moved[0] = moved[0].log_softmax(-1)
                ends.append(divergences(GaussianMixture(*moved), VCD_TARGETS["banana"])[which])
            slopes.append((ends[0] - ends[1]) / (2 * h))
    return np.array(slopes)


def slopes_of_objective(one: Variational, repeats: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """The mean over epochs of its gradient in logits, means and deviations, and its standard error."""
    found = networks()
    parameters = [found[name].biases[0] for name in ("logit", "mean", "scale")]
    rows = []
    for epoch in range(repeats):
        batch = {name: value[:, 0] for name, value in one.prepare(epoch).items()}
        slopes = torch.autograd.grad(one.value(found, batch).sum(), parameters)
        rows.append(torch.cat([slope.flatten() for slope in slopes]).numpy())
    return np.mean(rows, 0), np.std(rows, 0, ddof=1) / math.sqrt(repeats)


def assert_within(found: tuple[np.ndarray, np.ndarray], expected: np.ndarray) -> None:
    mean, error = found
    assert np.all(np.abs(mean - expected) < 5 * error + 1e-4)
    assert within(
        np.linalg.norm(error), np.linalg.norm(expected), times=0.2
    )  # the comparison means something


def test_without_refined_terms_the_gradient_is_that_of_the_kl() -> None:
    assert_within(slopes_of_objective(training(0.0)), -kl_slope(0))


@pytest.mark.parametrize("alpha", [0.4, 1.0])
def test_chains_that_reach_the_target_give_the_gradient_of_both_divergences(
    alpha: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    generator = torch.Generator().manual_seed(1)

    def exact(log_density: object, start: Tensor, noise: object, *, step_size: Tensor, **_: object) -> Chains:
        u = torch.randn(3, *start.shape, generator=generator)
        x = torch.stack([u[..., 0], 0.9 * u[..., 0] + math.sqrt(1 - 0.9**2) * u[..., 1]], -1)
        z = torch.stack([x[..., 0], x[..., 1] - x[..., 0] ** 2 - 1], -1)
        return Chains(z, torch.ones(3, *start.shape[:-1]), step_size)

    monkeypatch.setattr(hmc, "sample", exact)
    assert_within(slopes_of_objective(training(alpha)), -kl_slope(0) - alpha * kl_slope(1))


def test_chains_that_stay_take_their_share_of_the_kl_s_gradient_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second term's gradient is then all in the densities of the starts: -E f (1 - alpha) is left."""

    def stay(log_density: object, start: Tensor, noise: object, *, step_size: Tensor, **_: object) -> Chains:
        return Chains(start.detach().expand(3, *start.shape), torch.ones(3, *start.shape[:-1]), step_size)

    monkeypatch.setattr(hmc, "sample", stay)
    assert_within(slopes_of_objective(training(0.5)), -0.5 * kl_slope(0))


def test_the_value_is_the_negative_divergence_and_the_state_is_carried() -> None:
    one = training(0.0)
    batch = {name: value[:, 0] for name, value in one.prepare(0).items()}
    found = networks()
    value = one.value(found, batch).item()
    assert value == pytest.approx(-divergences(MIXTURE, VCD_TARGETS["banana"])[0], abs=0.1)
    assert isinstance(one.state, ChainState)
    after_one = one.state.control.value.item()
    assert after_one != 0
    assert one.state.step_size.item() != 0.25
    one.value(found, batch)
    assert one.state.control.value.item() == pytest.approx(
        1.9 * after_one, rel=0.1
    )  # .9 C + .1 f, f about alike


def test_each_member_stops_after_its_own_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    def counted(
        log_density: object, start: Tensor, noise: object, *, step_size: Tensor, **_: object
    ) -> Chains:
        states = torch.arange(1.0, 6.0)[:, None, None, None].expand(5, *start.shape)
        return Chains(states, torch.ones(5, *start.shape[:-1]), step_size)

    monkeypatch.setattr(hmc, "sample", counted)
    several = VCD(Kernel(5), 1.0, iterations=torch.tensor([5, 1, 3]))
    start = torch.zeros(3, 4, 2)
    batch = {"momenta": torch.zeros(3, 5, 4, 2), "uniforms": torch.zeros(3, 5, 4)}
    end = several.end(several.chains(lambda z: z.sum(-1), start, batch, several.initial_state(3)))
    assert end[:, 0, 0].tolist() == [5.0, 1.0, 3.0]


# Closed forms and properties


AXES = 1.95, 0.05  # variances of N(0, [[1, .95], [.95, 1]])


@pytest.mark.parametrize("alpha", [0.0, 0.1, 0.6, 1.0])
def test_for_long_chains_the_optimum_minimises_the_sum_of_the_divergences(alpha: float) -> None:
    best = float(best_scale(alpha, AXES))

    def total(deviation: float) -> float:
        spread = torch.full((1, 1, 2), deviation, dtype=torch.float64)
        zero = torch.zeros(1, 1, dtype=torch.float64)
        kl_q_p, kl_p_q = divergences(GaussianMixture(zero, 0 * spread, spread), VCD_TARGETS["gaussian"])
        return kl_q_p + alpha * kl_p_q

    assert abs(total(best + 1e-4) - total(best - 1e-4)) / 2e-4 < 1e-4
    assert total(best) < min(total(best - 0.01), total(best + 0.01))
    s, a = best**2, 1 / (1 - 0.95**2)
    assert a * s**2 - (1 - alpha) * s - alpha == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("moved", [(0.3, 0.6), (0.02, 1.0), (1.0, 0.1)])
@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_the_optimum_is_where_alpha_vcd_with_such_chains_is_least(
    alpha: float, moved: tuple[float, float]
) -> None:
    def total(deviation: float) -> float:
        value = 0.0
        for length, share in zip(AXES, moved, strict=True):
            s = deviation**2
            end = (1 - share) * s + share * length
            start = 0.5 * (s / length - 1 - math.log(s / length))
            to_p, to_q = (0.5 * (end / other - 1 - math.log(end / other)) for other in (length, s))
            value += start + alpha * (to_q - to_p)
        return value

    best = float(best_scale(alpha, AXES, np.array(moved)))
    assert abs(total(best + 1e-5) - total(best - 1e-5)) / 2e-5 < 1e-6
    assert total(best) < min(total(best - 0.01), total(best + 0.01))


def test_the_leapfrog_matrix_is_what_chains_do() -> None:
    z, v = torch.tensor([[0.7]], dtype=torch.float64), torch.tensor([[[-0.4]]], dtype=torch.float64)
    chains = hmc.sample(
        lambda x: -0.5 * x.square().sum(-1) / 0.3,
        z,
        {"momenta": v, "uniforms": torch.zeros(1, 1, dtype=torch.float64)},
        step_size=torch.tensor(0.2, dtype=torch.float64),
        leapfrog_steps=4,
    )
    expected = leapfrog(0.2, 4, 0.3) @ np.array([0.7, -0.4])
    assert chains.last.item() == pytest.approx(expected[0], abs=1e-12)
    assert replaced_fraction(0.2, 4, (0.3,), 3) == pytest.approx(1 - leapfrog(0.2, 4, 0.3)[0, 0] ** 6)


def test_the_transition_keeps_mass_and_the_target_and_is_that_of_chains() -> None:
    z = torch.linspace(-10, 10, 801, dtype=torch.float64)
    cell = float(z[1] - z[0])
    step_size, steps = 1.6, 2  # so long that a good part is rejected
    kernel = transition(z, step_size, steps)
    density = Normal(0.0, 1.0).log_prob(z).exp()
    torch.testing.assert_close(kernel @ density, density, rtol=0, atol=1e-4)
    moved = kernel @ Normal(1.0, 0.5).log_prob(z).exp()
    assert float(moved.sum() * cell) == pytest.approx(1, abs=1e-6)
    start = 1 + 0.5 * randn(100_000, 1)
    noise = hmc.draw_noise(1, start, torch.Generator().manual_seed(1))
    step = torch.tensor(step_size, dtype=torch.float64)
    chains = hmc.sample(
        lambda x: -0.5 * x.square().sum(-1), start, noise, step_size=step, leapfrog_steps=steps
    )
    assert chains.acceptance.mean() < 0.9
    for power in (1, 2, 3):
        values = chains.last.flatten() ** power
        error = float(values.std()) / math.sqrt(len(values))
        assert within(float((moved * z**power).sum() * cell) - float(values.mean()), error, times=5)


def test_properties_hold_by_quadrature_and_chains_agree() -> None:
    table = properties(SETTINGS.properties, 5)["properties"]
    assert len(table) == 2 * 2 * 2 * 2
    at_target = (table["mean"] == 0) & (table["width"] == 1)
    assert (table["q0"].eq("target") == at_target).all()
    assert table["divergence"][at_target].abs().max() < 1e-9
    assert table["divergence"][~at_target].min() > 0.01
    assert (table["kl_end"] < table["kl_start"])[~at_target].all()
    assert table["z"].abs().max() < 4
    assert table["standard_error"][~at_target].min() > 1e-4
    composed = table["kl_start"] + table["alpha"] * (table["kl_end_start"] - table["kl_end"])
    np.testing.assert_allclose(table["divergence"], composed, atol=1e-12)


def test_long_chains_leave_the_symmetrised_divergence() -> None:
    limits = properties(SETTINGS.properties, 5)["limits"].set_index(["mean", "width", "t"])
    variance, mean = 0.5**2, 1.0
    forward = 0.5 * (variance + mean**2 - 1 - math.log(variance))
    backward = 0.5 * ((1 + mean**2) / variance - 1 + math.log(variance))
    last = limits.loc[(mean, 0.5, 100)]
    assert last["symmetrised"] == pytest.approx(forward + backward, rel=1e-9)
    assert last["divergence"] == pytest.approx(last["symmetrised"], abs=1e-4)
    assert last["excess"] == pytest.approx(0, abs=1e-4)
    assert last["kl_end"] == pytest.approx(0, abs=1e-4)
    assert limits.loc[(mean, 0.5, 1), "kl_end"] > 0.1


def test_a_grid_too_coarse_for_q0_is_refused() -> None:
    coarse = SETTINGS.properties.model_copy(update={"nodes": 51, "widths": (0.1,)})
    with pytest.raises(UserError, match="nodes"):
        properties(coarse, 5)


# The whole experiment


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    limit_torch_threads(1)
    return vcd_toys.run(SETTINGS, Run("test", scratch=tmp_path_factory.mktemp("scratch")))


def test_tables_have_a_row_for_every_fit(result: dict[str, pd.DataFrame]) -> None:
    toys = result["toys"]
    assert (toys["document"] == "implicit").all()
    assert toys.groupby(["target", "components", "method"]).size().to_dict() == {
        ("banana", 1, "kl"): 2,
        ("banana", 1, "vcd"): 2,
        ("banana", 2, "kl"): 2,
        ("banana", 2, "vcd"): 2,
        ("gaussian", 1, "kl"): 2,
        ("gaussian", 1, "vcd"): 2,
        ("mixture", 1, "kl"): 2,
        ("mixture", 1, "vcd"): 2,
    }
    np.testing.assert_allclose(
        toys["variance"],
        toys["deviation_1"] ** 2 + toys["deviation_2"] ** 2,
        rtol=1e-6,
        atol=1e-12,
    )
    assert (toys[["kl_q_p", "kl_p_q"]] > 0).all(axis=None)
    assert len(result["alpha"]) == 2 * 3 * 2


def test_widths_on_the_gaussian_are_near_their_closed_forms(result: dict[str, pd.DataFrame]) -> None:
    means = result["alpha"].groupby(["t", "alpha"])[["deviation", "excess"]].mean()
    assert means["deviation"][8, 0.0] == pytest.approx(math.sqrt(1 - 0.95**2), abs=0.03)
    assert means["deviation"][8, 0.0] + 0.05 < means["deviation"][8, 0.5] < means["deviation"][8, 1.0]
    assert means["deviation"][2, 1.0] < means["deviation"][8, 1.0]
    assert means["excess"].abs().max() < 0.06
    optima = result["optima"]
    assert sorted(optima["t"].unique()) == [2, 8, math.inf]
    last = optima[np.isinf(optima["t"]) & (optima["alpha"] == 1)]
    assert last["deviation"].item() == pytest.approx((1 - 0.95**2) ** 0.25)


def test_densities_shown_have_their_mass_on_the_axes(result: dict[str, dict[str, np.ndarray]]) -> None:
    arrays = result["densities"]
    names = {"target", "kl", "vcd"}
    panels = ("gaussian_1", "mixture_1", "banana_1", "banana_2")
    assert set(arrays) == {f"{panel}_{name}" for panel in panels for name in (*names, "z1", "z2")}
    z1, z2 = arrays["mixture_1_z1"], arrays["mixture_1_z2"]
    assert (z1[0], z1[-1], z2[0], z2[-1]) == (-4.2, 3.2, -4.2, 3.2)
    mass = arrays["mixture_1_target"].sum() * (z1[1] - z1[0]) * (z2[1] - z2[0])
    assert mass == pytest.approx(1, abs=0.05)


def test_a_run_in_pieces_is_the_uninterrupted_run(tmp_path: Path) -> None:
    short = SETTINGS.factorised.model_copy(update={"iterations": 6, "reduced_every": 2, "seeds": 1})
    sweep = {"iterations": 4, "draws": 2, "seeds": 1, "ts": (1, 2), "alphas": (0.0, 1.0)}
    settings = SETTINGS.model_copy(
        update={
            "factorised": short,
            "mixture": short,
            "sweep": SETTINGS.sweep.model_copy(update=sweep),
            "properties": SETTINGS.properties.model_copy(update={"chains": 100}),
            "round_steps": 2,
        }
    )
    whole = vcd_toys.run(settings, Run("test", scratch=tmp_path / "whole"))
    interrupted = 0
    while True:
        run = Run("test", scratch=tmp_path / "pieces", deadline=time.monotonic())  # one step each
        try:
            found = vcd_toys.run(settings, run)
            break
        except OutOfTime:
            interrupted += 1
    assert interrupted > 10
    for name in ("toys", "alpha"):
        pd.testing.assert_frame_equal(found[name], whole[name])
