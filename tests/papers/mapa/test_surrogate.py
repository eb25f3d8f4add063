from pathlib import Path

import numpy as np
import pytest
import torch

from elbogap.data.synthetic import circle
from elbogap.errors import UserError
from elbogap.papers.mapa.experiments import surrogate, surrogate_check
from elbogap.papers.mapa.model import GroundTruth
from elbogap.papers.mapa.settings import Surrogate, SurrogateCheck
from elbogap.runtime import Run
from elbogap.tables import read_arrays


def test_the_stored_error_is_that_of_the_stored_network(
    surrogates: dict[str, Path], quick: Surrogate
) -> None:
    truth, stored = GroundTruth.load("circle", surrogates["circle"]), read_arrays(surrogates["circle"])
    z = np.random.default_rng(0).standard_normal(200_000)
    error = truth.decode(torch.from_numpy(z[:, None])).numpy() - circle(z)
    assert stored["mse"] < quick.target_mse
    assert np.mean(error**2) == pytest.approx(stored["mse"], rel=0.1)


def test_quadrature_confirms_the_error_at_quantiles(surrogates: dict[str, Path]) -> None:
    table = surrogate_check.run(SurrogateCheck(panels=400), Run("test", inputs=surrogates))["surrogates"]
    rows = table.set_index("problem")
    for name, path in surrogates.items():
        assert rows["mse"][name] == pytest.approx(read_arrays(path)["mse"], rel=0.05)
        assert rows["joint_kl"][name] == pytest.approx(rows["mse"][name] / rows["noise_variance"][name])
    assert rows["parameters"].tolist() == [50 + 50 + 2 * (50 * 50 + 50) + 50 * 2 + 2] * 2


def test_a_surrogate_that_misses_the_target_is_refused(quick: Surrogate) -> None:
    settings = quick.model_copy(update={"steps": 100, "target_mse": 1e-4})
    with pytest.raises(UserError, match=r"surrogate of circle has MSE .* not below 0\.0001"):
        surrogate.run(settings, Run("test", {"problem": "circle"}))


def test_the_fit_is_repeatable(quick: Surrogate) -> None:
    settings = quick.model_copy(update={"steps": 100, "target_mse": 10.0})
    first, again = (
        surrogate.run(settings, Run("test", {"problem": "circle"}))["surrogate"] for _ in range(2)
    )
    assert all(np.array_equal(first[name], again[name]) for name in first)


def test_data_sets_have_the_stated_noise_and_differ_by_draw(surrogates: dict[str, Path]) -> None:
    truth = GroundTruth.load("clusters", surrogates["clusters"])
    (z, x), (same, _), (other, _) = (truth.data_set(20_000, 0, draw) for draw in (0, 0, 1))
    assert torch.equal(z, same)
    assert not torch.equal(z, other)
    noise = x - truth.decode(z)
    # The standard error of a variance is sqrt(2 / n) of it: 4 of them for n = 40,000.
    assert noise.var().item() == pytest.approx(0.2, rel=4 * (2 / 40_000) ** 0.5)
