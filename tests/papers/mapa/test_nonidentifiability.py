"""Variant 2 is made up: the ground truth mirrored, z to -z, so that every answer is known."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import stored
import torch

from elbogap.errors import UserError
from elbogap.nn.mlp import MLP
from elbogap.papers.mapa.experiments import nonidentifiability
from elbogap.papers.mapa.model import GroundTruth, Model, load
from elbogap.papers.mapa.settings import Nonidentifiability
from elbogap.runtime import Run

SETTINGS = Nonidentifiability(valid_points=200, quantiles=(0.1, 0.5, 0.9), grid=301, seed=0)


def exploded(network: MLP) -> MLP:
    """All weights finite, and no likelihood to be had."""
    arrays = network.to_arrays()
    arrays["bias0"] = arrays["bias0"] + 1.0
    arrays[f"weight{len(network.sizes) - 2}"] = arrays[f"weight{len(network.sizes) - 2}"] * 1e200
    return MLP.from_arrays(arrays)


def mirrored(network: MLP, members: int) -> MLP:
    """f(-z) as the last of `members` networks, random ones before it."""
    arrays = network.to_arrays()
    arrays["weight0"] = -arrays["weight0"]
    others = MLP(members - 1, network.sizes, network.activation, torch.Generator().manual_seed(0))
    joined: dict[str, np.ndarray] = {
        name: np.concatenate([value, arrays[name]]) if value.ndim else value
        for name, value in others.double().to_arrays().items()
    }
    return MLP.from_arrays(joined)


@pytest.fixture(scope="module")
def result(surrogates: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Draw 0 has a random network, the mirrored truth, and one that exploded; draw 1 comes first."""
    truth = GroundTruth.load("circle", surrogates["circle"])
    draw = torch.Generator().manual_seed(1)
    path = stored.models(
        tmp_path_factory.mktemp("models") / "circle_vae.npz",
        MLP.joined([mirrored(truth.decoder, 3), exploded(truth.decoder)]),
        MLP(4, [2, 4, 2], "tanh", draw),
        [(1, 0), (0, 0), (0, 1), (0, 2)],
        points=400,
        seed=5,
    )
    inputs = {"surrogate": surrogates["circle"], "models": path}
    return nonidentifiability.run(SETTINGS, Run("test", {"problem": "circle"}, inputs))


def test_the_best_restart_is_found_and_a_mirrored_decoder_is_no_other_decoder(
    result: Mapping[str, Any],
) -> None:
    points: pd.DataFrame = result["points"]
    learned = points[points["variant"] == 2]
    assert (learned["restart"] == 1).all()
    np.testing.assert_allclose(points["test_kl"], 0, atol=1e-9)
    np.testing.assert_allclose(points["decoder_distance"], 0, atol=1e-6)


def test_where_every_restart_exploded_it_says_so(surrogates: dict[str, Path], tmp_path: Path) -> None:
    truth = GroundTruth.load("circle", surrogates["circle"])
    steep = stored.linear([(1e200, 1e200)])
    path = stored.models(tmp_path / "vae.npz", steep, MLP(1, [2, 2], "tanh", torch.Generator()), [(0, 0)])
    with pytest.raises(UserError, match="no restart has a likelihood"):
        nonidentifiability.best_by_validation(load(truth, "vae", path), torch.zeros(3, 2))


def test_mapa_fits_both_variants_equally_under_draws_from_their_posteriors(
    result: Mapping[str, Any],
) -> None:
    points: pd.DataFrame = result["points"]
    means = points[points["observation"] == "mean"].set_index("codes")
    truth, draws = means.loc["ground truth"], means.loc["posterior draw"]
    # Draws from one law: |x - f(z)|^2 / (2 sigma^2) is exponential, its mean's standard error is 300^-1/2.
    for measure in ("kl_p_to_q", "kl_q_to_p", "distance_to_noise"):
        assert draws[measure] == pytest.approx(truth[measure], abs=5 / 300**0.5), measure
    assert truth["distance_to_noise"] == pytest.approx(1, abs=5 / 300**0.5)
    # The made-up encoder knows nothing, so that its codes explain nothing.
    assert means.loc["mean-field mean", "distance_to_noise"] > 5


def test_curves_are_normalised_and_mirrored(result: Mapping[str, Any], surrogates: dict[str, Path]) -> None:
    curves, points = result["curves"], result["points"]
    truth = GroundTruth.load("circle", surrogates["circle"])
    z, x = truth.data_set(400, 5, 0)
    np.testing.assert_array_equal(curves["z"][0], z[:, 0])
    np.testing.assert_allclose(np.exp(curves["empiricalised"]).mean(-1), 1, atol=1e-12)
    np.testing.assert_allclose(np.exp(curves["mapa"]).mean(-1), 1, atol=1e-12)
    first, second = curves["true"] - curves["prior"]
    inside = np.abs(curves["grid"]) < min(-curves["grid"][0], curves["grid"][-1])
    for n in range(3):
        back = np.interp(-curves["grid"], curves["grid"], second[n])
        np.testing.assert_allclose(first[n][inside], back[inside], atol=0.2)
    shown = points[(points["observation"] != "mean") & (points["variant"] == 1)]
    np.testing.assert_array_equal(shown["z_gt"], curves["z_shown"][0])
    np.testing.assert_array_equal(shown["z_gt"], z[:, 0].sort().values[[40, 200, 360]])
    kl = np.exp(curves["empiricalised"][0]) * (curves["empiricalised"][0] - curves["mapa"])
    np.testing.assert_allclose(shown["kl_p_to_q"], kl.mean(-1), atol=1e-12)
    assert x[z[:, 0].argsort()[200]].tolist() == shown[["x1", "x2"]].to_numpy()[1].tolist()


def test_posterior_draws_of_a_linear_decoder_have_its_moments() -> None:
    """x = (2 z, 0) + e: p(z|x) is N(2 x_1 / (4 + s^2), s^2 / (4 + s^2))."""
    variance = 0.3
    x = torch.tensor([[1.0, 0.4]], dtype=torch.float64).expand(5000, 2)
    model = Model(decoder=stored.linear([(2.0, 0.0)]), noise_variance=variance)
    z = nonidentifiability.posterior_draws(model, x, torch.Generator().manual_seed(0))
    expected = variance / (4 + variance)
    assert z.shape == (5000, 1)
    assert z.mean().item() == pytest.approx(2 / (4 + variance), abs=4 * math.sqrt(expected / 5000))
    assert z.var().item() == pytest.approx(expected, rel=4 * math.sqrt(2 / 5000))
