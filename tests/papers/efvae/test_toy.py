import math
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from elbogap.errors import OutOfTime
from elbogap.inference.exponential_family import best_factorised, binary_codes, enumerated
from elbogap.nn.mlp import MLP
from elbogap.papers.efvae import toy_model
from elbogap.papers.efvae.experiments import toy
from elbogap.papers.efvae.settings import Toy
from elbogap.papers.efvae.toy_model import TRUTH, Data, Population, lattice, log_joint, maximise
from elbogap.runtime import Run, limit_torch_threads, torch_generator

SETTINGS = Toy(
    hidden=(16, 16),
    train_spacing=1.0,
    spacing=0.8,
    round_steps=25,
    pretrain_rounds=4,
    joint_rounds=8,
    pretrain_rate=0.01,
    joint_rate=0.01,
    final_share=0.1,
    seeds=2,
    pixels=24,
    plane_points=7,
    checkpoint_seconds=1e9,
    seed=0,
)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    limit_torch_threads(1)


Result = dict[str, pd.DataFrame | dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Result:
    return toy.run(SETTINGS, Run("test", scratch=tmp_path_factory.mktemp("scratch")))


def test_both_gradients_balance_at_the_best_elbo_and_lie_in_the_plane(result: Result) -> None:
    """Figure 1. Central differences over the plane are the oracle of the gradients."""
    plane = result["plane"]
    np.testing.assert_allclose(plane["of_loglik"], plane["of_gap"], atol=1e-6)
    assert np.linalg.norm(plane["of_loglik"]) > 0.01
    assert plane["of_loglik"][0] < 0  # back towards the likelihood's maximum
    data = Data.on_lattice(SETTINGS.spacing)
    best = data.best_means()
    along = (best - TRUTH) / (best - TRUTH).norm()
    np.testing.assert_allclose(plane["best"], [(best - TRUTH).norm(), 0], atol=1e-9)
    step = 1e-4
    ends = [data.mass @ log_joint(data.x, best + sign * step * along).logsumexp(-1) for sign in (1, -1)]
    assert plane["of_loglik"][0] == pytest.approx((ends[0] - ends[1]).item() / (2 * step), rel=1e-5)


def test_the_plane_shows_likelihood_and_gap_of_its_decoders(result: Result) -> None:
    plane = result["plane"]
    assert plane["loglik"].shape == plane["gap"].shape == (7, 7)
    assert (plane["gap"] > -1e-9).all()
    nearest = np.abs(plane["along"]).argmin(), np.abs(plane["across"]).argmin()
    assert nearest == (1, 2)  # 0 is a node of both axes: the ground truth itself
    assert plane["loglik"].max() == plane["loglik"][nearest]
    data = Data.on_lattice(SETTINGS.spacing)
    bound = data.best_bound(TRUTH)
    gap = data.mass @ (bound.log_evidence - bound.elbo)
    assert plane["loglik"][nearest] == pytest.approx((data.mass @ bound.log_evidence).item(), rel=1e-12)
    assert plane["gap"][nearest] == pytest.approx(gap.item(), rel=1e-9)


def test_search_finds_a_known_maximum() -> None:
    centre = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    found = maximise(lambda point: -((point - centre).square().sum() ** 2), torch.zeros(2, 2).double())
    torch.testing.assert_close(found, centre, atol=1e-3, rtol=0)


def test_lattices_integrate_the_mixture() -> None:
    data = Data.on_lattice(0.8)
    x, mass = data.x, data.mass
    means = TRUTH
    torch.testing.assert_close(mass.sum(), torch.ones((), dtype=torch.float64), atol=1e-8, rtol=0)
    torch.testing.assert_close(mass @ x, means.mean(0), atol=1e-7, rtol=0)
    second = torch.einsum("n,ni,nj->ij", mass, x, x)
    expected = torch.eye(2, dtype=torch.float64) + means.mT @ means / 4
    torch.testing.assert_close(second, expected, atol=1e-6, rtol=0)


def test_the_means_are_the_centre_and_a_triangle() -> None:
    means = TRUTH
    assert means[0].tolist() == [0, 0]
    distances = torch.pdist(means).tolist()
    np.testing.assert_allclose(distances, [2] * 3 + [2 * math.sqrt(3)] * 3, atol=1e-12)


def test_calibration_gives_the_published_bounds() -> None:
    """-3.74 and -3.70, with the best factorised q of each x."""
    data = Data.on_lattice(0.5)
    truth, joint, mass = data.best_bound(TRUTH), data.best_bound(data.best_means()), data.mass
    assert float(mass @ truth.log_evidence) == pytest.approx(-3.6504, abs=1e-4)
    assert float(mass @ truth.elbo) == pytest.approx(-3.7383, abs=5e-4)
    assert float(mass @ joint.elbo) == pytest.approx(-3.6955, abs=5e-4)
    assert float(mass @ joint.log_evidence) == pytest.approx(-3.6780, abs=5e-4)


def population(spacing: float, members: int = 2) -> Population:
    streams = [partial(torch_generator, 0, "test", member) for member in range(members)]
    return Population(TRUTH, spacing, 3, streams)


def test_training_sees_shifted_lattices_of_the_data() -> None:
    batch = population(1.0).prepare(0)
    x, weight = batch["x"].double(), batch["weight"].double()
    shifts = x - lattice(1.0, reach=toy_model.TRAINED)
    torch.testing.assert_close(shifts, shifts[..., :1, :].expand_as(shifts), atol=1e-5, rtol=0)
    assert shifts.abs().max() <= 0.5 + 1e-5
    assert len(shifts[..., 0, 0].flatten().unique()) == 6
    torch.testing.assert_close(weight.sum(-1), torch.ones(2, 3).double(), atol=1e-5, rtol=0)
    mean = (weight.unsqueeze(-1) * x).sum(-2)
    torch.testing.assert_close(mean, TRUTH.mean(0).expand_as(mean), atol=5e-3, rtol=0)


@pytest.mark.parametrize("trained", [False, True])
def test_the_objective_is_the_expected_bound(trained: bool) -> None:
    encoder = MLP(2, [2, 8, 2], "relu", torch.Generator().manual_seed(0))
    decoder = MLP.constant(torch.randn(2, 8, generator=torch.Generator().manual_seed(1)))
    networks = {"encoder": encoder} | ({"decoder": decoder} if trained else {})
    batch = {name: values[:, 0] for name, values in population(1.0).prepare(0).items()}
    value = population(1.0).value(networks, batch)
    data = Data.on_lattice(0.4)
    x, mass = data.x, data.mass
    means = decoder(torch.zeros(2, 1, 0)).double().view(2, 4, 2) if trained else TRUTH
    bound = enumerated(log_joint(x, means), toy_model.encoder_log_prob(encoder, x))
    torch.testing.assert_close(value.double(), bound.elbo @ mass, atol=0.02, rtol=0)


def test_the_nearest_consistent_decoder_is_tight_and_its_rectangle_is_the_nearest() -> None:
    data = Data.on_lattice(0.8)
    means = data.best_means()
    nearest = toy._nearest_consistent(means)
    torch.testing.assert_close(data.best_bound(nearest).gap, torch.zeros_like(data.mass), atol=1e-9, rtol=0)
    distance = (nearest - means).norm()
    signs, (u, v) = binary_codes(2, low=-1.0), (nearest[3] - nearest[1], nearest[3] - nearest[2])
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):  # rectangles near it
        angle, *sizes = 0.1 * torch.randn(3, generator=generator, dtype=torch.float64)
        cos, sin = angle.cos(), angle.sin()
        turn = torch.stack([torch.stack([cos, -sin]), torch.stack([sin, cos])])
        sides = torch.stack([(1 + sizes[0]) * turn @ u, (1 + sizes[1]) * turn @ v]) / 2
        assert (nearest.mean(0) + signs @ sides - means).norm() >= distance - 1e-9


def test_the_rbm_is_the_best_known_one() -> None:
    data = Data.on_lattice(0.8)
    rbm = toy._rbm(data, data.best_means())
    assert float(data.mass @ rbm.log_joint(data.x).logsumexp(-1)) == pytest.approx(-3.7266, abs=1e-3)


def test_tables_obey_the_identities(result: Result) -> None:
    table = result["table"]
    keys = table[["stage", "encoder"]].apply(tuple, axis=1).value_counts().to_dict()
    assert keys == {
        ("ground_truth", "best"): 1,
        ("joint", "best"): 1,
        ("ground_truth", "network"): 2,
        ("joint", "network"): 2,
        ("rbm", "exact"): 1,
    }
    np.testing.assert_allclose(table["gap"], table["loglik"] - table["elbo"], atol=1e-12)
    assert (table["gap"] >= -1e-12).all()
    assert (table["approximation_error"] >= -1e-12).all()
    assert (table["elbo"] <= table["best_elbo"] + 1e-9).all()
    by = table[table["seed"] == 0].set_index(["stage", "encoder"])
    assert by.loc[("ground_truth", "network"), "approximation_error"] == pytest.approx(0, abs=1e-12)
    assert by.loc[("ground_truth", "best"), "affine_distance"] == pytest.approx(4)
    assert by.loc[("rbm", "exact"), "affine_distance"] == pytest.approx(0, abs=1e-9)
    assert by.loc[("joint", "network"), "elbo"] > by.loc[("ground_truth", "network"), "elbo"]
    networks = table[table["encoder"] == "network"]
    assert networks.groupby("stage")["elbo"].nunique().eq(2).all()  # seeds differ


def test_maps_agree_with_themselves_and_the_truth_encloses_the_centre(result: Result) -> None:
    maps = result["maps"].set_index(["map", "seed"])
    for name in ("ground_truth", "posterior", "rbm"):
        np.testing.assert_allclose(maps.loc[name, f"agreement_{name}"], 1, atol=1e-12)
    fractions = maps.filter(like="agreement")
    assert fractions.ge(0).all(axis=None)
    assert fractions.le(1 + 1e-12).all(axis=None)
    assert maps.loc["ground_truth", "centre_border"].eq(0).all()
    agreements = maps["agreement_ground_truth"]["posterior"], maps["agreement_posterior"]["ground_truth"]
    np.testing.assert_allclose(*agreements, atol=1e-12)


def test_panels_show_the_first_seed(result: Result) -> None:
    panels = result["panels"]
    axis = torch.from_numpy(panels["axis"])
    x = torch.stack([axis[5], axis[17]])
    truth = log_joint(x[None], TRUTH)
    np.testing.assert_allclose(panels["probabilities"][5, 17], truth.softmax(-1)[0], rtol=1e-12, atol=1e-12)
    assert panels["ground_truth"][5, 17] == truth.argmax()
    joint = log_joint(x[None], torch.from_numpy(panels["means_joint"]))
    assert panels["posterior"][5, 17] == joint.argmax()


def test_a_run_out_of_time_goes_on_to_the_same_numbers(result: Result, tmp_path: Path) -> None:
    late = Run("test", scratch=tmp_path, deadline=time.monotonic())
    with pytest.raises(OutOfTime):
        toy.run(SETTINGS, late)
    again = toy.run(SETTINGS, Run("test", scratch=tmp_path))
    pd.testing.assert_frame_equal(again["table"], result["table"])


def test_best_factorised_bounds_of_the_toy_are_global() -> None:
    """Against a dense grid of both bits' logits, where the toy's best q jumps."""
    x = lattice(0.8)
    values = log_joint(x, TRUTH)
    bits = binary_codes(2)
    axis = torch.linspace(-15, 15, 101, dtype=torch.float64)
    logits = torch.cartesian_prod(axis, axis)
    grid = (logits[:, None] * bits).sum(-1).log_softmax(-1)
    everywhere = (grid.exp() @ values.mT - (grid.exp() * grid).sum(-1, keepdim=True)).amax(0)
    elbo = enumerated(values, best_factorised(values, bits)).elbo
    assert (elbo >= everywhere - 1e-6).all()
