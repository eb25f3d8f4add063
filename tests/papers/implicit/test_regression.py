"""Softmax regression: model, estimates, objectives and the two experiments, on made-up points."""

import json
import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor

from allowance import within
from elbogap import tables
from elbogap.config.base import Section
from elbogap.data.loaders import Dataset
from elbogap.ensemble import Batch, Variational
from elbogap.errors import UserError
from elbogap.inference.objectives.base import ChainState
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.experiments import regression, regression_summary
from elbogap.papers.implicit.names import EXPLICIT, OF_Q, UIVI, Method
from elbogap.papers.implicit.settings import Points, Regression, SoftmaxCell, SoftmaxTraining
from elbogap.papers.implicit.softmax_regression import (
    Inference,
    Labelled,
    SoftmaxRegression,
    affine_mean,
)
from elbogap.runtime import Run, limit_torch_threads, torch_generator
from elbogap.training import Work

CLASSES, FEATURES = 3, 4
POINTS = Points(train=24, test=9, batch=8)
PUBLISHED = Path(__file__).parents[3] / "paper/implicit/published"


@pytest.fixture(scope="module")
def training() -> SoftmaxTraining:
    limit_torch_threads(1)
    return SoftmaxTraining(
        noise=2, hidden=(9,), sivi_samples=6, leapfrog_steps=3, step_size=0.2, target_acceptance=0.9,
        learning_rate=0.05, deviation_share=0.2, decay_every=10, measure_every=4, elbo_draws=5,
        elbo_noises=7, test_draws=6, draws_at_once=4, seeds=2, checkpoint_seconds=1e9, seed=0,
    )  # fmt: skip


@pytest.fixture(scope="module")
def softmax() -> SoftmaxRegression:
    generator = torch.Generator().manual_seed(0)

    def points(count: int) -> Labelled:
        inputs = torch.randn(count, FEATURES, generator=generator)
        inputs[:, -1] = 1
        return Labelled(inputs, torch.randint(CLASSES, (count,), generator=generator))

    return SoftmaxRegression(points(POINTS.train), points(POINTS.test), CLASSES, POINTS.batch)


def normal(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def log_likelihood(z: Tensor, points: Labelled) -> Tensor:
    """log p(y_n|x_n, z) of one draw `[D]` at all points."""
    logits = points.inputs @ z.view(CLASSES, FEATURES).T
    return torch.distributions.Categorical(logits=logits).log_prob(points.labels)


def inference(
    training: SoftmaxTraining, softmax: SoftmaxRegression, method: Method, *seeds: int
) -> Inference:
    return Inference(training, softmax, method, 2, seeds or (0, 1))


def first_step(q: Inference) -> tuple[Variational, dict[str, MLP], Batch]:
    what = q.variational()
    return what, q.initial_networks(), {name: values[:, 0] for name, values in what.prepare(0).items()}


def test_the_log_joint_is_that_of_the_formula_and_so_is_its_gradient(softmax: SoftmaxRegression) -> None:
    rows = torch.tensor([[0, 3, 5], [7, 1, 1]])
    z = normal(1, 2, 1, softmax.dimensions).requires_grad_()
    found = softmax.log_joint(rows)(z)
    assert found.shape == (2, 1)
    for member in range(2):
        chosen = Labelled(softmax.train.inputs[rows[member]], softmax.train.labels[rows[member]])
        one = z[member, 0]
        prior = -0.5 * one.square().sum() - 0.5 * len(one) * math.log(2 * math.pi)
        torch.testing.assert_close(found[member, 0], prior + 8 * log_likelihood(one, chosen).sum())
        # d/dW_k = -W_k + N/B sum_b (1[y_b = k] - p(k|x_b)) x_b
        errors = torch.nn.functional.one_hot(chosen.labels, CLASSES) - torch.softmax(
            chosen.inputs @ one.view(CLASSES, FEATURES).T, -1
        )
        (slope,) = torch.autograd.grad(found[member, 0], z, retain_graph=True)
        torch.testing.assert_close(slope[member, 0], -one + 8 * (errors.T @ chosen.inputs).flatten())


@pytest.mark.parametrize("method", OF_Q.values(), ids=OF_Q)
def test_estimates_are_those_of_brute_force(
    training: SoftmaxTraining, softmax: SoftmaxRegression, method: Method
) -> None:
    """Draws are repeated from the streams; densities are summed over all noises one by one."""
    q = inference(training, softmax, method)
    networks = q.initial_networks()
    found = q.estimates(networks, 6)
    size, noise = softmax.dimensions, training.noise if method.mixing else 0
    scale = networks["scale"].biases[0].exp()
    for seed in range(2):
        generator = torch_generator(training.seed, "implicit.regression", "measure", seed)
        network = networks["mean"].select([seed])

        def drawn(*shape: int, generator: torch.Generator = generator) -> Tensor:
            return torch.randn(shape, generator=generator)

        own, draws, fresh = drawn(5, noise), drawn(5, size), drawn(7, noise)
        elbo, lower = [], []
        for e, u in zip(own, draws, strict=True):
            z = network(e[None, None])[0, 0] + scale[seed, 0] * u
            joint = -0.5 * z.square().sum() - 0.5 * size * math.log(2 * math.pi)
            joint = joint + log_likelihood(z, softmax.train).sum()
            own_q = torch.distributions.Normal(network(torch.cat([e[None], fresh])[None])[0], scale[seed])
            densities = own_q.log_prob(z).double().sum(-1)
            elbo.append(joint - densities[1:].logsumexp(0) + math.log(7))
            lower.append(joint - densities.logsumexp(0) + math.log(8))
        assert found["elbo"][seed].item() == pytest.approx(torch.stack(elbo).mean().item(), rel=1e-4)
        assert found["elbo_lower"][seed].item() == pytest.approx(torch.stack(lower).mean().item(), rel=1e-4)
        likelihoods = []
        for count in (4, 2):
            e, u = drawn(count, noise), drawn(count, size)
            z = network(e[None])[0] + scale[seed] * u
            likelihoods += [log_likelihood(one, softmax.test).double() for one in z]
        values = torch.stack(likelihoods)  # [T, N]
        joint_predictive = values.sum(1).exp().mean().log() / POINTS.test
        assert found["test_loglik"][seed].item() == pytest.approx(joint_predictive.item(), rel=1e-4)
        marginal = values.exp().mean(0).log().mean()
        assert found["test_loglik_marginal"][seed].item() == pytest.approx(marginal.item(), rel=1e-4)


def test_the_exact_elbo_of_the_mean_field_needs_no_noises(
    training: SoftmaxTraining, softmax: SoftmaxRegression
) -> None:
    q = inference(training, softmax, EXPLICIT)
    found = q.estimates(q.initial_networks(), 1)
    torch.testing.assert_close(found["elbo"], found["elbo_lower"])


@pytest.mark.parametrize("method", OF_Q.values(), ids=OF_Q)
def test_members_do_not_depend_on_each_other_and_learn(
    training: SoftmaxTraining, softmax: SoftmaxRegression, tmp_path: Path, method: Method
) -> None:
    long = training.model_copy(update={"measure_every": 30})
    both, alone = (
        inference(long, softmax, method, *seeds).train(5, Work("test", tmp_path / f"{seeds}.pt", "", 1e9))
        for seeds in ([0, 1], [1])
    )
    for name in both.networks:
        for ours, theirs in zip(
            both.networks[name].parameters(), alone.networks[name].parameters(), strict=True
        ):
            torch.testing.assert_close(ours[1], theirs[0], rtol=1e-3, atol=1e-4)
    assert (both.measured["elbo"][:, -1] > both.measured["elbo"][:, 0]).all()
    assert both.measured["elbo"][0, -1] != both.measured["elbo"][1, -1]


def test_all_methods_see_the_same_minibatches_and_a_round_goes_through_the_data(
    training: SoftmaxTraining, softmax: SoftmaxRegression
) -> None:
    rows = [inference(training, softmax, method).variational().prepare(3)["rows"] for method in OF_Q.values()]
    assert torch.equal(rows[0], rows[1])
    assert torch.equal(rows[0], rows[2])
    assert rows[0].shape == (2, training.measure_every, POINTS.batch)
    for member in rows[0]:
        assert sorted(member[:3].flatten().tolist()) == list(range(POINTS.train))


def test_uivi_s_leapfrog_step_adapts(training: SoftmaxTraining, softmax: SoftmaxRegression) -> None:
    what, networks, batch = first_step(inference(training, softmax, UIVI))
    assert isinstance(what.state, ChainState)
    value = what.value(networks, batch)
    # the value is the bound without further noises, whatever the chains did
    q = affine_mean(networks)
    expected = softmax.log_joint(batch["rows"])(q.rsample(batch)) - q.conditional_log_prob(batch)
    torch.testing.assert_close(value, expected.squeeze(1))
    assert (what.state.step_size != training.step_size).all()
    assert within(what.state.step_size - training.step_size, training.step_size, times=0.03)


def test_the_model_takes_the_first_of_the_shuffled_points_and_adds_a_one() -> None:
    pixels = np.arange(40, dtype=np.uint8).reshape(20, 2)
    labels = np.arange(20, dtype=np.uint8) % 3
    arrays = {
        "train": pixels[:10], "train_label": labels[:10], "valid": pixels[10:15],
        "valid_label": labels[10:15], "test": pixels[15:], "test_label": labels[15:],
    }  # fmt: skip
    data = Dataset("mnist", "real", arrays, {})
    found = SoftmaxRegression.of(data, Points(train=12, test=100, batch=3), 0, "cpu")
    assert (len(found.train.labels), len(found.test.labels), found.classes, found.dimensions) == (12, 5, 3, 9)
    assert (found.train.inputs[:, 2] == 1).all()
    places = (found.train.inputs[:, 0] * 255 / 2).round().long()
    assert len(set(places.tolist())) == 12
    assert places.tolist() != sorted(places.tolist())
    assert places.max() >= 10, "the validation part belongs to the training points"
    assert (found.train.labels == places % 3).all()
    with pytest.raises(UserError, match="batch 16 exceeds the 15 training points"):
        SoftmaxRegression.of(data, Points(train=99, test=1, batch=16), 0, "cpu")


@pytest.fixture(scope="module")
def record(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A stand-in of MNIST with few points."""
    path = tmp_path_factory.mktemp("record") / "mnist.json"
    stand_in = {"recipe": "strokes", "seed": 1, "train": 30, "valid": 10, "test": 10}
    path.write_text(
        json.dumps(
            {
                "dataset": "mnist",
                "kind": "stand-in",
                "variant": "synthetic",
                "files": [],
                "stand_in": stand_in,
            }
        ),
        encoding="utf-8",
    )
    return path


def test_the_experiments_give_a_row_per_seed_and_measurement_and_their_means(
    training: SoftmaxTraining, record: Path, tmp_path: Path
) -> None:
    cells = {name: SoftmaxCell(datasets=("mnist",), method=name, hmc_iterations=1) for name in OF_Q}
    cells["longer"] = SoftmaxCell(datasets=("mnist",), method="uivi", hmc_iterations=5)
    settings = Regression(
        cells=cells, mnist=POINTS, hapt=POINTS, training=training, rounds=10, timing_steps=2, timing_repeats=1
    )
    inputs = {
        "published": PUBLISHED / "regression.csv", "published_chains": PUBLISHED / "hmc_iterations.csv"
    }  # fmt: skip
    for name in cells:
        keys = {"dataset": "mnist", "cell": name}
        table = regression.run(settings, Run("test", keys, {"data": record}, tmp_path / name))["curves"]
        assert len(table) == 2 * 10
        assert set(table["data"]) == {"stand-in"}
        assert sorted(table["iteration"].unique()) == list(range(4, 44, 4))
        assert (table["seconds_per_iteration"] >= 0).all()
        inputs[f"curves_mnist_{name}"] = tmp_path / f"{name}.csv"
        tables.write(table, inputs[f"curves_mnist_{name}"])
    found = regression_summary.run(Section(), Run("test", {}, inputs))
    assert len(found["curves"]) == 4 * 2 * 10
    late = found["curves"].query("iteration > 32")
    assert len(found["seeds"]) == 3 * 2
    for row in found["seeds"].itertuples():
        own = late[(late["cell"] == row.method) & (late["seed"] == row.seed)]
        assert len(own) == 2
        assert row.elbo == pytest.approx(own["elbo"].mean())
        assert row.elbo_time_sd == pytest.approx(own["elbo"].std())
    table = found["table"].set_index("method")
    for method in OF_Q:
        seeds = found["seeds"].query("method == @method")
        assert table["test_loglik"][method] == pytest.approx(seeds["test_loglik"].mean())
        assert table["test_loglik_seed_sd"][method] == pytest.approx(seeds["test_loglik"].std())
    assert (table["seeds"] == 2).all()
    assert table["elbo_published"][["sivi", "uivi"]].tolist() == [-23860, -23490]
    assert math.isnan(table["elbo_published"]["explicit"])
    chains = found["chains"].set_index("hmc_iterations")
    expected = late[late["method"] == "uivi"].groupby("hmc_iterations")["elbo"].mean()
    pd.testing.assert_series_equal(chains["elbo"], expected)
    change = (expected - expected.mean()) / abs(expected.mean())
    np.testing.assert_allclose(chains["elbo_change"], change, atol=1e-12)
    assert chains["elbo_published"].tolist() == [-23472, -23429]
