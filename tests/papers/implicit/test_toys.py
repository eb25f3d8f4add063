import itertools
import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Independent, MixtureSameFamily, MultivariateNormal, Normal

from allowance import within
from elbogap.errors import OutOfTime
from elbogap.inference import hmc
from elbogap.inference.noise import draw
from elbogap.inference.objectives import elbo, uivi
from elbogap.inference.objectives.base import ChainState
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit import targets
from elbogap.papers.implicit.experiments import toys
from elbogap.papers.implicit.experiments.toys import Ensemble, semi_implicit
from elbogap.papers.implicit.methods import FLOOR
from elbogap.papers.implicit.names import OF_Q, SIVI, UIVI
from elbogap.papers.implicit.settings import Toys
from elbogap.papers.implicit.targets import UIVI_TARGETS, largest_elbo, log_density
from elbogap.runtime import Run, limit_torch_threads

SETTINGS = Toys(
    rounds=3,
    round_steps=20,
    batch=5,
    noise=3,
    hidden=(10, 10),
    deviation=0.5,
    learning_rate=0.05,
    deviation_share=0.2,
    rate_every=20,
    others=8,
    burn_in=2,
    kept=2,
    leapfrog_steps=3,
    step_size=0.2,
    target_acceptance=0.9,
    seeds=2,
    elbo_blocks=4,
    elbo_draws=100,
    elbo_noises=300,
    figure_draws=40,
    grid=50,
    checkpoint_seconds=1e9,
    seed=0,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    limit_torch_threads(1)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    return toys.run(SETTINGS, Run("test", scratch=tmp_path_factory.mktemp("scratch")))


def test_targets_are_those_of_the_code_and_normalised() -> None:
    def mixture(means: list[list[float]], covariances: list[list[list[float]]]) -> MixtureSameFamily:
        components = MultivariateNormal(torch.tensor(means), torch.tensor(covariances))
        return MixtureSameFamily(torch.distributions.Categorical(torch.ones(2)), components)

    z = torch.randn(3, 60, 2, generator=torch.Generator().manual_seed(0)) * 2
    banana = MultivariateNormal(torch.zeros(2), torch.tensor([[1.0, 0.9], [0.9, 1.0]]))
    bent = torch.stack([z[0, :, 0], z[0, :, 1] + z[0, :, 0] ** 2 + 1], -1)
    x_shaped = mixture([[0.0, 0.0]] * 2, [[[2.0, 1.8], [1.8, 2.0]], [[2.0, -1.8], [-1.8, 2.0]]])
    multimodal = mixture([[-2.0, 0.0], [2.0, 0.0]], [[[1.0, 0.0], [0.0, 1.0]]] * 2)
    expected = [banana.log_prob(bent), x_shaped.log_prob(z[1]), multimodal.log_prob(z[2])]
    targets = list(UIVI_TARGETS.values())
    torch.testing.assert_close(log_density(targets)(z), torch.stack(expected), rtol=1e-4, atol=1e-4)
    axis = torch.linspace(-40, 12, 1041, dtype=torch.float64)
    grid = torch.cartesian_prod(axis[560:], axis)[None].expand(3, -1, -1)
    mass = log_density(targets, dtype=torch.float64)(grid).exp().sum(-1) * 0.05**2
    torch.testing.assert_close(mass, torch.ones(3, dtype=torch.float64), rtol=0, atol=1e-6)


def test_every_target_method_and_seed_has_its_row(
    result: dict[str, pd.DataFrame | dict[str, np.ndarray]],
) -> None:
    table, draws = result["divergences"], result["draws"]
    assert isinstance(table, pd.DataFrame)
    keys = table[["method", "target", "seed"]].to_numpy().tolist()
    assert keys == [list(key) for key in itertools.product(OF_Q, UIVI_TARGETS, range(2))]
    np.testing.assert_allclose(table["kl"], -table["elbo"], atol=1e-12)
    exact = table[table["method"] == "explicit"]
    assert within((exact["best_gaussian"] - exact["kl"]).clip(lower=0), exact["elbo_se"])
    assert table.groupby("target")["best_gaussian"].nunique().eq(1).all()
    for target in UIVI_TARGETS:
        assert draws[f"density_{target}"].shape == (50, 50)
        assert all(draws[f"{method}_{target}"].shape == (40, 2) for method in OF_Q)


def test_the_best_gaussian_is_the_target_where_it_can_be_and_else_the_known_one() -> None:
    gaussian = Independent(Normal(torch.tensor([1.0, -2.0]), torch.tensor([0.3, 4.0])), 1)
    assert largest_elbo(gaussian.log_prob, [(0.0, 0.0)]) == pytest.approx(0, abs=1e-6)
    tilted = MultivariateNormal(
        torch.zeros(2, dtype=torch.float64), torch.tensor([[1, 0.9], [0.9, 1]], dtype=torch.float64)
    )
    known = -0.5 * math.log(1 - 0.9**2)  # variances 1 - r^2
    assert largest_elbo(tilted.log_prob, [(1.0, 1.0)]) == pytest.approx(-known, abs=1e-6)
    assert largest_elbo(tilted.log_prob, [(1.0, 1.0)], correlated=True) == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("target", UIVI_TARGETS)
def test_the_best_gaussian_s_quadrature_has_converged(target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    coarse = toys._best_gaussian(target)
    monkeypatch.setattr(targets, "NODES", 2 * targets.NODES)
    assert coarse == pytest.approx(toys._best_gaussian(target), abs=1e-6)


def test_grids_show_the_density_in_its_place() -> None:
    arrays = toys._grids(61)
    peak = np.unravel_index(arrays["density_multimodal"].argmax(), (61, 61))
    place = [abs(arrays["horizontal_multimodal"][peak[0]]), arrays["vertical_multimodal"][peak[1]]]
    np.testing.assert_allclose(place, [2, 0], atol=0.2)


def test_training_brings_q_closer(tmp_path: Path) -> None:
    def divergences(name: str, rounds: int) -> pd.Series:
        settings = SETTINGS.model_copy(update={"rounds": rounds, "seeds": 1, "rate_every": 60})
        table = toys.run(settings, Run("test", scratch=tmp_path / name))["divergences"]
        assert isinstance(table, pd.DataFrame)
        return table.set_index(["method", "target"])["kl"]

    first, last = divergences("first", 1), divergences("last", 15)
    assert (last.groupby("method").sum() < 0.9 * first.groupby("method").sum()).all()
    assert last["uivi", "multimodal"] < 0.5 * last["explicit", "multimodal"]


def test_a_run_in_pieces_is_the_uninterrupted_run(
    tmp_path: Path, result: dict[str, pd.DataFrame | dict[str, np.ndarray]]
) -> None:
    pieces = 0
    while True:
        pieces += 1
        try:
            deadline = time.monotonic() + 0.3
            again = toys.run(SETTINGS, Run("test", scratch=tmp_path, deadline=deadline))
            break
        except OutOfTime:
            pass
    assert pieces > 1
    pd.testing.assert_frame_equal(again["divergences"], result["divergences"], check_exact=True)


def test_a_member_does_not_depend_on_the_others() -> None:
    """But for rounding: the first step's gradient of one member alone is that in an ensemble."""
    members = [("banana", 0), ("multimodal", 1)]
    gradients = []
    for own in (members, members[1:]):
        networks = Ensemble(SETTINGS, UIVI, own).initial_networks()
        objective = Ensemble(SETTINGS, UIVI, own).variational()
        batch = {name: values[:, 0] for name, values in objective.prepare(3).items()}
        objective.value(networks, batch).sum().backward()
        gradients.append(networks["mean"].weights[1].grad[-1])
    torch.testing.assert_close(*gradients, rtol=1e-4, atol=1e-5)


def gaussian_networks(mean: list[float], scale: list[float]) -> dict[str, MLP]:
    return {"mean": MLP.constant(torch.tensor([mean])), "scale": MLP.constant(torch.tensor([scale]))}


def test_the_gaussian_s_bound_is_its_elbo() -> None:
    """Against a Gaussian target the mean over many draws is -KL in closed form."""
    target = Independent(Normal(torch.tensor([1.0, -1.0]), torch.tensor([0.5, 2.0])), 1)
    q = Independent(Normal(torch.tensor([0.5, 0.0]), torch.tensor([0.7, 1.0])), 1)
    batch = draw(elbo.SIVI(0).noise(40_000, dimensions=2), torch.Generator().manual_seed(0), 1)
    family = semi_implicit(gaussian_networks([0.5, 0.0], [0.7, 1.0]))
    value = elbo.SIVI(0).estimate(family, target.log_prob, batch).mean()
    assert value.item() == pytest.approx(-float(torch.distributions.kl_divergence(q, target)), abs=0.05)


def test_noises_shared_by_all_draws_are_those_noises_for_each() -> None:
    members = [("banana", 0), ("x_shaped", 0)]
    networks = Ensemble(SETTINGS, SIVI, members).initial_networks()
    objective = Ensemble(SETTINGS, SIVI, members).variational()
    batch = {name: values[:, 0] for name, values in objective.prepare(0).items()}
    assert batch["more"].shape == (2, 8, 1, 3)
    repeated = batch | {"more": batch["more"].expand(-1, -1, 5, -1)}
    torch.testing.assert_close(objective.value(networks, batch), objective.value(networks, repeated))


def test_uivi_records_the_bound_without_others_and_moves_its_step_sizes() -> None:
    members = [("x_shaped", 0), ("x_shaped", 1)]
    networks = Ensemble(SETTINGS, UIVI, members).initial_networks()
    training = Ensemble(SETTINGS, UIVI, members).variational()
    assert isinstance(training.state, ChainState)
    batch = {name: values[:, 0] for name, values in training.prepare(0).items()}
    place = training.state.step_size
    value = training.value(networks, batch)
    none = batch["mixing"].new_empty(2, 0, 1, 3)
    log_joint = training.log_joint(networks, batch)
    bound = elbo.SIVI(0).estimate(semi_implicit(networks), log_joint, batch | {"more": none}).mean()
    torch.testing.assert_close(value, bound)
    assert training.state.step_size is place  # in place, as a captured step needs it
    assert (place != 0.2).all()
    assert place[0] != place[1]


def test_a_scale_below_the_floor_counts_as_the_floor_and_finds_back() -> None:
    networks = gaussian_networks([0.0, 0.0], [-1.0, 0.3])
    q = semi_implicit(networks)
    assert q.log_scale.exp().flatten().tolist() == pytest.approx([FLOOR, 0.3])
    (slope,) = torch.autograd.grad(q.log_scale.sum(), networks["scale"].biases[0])
    assert slope.flatten().tolist() == pytest.approx([1 / FLOOR, 1 / 0.3])


def test_the_objectives_chains_are_those_of_the_settings() -> None:
    training = Ensemble(SETTINGS, UIVI, [("banana", 0)]).variational()
    assert isinstance(training.objective, uivi.UIVI)
    prepared = training.prepare(0)
    assert prepared["momenta"].shape == (1, 20, 4, 5, 3)
    assert prepared["uniforms"].shape == (1, 20, 4, 5)
    assert training.objective.kernel.adaptation == hmc.Adaptation(0.9, 0.01)
    again, other = training.prepare(0), training.prepare(1)
    assert torch.equal(prepared["mixing"], again["mixing"])
    assert not torch.equal(prepared["mixing"], other["mixing"])
