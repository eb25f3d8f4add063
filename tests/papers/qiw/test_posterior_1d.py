import numpy as np
import pandas as pd
import pytest
import torch
from scipy.optimize import OptimizeResult
from torch.distributions import Normal

from allowance import within
from elbogap.errors import UserError
from elbogap.inference import lbfgs
from elbogap.papers.qiw.experiments import posterior_1d
from elbogap.papers.qiw.settings import Posterior1D
from elbogap.runtime import Run

SETTINGS = Posterior1D(
    ks=(1, 5),
    half_width=24.0,
    points=481,
    starts=(0.0, 4.0),
    samples=4000,
    bins=40,
    figure_half_width=7.0,
    seed=0,
)


@pytest.fixture(scope="module")
def result() -> dict[str, pd.DataFrame]:
    return posterior_1d.run(SETTINGS, Run("smoke"))


def test_target_is_normalised_with_the_mixture_s_moments() -> None:
    z = torch.linspace(-15, 15, 3001, dtype=torch.float64)
    density = posterior_1d.TARGET.log_prob(z).exp() * 0.01
    assert float(density.sum()) == pytest.approx(1, abs=1e-10)
    assert float((density * z).sum()) == pytest.approx(0.3 * -2 + 0.4 * 4, abs=1e-10)
    assert float((density * z**2).sum()) == pytest.approx(0.3 * 4.5 + 0.3 * 1 + 0.4 * 16.5, abs=1e-10)


@pytest.mark.parametrize("k", [1, 5])
def test_fit_recovers_a_gaussian_target(monkeypatch: pytest.MonkeyPatch, k: int) -> None:
    """If the target is a Gaussian, every bound is largest, and tight, at the target itself."""
    monkeypatch.setattr(posterior_1d, "TARGET", Normal(1.3, 0.8))
    z = torch.linspace(-24, 24, 961, dtype=torch.float64)
    mean, deviation, _ = posterior_1d._fit(z, posterior_1d._bound(z, k), SETTINGS)
    # the bound is flat at its top: L-BFGS stops within 1e-9 nats, which is 1e-3 in the parameters
    assert mean == pytest.approx(1.3, abs=5e-3)
    assert deviation == pytest.approx(0.8, abs=5e-3)


def test_a_search_that_passes_a_narrow_q_goes_on(result: dict[str, pd.DataFrame]) -> None:
    """With two draws it tries a standard deviation of 0.2, under which log-weights differ by 5,000 nats."""
    z = torch.linspace(-24, 24, 961, dtype=torch.float64)
    settings = SETTINGS.model_copy(update={"starts": (-2.0, 0.0, 4.0)})
    _, deviation, _ = posterior_1d._fit(z, posterior_1d._bound(z, 2), settings)
    one, five = result["fits"].set_index(["training", "k"]).loc["iw-svi", "q_deviation"]
    assert one + 0.1 < deviation < five - 0.1


def test_fits_are_maximisers_of_their_own_bound(result: dict[str, pd.DataFrame]) -> None:
    fits = result["fits"].set_index(["training", "k"])
    assert fits.loc[("iw-svi", 5), "l_iwae"] > fits.loc[("svi", 5), "l_iwae"]
    assert fits.loc[("iw-svi", 5), "l_vae"] < fits.loc[("svi", 5), "l_vae"]
    z = torch.linspace(-24, 24, 961, dtype=torch.float64)
    for (_, k), fit in fits.loc[["iw-svi"]].iterrows():
        for shift, scale in ((0.05, 1), (-0.05, 1), (0, 1.05), (0, 0.95)):
            mean, deviation = fit["q_mean"] + shift, fit["q_deviation"] * scale
            assert posterior_1d._exact(z, mean, deviation, k)[0]["l_iwae"] < fit["l_iwae"]


def test_divergences(result: dict[str, pd.DataFrame]) -> None:
    fits = result["fits"]
    # the target is normalised: KL(q || p) = -L_VAE, and KL(q_IW || p) <= -L_IWAE
    np.testing.assert_allclose(fits["kl_q_to_p"], -fits["l_vae"], atol=1e-6)
    assert (fits["kl_q_iw_to_p"] <= -fits["l_iwae"] + 1e-7).all()
    assert (fits["kl_q_iw_to_p"] <= fits["kl_q_to_p"] + 1e-7).all()


def test_histogram_follows_the_exact_density(result: dict[str, pd.DataFrame]) -> None:
    """Each bin's count within five binomial standard deviations of the exact probability."""
    histogram, density = result["histogram"], result["density"]
    for key, bars in histogram.groupby(["training", "k"]):
        curve = density[(density["training"] == key[0]) & (density["k"] == key[1])]
        centre, width = (bars["left"] + bars["right"]) / 2, bars["right"] - bars["left"]
        probability = np.interp(centre, curve["z"], curve["q_iw"]) * width
        error = np.sqrt(probability * SETTINGS.samples) + 1
        count = bars["density"] * width * SETTINGS.samples
        # 0.02 of a bin's probability for the midpoint rule
        allowance = 5 * error + 0.02 * probability * SETTINGS.samples
        assert within(count - probability * SETTINGS.samples, allowance, times=1)


def test_a_fit_that_fails_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    failed = OptimizeResult(success=False, message="ABNORMAL", fun=0.0, x=np.zeros(2))
    monkeypatch.setattr(lbfgs, "minimize", lambda *_, **__: failed)
    with pytest.raises(UserError, match=r"ABNORMAL.*`starts`"):
        posterior_1d.run(SETTINGS, Run("smoke"))


def test_the_least_divergences_of_q_are_those_in_closed_form_and_of_the_bound(
    result: dict[str, pd.DataFrame],
) -> None:
    """KL(p || q) is least at the target's moments, KL(q || p) where the ELBO is largest."""
    least = result["divergences"].set_index(["divergence", "k"])
    moments = least.loc[("KL(p || q)", 1)]
    variance = 0.3 * 4.5 + 0.3 * 1 + 0.4 * 16.5 - 1.0**2
    assert moments["q_mean"] == pytest.approx(1.0, abs=1e-3)
    assert moments["q_deviation"] == pytest.approx(variance**0.5, abs=1e-3)
    svi = result["fits"].set_index(["training", "k"]).loc[("svi", 1)]
    assert least.loc[("KL(q || p)", 1), "value"] == pytest.approx(svi["kl_q_to_p"], abs=1e-7)
    for name in posterior_1d.DIVERGENCES:  # none is below 0, the least of every divergence
        assert 0 < least.loc[(name, 5), "value"] < least.loc[(name, 1), "value"]


def test_the_divergence_of_q_iw_is_least_over_a_grid_of_gaussians(result: dict[str, pd.DataFrame]) -> None:
    z = torch.linspace(-24, 24, 961, dtype=torch.float64)
    least = result["divergences"].set_index(["divergence", "k"])
    for name, of in posterior_1d.DIVERGENCES.items():
        loss, found = posterior_1d._divergence(z, 5, of), least.loc[(name, 5)]
        for shift, factor in ((0.1, 1.0), (-0.1, 1.0), (0.0, 1.05), (0.0, 0.95)):
            q = Normal(found["q_mean"] + shift, found["q_deviation"] * factor)
            assert float(loss(q.log_prob(z))) > found["value"]
