from pathlib import Path

import numpy as np
import pytest

from elbogap.papers.mapa.experiments import intuition, passes, posterior_kl, posteriors
from elbogap.papers.mapa.settings import Intuition, Passes, PosteriorKL, Posteriors
from elbogap.runtime import Run


def test_both_decoders_of_figure_1_have_one_marginal_and_explain_the_same_draws() -> None:
    settings = Intuition(noise_deviation=0.02, draws=4, nodes=2000, seed=0)
    arrays = intuition.run(settings, Run("test"))["intuition"]
    np.testing.assert_allclose(*arrays["marginal"], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(*arrays["mean_draw"], atol=1e-12)
    np.testing.assert_allclose(arrays["posterior"].mean(-1), 1, atol=1e-12)
    np.testing.assert_allclose(np.trapezoid(arrays["marginal"], arrays["x"]), 1, atol=1e-3)


def test_posteriors_are_normalised_and_red_is_black_over_the_prior(surrogates: dict[str, Path]) -> None:
    settings = Posteriors(points=2000, quantiles=(0.1, 0.5, 0.9), grid=20_001, seed=0)
    run = Run("test", {"problem": "circle"}, {"surrogate": surrogates["circle"]})
    result = posteriors.run(settings, run)
    arrays, points = result["posteriors"], result["points"]
    for name in ("empiricalised", "mapa"):
        np.testing.assert_allclose(np.exp(arrays[name]).mean(1), 1, atol=1e-12)
    order = arrays["z"].argsort()
    assert points["index"].tolist() == [order[200], order[1000], order[1800]]
    np.testing.assert_array_equal(points["z"], arrays["z"][points["index"]])
    mass = np.trapezoid(np.exp(arrays["true"]), arrays["grid"])
    assert ((mass > 0.98) & (mass < 1 + 1e-6)).all()  # the grid ends at the data's extremes
    for n in range(3):
        ratio = np.interp(arrays["z"], arrays["grid"], arrays["true"][n] - arrays["prior"])
        offset = arrays["empiricalised"][n] - ratio
        # The same offset everywhere, up to the interpolation: log p(x) - log p_N(x).
        assert np.ptp(offset[ratio > -20]) < 1e-3
        assert abs(offset[ratio > -20].mean()) < 0.3


def test_divergences_agree_with_their_definitions(surrogates: dict[str, Path]) -> None:
    settings = PosteriorKL(points=400, draws=2, block=150, seed=0)
    table = posterior_kl.run(settings, Run("test", inputs=surrogates))["posterior_kl"]
    assert table[["draw", "problem"]].to_numpy().tolist() == [[d, p] for d in (0, 1) for p in surrogates]
    assert (table[["kl_p_to_q", "kl_q_to_p", "kl_p_to_uniform"]] > 0).all(axis=None)
    rest = table["difference"] - table["prior_term"]
    assert (rest.abs() <= table["offset_rms"]).all()
    clusters = table["problem"] == "clusters"
    np.testing.assert_array_equal(table.loc[clusters, "kl_share_over_clusters"], 1)
    # The mean of -log N(z; 0, 1) under posteriors of observations from the prior: 0.5 log 2 pi + 0.5.
    assert table["prior_term"].mean() == pytest.approx(1.419, abs=4 * (0.5 / 1600) ** 0.5)
    other = settings.model_copy(update={"block": 400})
    again = posterior_kl.run(other, Run("test", inputs=surrogates))["posterior_kl"]
    np.testing.assert_allclose(
        again.select_dtypes("number"), table.select_dtypes("number"), rtol=1e-9, atol=1e-12
    )


def test_passes_lie_between_their_bounds_and_cost_both_networks_twice(surrogates: dict[str, Path]) -> None:
    settings = Passes(points=500, draws=1, batches=3, batch=20, samples=(5, 20), shares=(0.2, 0.9), seed=0)
    table = passes.run(settings, Run("test", inputs=surrogates))["passes"]
    mapa, iwae = (table[table["method"] == method] for method in ("mapa", "iwae"))
    assert len(mapa) == 2 * 2 * 2 * 2 * 2
    decoder, both = (mapa[mapa["cost"] == cost].reset_index() for cost in passes.NETWORKS)
    np.testing.assert_allclose(both["passes_per_point"], 2 * decoder["passes_per_point"], atol=1e-12)
    assert (mapa["passes_per_point"] <= mapa["passes_max"]).all()
    within = decoder[decoder["reading"] == "within"]
    assert (within["passes_per_point"] <= within["S"]).all()
    # A single point asks for its k neighbours at least.
    assert (decoder["passes_per_point"] * 20 >= (decoder["k_share"] * decoder["S"]).round()).all()
    assert iwae.groupby(["cost", "S"])["passes_per_point"].unique().map(list).to_dict() == {
        ("decoder", 5): [5],
        ("decoder", 20): [20],
        ("encoder and decoder", 5): [6],
        ("encoder and decoder", 20): [21],
    }
    again = passes.run(settings, Run("test", inputs=surrogates))["passes"]
    assert table.equals(again)
