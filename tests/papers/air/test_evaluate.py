import math
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import Bernoulli, Normal

from elbogap import tables
from elbogap.errors import OutOfTime
from elbogap.models.image_vae import unpacked
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.air.experiments import evaluate, saturation
from elbogap.papers.air.settings import Estimator, Evaluate, Saturation
from elbogap.runtime import Run, torch_generator

SETTINGS = Evaluate(
    estimator=Estimator(steps=80, step_samples=4, learning_rate=0.2, samples=150),
    bound_draws=3,
    valid_samples=5,
    valid_images=20,
    rows=1000,
    seed=0,
)
SATURATION = Saturation(
    cells=("all",), images=12, steps=(0, 30), step_samples=(2, 6), samples=(1, 10, 300),
    learning_rate=0.05, rows=10**6, seed=0,
)  # fmt: skip
KEYS = {"dataset": "binarized_mnist", "cell": "all"}


@pytest.fixture(scope="module")
def evaluated(trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict:
    return evaluate.run(SETTINGS, Run("test", KEYS, trained, tmp_path_factory.mktemp("evaluated")))


@pytest.fixture(scope="module")
def saturated(trained: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    inputs = {f"{name}_binarized_mnist": trained[name] for name in ("models", "images")}
    run = Run("test", inputs=inputs, scratch=tmp_path_factory.mktemp("saturated"))
    return saturation.run(SATURATION, run)["saturation"]


def pictures(trained: dict[str, Path], part: str = "test", count: int | None = None) -> torch.Tensor:
    return unpacked(tables.read_arrays(trained["images"]), part, count=count)


def chosen(trained: dict[str, Path], members: list[int]) -> Stored:
    """Some of the trained models."""
    models = Stored.load(trained["models"])
    networks = {name: network.select(members) for name, network in models.networks.items()}
    return Stored(networks, {name: values[members] for name, values in models.values.items()})


def constant(networks: dict[str, MLP], encoder_too: bool) -> dict[str, MLP]:
    """The networks with logits that do not depend on z, and with the prior for q if asked for."""
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        networks["decoder"].weights[-1].zero_()
        networks["decoder"].biases[-1].normal_(generator=random)
        if encoder_too:
            for one in networks["encoder"].parameters():
                one.zero_()
    return networks


def by_grid(networks: dict[str, MLP], images: torch.Tensor) -> torch.Tensor:
    """log p(x) of models with two latent dimensions, on a grid and in float64."""
    axis = torch.linspace(-6, 6, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(axis, axis)
    log_prior = Normal(0.0, 1.0).log_prob(grid).sum(-1) + 2 * math.log(axis[1] - axis[0])
    with torch.no_grad():
        logits = networks["decoder"](grid[None].float())[0].double()
    log_likelihood = images.double() @ logits.T - torch.log1p(logits.exp()).sum(-1)
    return torch.logsumexp(log_likelihood + log_prior, -1)


def estimator(**changes: float) -> Estimator:
    return SETTINGS.estimator.model_copy(update=changes)


def test_each_model_has_a_row_with_its_names(evaluated: dict, trained: dict[str, Path]) -> None:
    table, values = evaluated["evaluation"], Stored.load(trained["models"]).values
    assert list(table) == [
        "document", "dataset", "data", "cell", "k", "m", "encoder", "method", "alpha", "strength", "seed",
        "kept_step", "test_images", "valid_bound", "valid_loglik", "test_bound", "test_iwae", "test_loglik",
        "test_loglik_se", "test_gap",
    ]  # fmt: skip
    for name in ("method", "alpha", "strength", "seed", "kept_step"):
        assert table[name].tolist() == values[name].tolist()
    assert (table["test_images"] == 30).all()
    assert set(table["data"]) == {"stand-in"}


def test_gaps_and_errors_are_those_of_the_test_images(evaluated: dict, trained: dict[str, Path]) -> None:
    table, x = evaluated["evaluation"], pictures(trained)
    np.testing.assert_allclose(table["test_gap"], table["test_loglik"] - table["test_bound"], atol=1e-12)
    for m in (0, 3):
        exact = by_grid(Stored.load(trained["models"]).member(m), x)
        expected = exact.std().item() / math.sqrt(len(x))
        assert table["test_loglik_se"][m] == pytest.approx(expected, rel=0.05)


def test_the_validation_likelihood_is_that_of_the_first_images(
    evaluated: dict, trained: dict[str, Path]
) -> None:
    x = pictures(trained, "valid", SETTINGS.valid_images)
    assert len(x) == SETTINGS.valid_images
    for m in (0, 4):
        exact = by_grid(Stored.load(trained["models"]).member(m), x).mean().item()
        assert evaluated["evaluation"]["valid_loglik"][m] == pytest.approx(exact, abs=0.1)


def test_iw_svi_is_not_below_the_encoder_s_importance_sampling(evaluated: dict) -> None:
    """Beyond Monte-Carlo error; and both lie above the amortised bound."""
    table = evaluated["evaluation"]
    assert (table["test_loglik"] > table["test_iwae"] - 0.05).all()
    assert (table["test_loglik"] - table["test_iwae"]).mean() > 0
    assert (table["test_gap"] > 0).all()


def test_the_likelihood_is_that_of_a_grid_over_the_latent_space(
    evaluated: dict, trained: dict[str, Path]
) -> None:
    models, x = Stored.load(trained["models"]), pictures(trained)
    for m in (0, 4, len(evaluated["evaluation"]) - 1):
        exact = by_grid(models.member(m), x)
        assert evaluated["evaluation"]["test_loglik"][m] == pytest.approx(exact.mean().item(), abs=0.05)


def test_models_are_compared_with_the_same_draws(trained: dict[str, Path], tmp_path: Path) -> None:
    tables.write(chosen(trained, [2, 2]).to_arrays(), tmp_path / "models.npz")
    run = Run("test", KEYS, trained | {"models": tmp_path / "models.npz"}, tmp_path)
    first, second = evaluate.run(SETTINGS, run)["evaluation"].to_dict("records")
    assert first == second


def test_a_decoder_that_ignores_the_latent_variable_has_its_likelihood_exactly(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    """With the prior for q all weights are equal: likelihood and bounds agree and there is no gap."""
    one = chosen(trained, [0])
    nets = constant(dict(one.networks), encoder_too=True)
    expected = Bernoulli(logits=nets["decoder"].biases[-1][0, 0]).log_prob(pictures(trained)).sum(-1)
    tables.write(one.to_arrays(), tmp_path / "models.npz")
    run = Run("test", KEYS, trained | {"models": tmp_path / "models.npz"}, tmp_path)
    found = evaluate.run(SETTINGS, run)
    for name in ("test_loglik", "test_bound", "test_iwae"):
        assert found["evaluation"][name][0] == pytest.approx(expected.mean().item(), rel=1e-5)
    assert found["evaluation"]["test_gap"][0] == pytest.approx(0, abs=1e-3)
    valid = Bernoulli(logits=nets["decoder"].biases[-1][0, 0]).log_prob(pictures(trained, "valid")).sum(-1)
    assert found["evaluation"]["valid_bound"][0] == pytest.approx(valid.mean().item(), rel=1e-5)


def test_the_fit_mends_a_wrong_encoder_of_such_a_decoder(trained: dict[str, Path]) -> None:
    """The bound with the encoder's q is below log p(x) by KL(q || p), which the fit takes away."""
    nets = constant(Stored.load(trained["models"]).member(0), encoder_too=False)
    x = pictures(trained)
    exact = Bernoulli(logits=nets["decoder"].biases[-1][0, 0]).log_prob(x).sum(-1).detach()

    def estimated(steps: int) -> torch.Tensor:
        asked = estimator(steps=steps, samples=1, learning_rate=0.1)
        return evaluate.log_likelihood(nets, x, asked, 1000, torch.Generator().manual_seed(0))

    assert (exact - estimated(0)).mean() > 0.3
    torch.testing.assert_close(estimated(400), exact, rtol=0, atol=0.15)
    assert (exact - estimated(400)).mean().abs() < 0.02


def test_the_amortised_bound_is_the_elbo_up_to_monte_carlo_error(
    trained: dict[str, Path], tmp_path: Path
) -> None:
    nets, x = Stored.load(trained["models"]).networks, pictures(trained)
    many = SETTINGS.model_copy(update={"bound_draws": 100, "estimator": estimator(steps=0, samples=1)})
    found = evaluate.run(many, Run("test", KEYS, trained, tmp_path))["evaluation"]["test_bound"]
    with torch.no_grad():
        mean, log_variance = nets["encoder"](x[None]).chunk(2, -1)
        scale = (log_variance / 2).exp()
        kl = 0.5 * (mean.square() + scale.square() - 1 - log_variance).sum(-1)
        noise = torch.randn(100, *mean.shape, generator=torch.Generator().manual_seed(9))
        likelihoods = [Bernoulli(logits=nets["decoder"](mean + scale * e)).log_prob(x).sum(-1) for e in noise]
    draws = (torch.stack(likelihoods) - kl).mean(2)  # [draws, models]
    error = draws.std(0).max().item() * math.sqrt(2 / 100)
    np.testing.assert_allclose(found, draws.mean(0), atol=5 * error)
    assert error < 0.5


@pytest.mark.parametrize("rows", [1, 37, 10**6])
def test_the_likelihood_depends_on_the_rows_at_once_by_monte_carlo_error_alone(
    trained: dict[str, Path], rows: int
) -> None:
    nets, x = Stored.load(trained["models"]).member(0), pictures(trained, count=8)
    asked = estimator(steps=100, samples=1000)
    found = evaluate.log_likelihood(nets, x, asked, rows, torch.Generator().manual_seed(3))
    torch.testing.assert_close(found, by_grid(nets, x).float(), rtol=0, atol=0.1)


def test_an_evaluation_in_many_pieces_is_the_uninterrupted_one(
    trained: dict[str, Path], evaluated: dict, tmp_path: Path
) -> None:
    pieces = 1
    while True:
        try:
            run = Run("test", KEYS, trained, tmp_path, deadline=time.monotonic() + 0.2)
            found = evaluate.run(SETTINGS, run)
            break
        except OutOfTime:
            pieces += 1
    assert pieces > 2
    assert found["evaluation"].equals(evaluated["evaluation"])


def test_models_come_back_as_they_were_stored(trained: dict[str, Path], tmp_path: Path) -> None:
    models, x = Stored.load(trained["models"]), pictures(trained)[None]
    tables.write(models.to_arrays(), tmp_path / "again.npz")
    assert (tmp_path / "again.npz").read_bytes() == trained["models"].read_bytes()
    for m in (0, 5):
        nets = models.member(m)
        torch.testing.assert_close(nets["encoder"](x)[0], models.networks["encoder"](x)[m])
        assert nets["decoder"].members == 1


def test_saturation_has_a_row_per_setting_and_none_twice(saturated: pd.DataFrame) -> None:
    assert list(saturated) == [
        "document", "dataset", "data", "method", "alpha", "strength", "steps", "step_samples", "samples",
        "images", "loglik", "below_best", "below_best_se",
    ]  # fmt: skip
    asked = [(0, 2)] + [(30, step_samples) for step_samples in (2, 6)]
    rows = [(*one, samples) for one in asked for samples in (1, 10, 300)]
    models = [
        ("plain", 0.0, 0.0),
        ("denoising", 0.5, 0.2),
        ("denoising", 1.0, 0.2),
        ("weight_norm", 0.0, 0.5),
    ]
    key = ["method", "alpha", "strength", "steps", "step_samples", "samples"]
    assert [tuple(row) for row in saturated[key].to_numpy()] == [
        (*model, *row) for model in models for row in rows
    ]
    assert (saturated["images"] == 12).all()
    assert set(saturated["data"]) == {"stand-in"}


def test_without_steps_it_is_plain_importance_sampling_from_the_encoder(
    saturated: pd.DataFrame, trained: dict[str, Path]
) -> None:
    nets, x = Stored.load(trained["models"]).member(0), pictures(trained, count=12)
    plain = saturated[(saturated["steps"] == 0) & (saturated["method"] == "plain")].reset_index(drop=True)
    for i, row in plain.iterrows():
        generator = torch_generator(0, "air.saturation", "binarized_mnist", i)
        with torch.no_grad():
            mean, log_variance = nets["encoder"](x[None])[0].chunk(2, -1)
            q = Normal(mean, (log_variance / 2).exp())
            z = q.loc + q.scale * torch.randn(int(row["samples"]), 12, 2, generator=generator)
            likelihood = Bernoulli(logits=nets["decoder"](z[None])[0]).log_prob(x).sum(-1)
            weights = likelihood + Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
        expected = torch.logsumexp(weights, 0).mean() - math.log(row["samples"])
        assert row["loglik"] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("method", ["plain", "weight_norm"])
def test_the_estimate_rises_towards_the_best_setting(saturated: pd.DataFrame, method: str) -> None:
    saturated = saturated[saturated["method"] == method]
    best = saturated.iloc[-1]
    assert tuple(best[["steps", "step_samples", "samples"]]) == (30, 6, 300)
    assert (best["below_best"], best["below_best_se"]) == (0, 0)
    np.testing.assert_allclose(saturated["below_best"], best["loglik"] - saturated["loglik"], atol=1e-4)
    assert (saturated["below_best_se"].iloc[:-1] > 0).all()
    one, many = (saturated[saturated["samples"] == k].set_index(["steps", "step_samples"]) for k in (1, 300))
    assert (one["below_best"] > many["below_best"]).all()
    assert one["below_best"][0, 2] > one["below_best"][30, 6]


def test_saturation_looks_at_each_data_set_s_models(
    saturated: pd.DataFrame, trained: dict[str, Path], tmp_path: Path
) -> None:
    inputs = {
        f"{kind}_{name}": trained[kind]
        for name in ("omniglot", "binarized_mnist")
        for kind in ("models", "images")
    }
    tables.write(chosen(trained, [0]).to_arrays(), tmp_path / "first.npz")
    run = Run("test", inputs=inputs | {"models_binarized_mnist": tmp_path / "first.npz"}, scratch=tmp_path)
    found = saturation.run(SATURATION, run)["saturation"]
    assert found["dataset"].unique().tolist() == ["omniglot", "binarized_mnist"]
    alone = found[found["dataset"] == "binarized_mnist"].reset_index(drop=True)
    pd.testing.assert_frame_equal(alone, saturated[saturated["method"] == "plain"])
