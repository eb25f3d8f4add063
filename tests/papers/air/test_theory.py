"""The measurements themselves, where closed forms or exhaustive search say what they must give."""

import math
from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import OptimizeResult
from torch import Tensor
from torch.distributions import Categorical, Normal, kl_divergence

from elbogap.errors import UserError
from elbogap.inference import lbfgs
from elbogap.papers.air.experiments import theory
from elbogap.papers.air.experiments.theory import CATEGORICAL, FAMILIES, GAUSSIAN
from elbogap.papers.air.settings import Theory
from elbogap.runtime import Run

SETTINGS = Theory(
    observations=(-1.0, 0.2, 1.5),
    sigmas=(0.4, 1.0, 3.0),
    figure_sigmas=(0.4, 3.0),
    nodes=81,
    latent_nodes=121,
    starts=2,
    models=2,
    alphas=(0.5, 1.0),
    norms=(0.1, 0.5, 30.0),
    ks=(1, 2, 4),
    importance_sigmas=(0.5,),
    importance_nodes=31,
    pixels=3,
    perturbations=3,
    seed=0,
)
SEEDS = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def result() -> dict[str, pd.DataFrame]:
    return theory.run(SETTINGS, Run("test"))


def tensor(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def log_probabilities(logits: Tensor) -> Tensor:
    return torch.cat([logits, torch.zeros_like(logits[..., :1])], -1).log_softmax(-1)


def least_shared_divergence(logits: Tensor) -> Tensor:
    """min_q (1/N) sum_i KL(q || p_i) = -log sum_z prod_i p_i(z)^(1/N), `[..., N, 2]` to `[...]`."""
    return -log_probabilities(logits).mean(-2).logsumexp(-1)


# What the measurements rest on


@settings(deadline=None)
@given(SEEDS)
def test_divergences_are_torch_s_own(seed: int) -> None:
    q, p = draw(seed, 5, 2), draw(seed + 1, 5, 2)
    gaussians = (Normal(each[:, 0], (0.5 * each[:, 1]).exp()) for each in (q, p))
    torch.testing.assert_close(GAUSSIAN.kl(q, p), kl_divergence(*gaussians))
    categoricals = (Categorical(logits=log_probabilities(each)) for each in (q, p))
    torch.testing.assert_close(CATEGORICAL.kl(q, p), kl_divergence(*categoricals))


@settings(deadline=None)
@given(SEEDS)
def test_natural_parameters_are_those_of_the_log_density(seed: int) -> None:
    """log q(z) - eta . T(z) does not depend on z, with T(z) = (z, z^2)."""
    coordinates, z = draw(seed, 5, 2), draw(seed + 1, 7, 1)
    natural = GAUSSIAN.natural(coordinates)
    log_q = Normal(coordinates[:, 0], (0.5 * coordinates[:, 1]).exp()).log_prob(z)
    rest = log_q - natural[:, 0] * z - natural[:, 1] * z**2
    torch.testing.assert_close(rest, rest[:1].expand_as(rest))
    torch.testing.assert_close(GAUSSIAN.coordinates(natural), coordinates)


@pytest.mark.parametrize("sigma", [0.3, 2.0, math.inf])
def test_every_observation_has_the_same_mass(sigma: float) -> None:
    x, mass = theory.noisy(tensor(-1, 0, 2), sigma, 61, reach=8.0)
    torch.testing.assert_close(mass.sum(0), torch.full((3,), 1 / 3, dtype=torch.float64))
    if sigma < math.inf:
        torch.testing.assert_close(3 * (x @ mass), tensor(-1, 0, 2))


def test_counts_are_all_of_them() -> None:
    counts = theory._counts(4)
    assert {tuple(row) for row in counts.tolist()} == {
        (a, b, c) for a, b, c in product(range(5), repeat=3) if a + b + c == 4
    }
    assert len(counts) == 15


# Lemma 1 and Theorem 1


def test_search_finds_kernel_regression_and_nothing_steeper_than_the_bound(
    result: dict[str, pd.DataFrame],
) -> None:
    encoder = result["encoder"]
    assert set(encoder["family"]) == {family.name for family in FAMILIES}
    assert (encoder["kl"] < 1e-9).all()
    assert (encoder["slope"] < encoder["bound"]).all()
    assert (encoder["slope"] > 0.02 * encoder["bound"]).all()
    for _, own in encoder.groupby("family"):
        assert np.ptp(np.log(own["bound"] * own["sigma"] ** 2)) < 1e-12


def test_a_search_that_ends_elsewhere_is_passed_over() -> None:
    """Where q is all but certain the objective is flat: a search that starts there stays there."""
    posteriors = CATEGORICAL.draw(0, "posteriors", 2)
    _, mass = theory.noisy(tensor(-1, 1), 1.0, 21, reach=4.0)
    near = torch.zeros(1, 21, 2, dtype=torch.float64)
    far = near.clone()
    far[0, 4] = tensor(60, 0)
    both = theory.optimised_encoder(CATEGORICAL, posteriors, mass, torch.cat([far, near]))
    alone = theory.optimised_encoder(CATEGORICAL, posteriors, mass, near)
    torch.testing.assert_close(both, alone, atol=1e-5, rtol=0)


def test_curves_and_posteriors_are_those_of_the_same_encoder(result: dict[str, pd.DataFrame]) -> None:
    curves, posteriors = result["encoder_curves"], result["posteriors"]
    assert set(curves["sigma"]) == set(SETTINGS.figure_sigmas)
    for family, own in curves.groupby("family"):
        ends = posteriors[posteriors["family"] == family]["natural_1"]
        assert own["optimised"].between(ends.min() - 1e-5, ends.max() + 1e-5).all()
        np.testing.assert_allclose(own["optimised"], own["kernel_regression"], atol=1e-4)


# Proposition 1 and equation 16


def test_regularisers_do_not_fall_with_the_noise_or_its_share(result: dict[str, pd.DataFrame]) -> None:
    strength = result["strength"]
    for along, keys in (
        ("sigma", ["encoder", "family", "model", "alpha"]),
        ("alpha", ["encoder", "family", "model", "sigma"]),
    ):
        steps = strength.sort_values(along).groupby(keys)["regulariser"].diff().dropna()
        assert len(steps)
        assert (steps > 0).all()
    both = strength[strength["alpha"] == 1].pivot_table(
        index=["family", "model", "sigma"], columns="encoder", values="regulariser"
    )
    assert (both["any"] < both["affine"]).all()


def test_with_boundless_noise_one_distribution_serves_all() -> None:
    endless = SETTINGS.model_copy(update={"sigmas": (1e4,)})
    rows = pd.concat(theory._strength_of_any(endless)).set_index(["family", "model"])["regulariser"]
    logits = CATEGORICAL.draw(SETTINGS.seed, "models", SETTINGS.models, len(SETTINGS.observations))
    np.testing.assert_allclose(rows["categorical"], least_shared_divergence(logits), rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("alpha", [0.3, 1.0])
def test_affine_encoders_of_affine_posteriors_shrink_like_ridge_regression(alpha: float) -> None:
    """p(z|x) = N(b x, v): R = b^2 X s / (2 v (X + s)) with X the mean of x^2 and s = alpha sigma^2."""
    x, b, log_v, sigma = tensor(-1.5, -0.5, 0.5, 1.5), 0.8, -0.4, 0.9
    posteriors = torch.stack([b * x, torch.full_like(x, log_v)], -1)[None]
    start = 0.5 * draw(0, 3, 1, 2, 2)
    ends = theory.affine_regularisers(GAUSSIAN, posteriors, x, sigma, alpha, start)
    spread, noise = float(x.square().mean()), alpha * sigma**2
    expected = 0.5 * b**2 / math.exp(log_v) * spread * noise / (spread + noise)
    np.testing.assert_allclose(ends.numpy(), expected, atol=1e-9)


def test_bounded_weights_and_noise_regularise_all_but_equal_posteriors(
    result: dict[str, pd.DataFrame],
) -> None:
    table = result["weight_norm"]
    equal = table[table["collapsed"]]
    assert set(equal["model"]) == {SETTINGS.models}
    assert (equal["regulariser"].abs() < 1e-9).all()
    others = table[~table["collapsed"]]
    for along, sign, keys in (
        ("H", -1, ["family", "model", "sigma"]),
        ("sigma", 1, ["family", "model", "H"]),
    ):
        steps = others.sort_values(along).groupby(keys)["regulariser"].diff().dropna()
        assert len(steps)
        assert (sign * steps > -1e-9).all()
        assert (sign * steps > 1e-4).any()
    free = (
        result["strength"].query("encoder == 'affine' and alpha == 1").set_index(["family", "model", "sigma"])
    )
    loose = others[others["H"] == 30].set_index(["family", "model", "sigma"])["regulariser"]
    both = loose.index.intersection(free.index)
    assert len(both)
    np.testing.assert_allclose(loose[both], free["regulariser"][both], atol=1e-8)


def test_a_bound_of_almost_zero_leaves_one_distribution_for_all() -> None:
    logits = CATEGORICAL.draw(SETTINGS.seed, "models", SETTINGS.models, len(SETTINGS.observations))
    tight = SETTINGS.model_copy(update={"norms": (1e-6, 1e-5)})
    table = pd.concat(theory._weight_norm(tight))
    rows = table[(table["family"] == "categorical") & ~table["collapsed"]]
    expected = least_shared_divergence(logits)[rows["model"].to_numpy()]
    np.testing.assert_allclose(rows["regulariser"], expected, rtol=1e-4, atol=1e-12)


# Proposition 2


def test_search_finds_the_weighted_means_and_noise_draws_them_to_the_data_s(
    result: dict[str, pd.DataFrame],
) -> None:
    generator = result["generator"]
    assert (generator["difference"] < 1e-5).all()
    distance = generator.groupby("sigma")["distance"].mean()
    assert (distance.diff().dropna() < 0).all()
    assert distance.iloc[-1] < 0.1 * distance.iloc[0]


# Proposition 3


def unnormalised_divergence(log_f: Tensor, log_p: Tensor, k: int) -> float:
    """E_{z_2..k ~ f} sum_{z_1} q~ log(q~ / p) with q~ = p / ((1/k) sum_j p(z_j) / f(z_j)) (eq. 22 and 23)."""
    f, p = log_f.exp(), log_p.exp()
    total = 0.0
    for others in product(range(3), repeat=k - 1):
        chance = math.prod(float(f[z]) for z in others)
        for first in range(3):
            q = p[first] / (sum(p[z] / f[z] for z in (first, *others)) / k)
            total += chance * float(q * (q / p[first]).log())
    return total


@pytest.mark.parametrize("k", [1, 2, 3])
def test_regulariser_of_k_draws_is_the_least_of_its_definition(k: int) -> None:
    """Over a grid of shared f, by enumeration of all draws in order."""
    logits = 1.2 * draw(3, 1, 2, 2)
    log_p = log_probabilities(logits[0])
    mass = torch.full((1, 2), 0.5, dtype=torch.float64)
    found = float(theory.importance_regulariser(logits, mass, k, draw(4, 3, 1, 1, 2))[0])
    steps = np.linspace(0.02, 0.96, 48)
    grid = [tensor(a, b, 1 - a - b).log() for a, b in product(steps, steps) if a + b < 0.99]
    brute = min(np.mean([unnormalised_divergence(log_f, one, k) for one in log_p]) for log_f in grid)
    assert found <= brute + 1e-12
    assert found == pytest.approx(brute, abs=2e-3)


def test_one_draw_under_boundless_noise_has_a_closed_form(result: dict[str, pd.DataFrame]) -> None:
    attenuation = result["attenuation"].set_index(["sigma", "k", "model"])["regulariser"]
    logits = CATEGORICAL.draw(SETTINGS.seed, "models", SETTINGS.models, len(SETTINGS.observations))
    np.testing.assert_allclose(
        attenuation[math.inf, 1], least_shared_divergence(logits), rtol=1e-9, atol=1e-12
    )
    for (sigma, model), values in attenuation.groupby(["sigma", "model"]):
        assert (values.sort_index(level="k").diff().dropna() < 0).all(), (sigma, model)


# Appendix B


def test_denoising_loses_the_mutual_information(result: dict[str, pd.DataFrame]) -> None:
    bounds = result["bounds"]
    np.testing.assert_allclose(bounds["difference"], bounds["mutual_information"], atol=1e-8)
    assert bounds["difference"].between(0, bounds["perturbation_entropy"]).all()
    assert (bounds["l_cvae"] < bounds["log_evidence"]).all()
    # q(z|x~) is the posterior moved by 0.8 sigma t, E t^2 = 1, so that its mean divergence is known
    lost = theory.SLOPE**2 * bounds["sigma"] ** 2 / (2 * theory.VARIANCE)
    np.testing.assert_allclose(bounds["log_evidence"] - bounds["l_dvae"], lost, atol=1e-6)


# Mistakes


def test_a_grid_that_is_too_coarse_is_refused() -> None:
    with pytest.raises(UserError, match="20 grid points are too few for the narrowest Gaussian; take 30"):
        theory.run(SETTINGS.model_copy(update={"nodes": 20}), Run("test"))


def test_a_search_that_fails_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def failed(_: object, start: np.ndarray, **__: object) -> OptimizeResult:
        return OptimizeResult(message="ABNORMAL", x=start, jac=np.array([np.nan]))

    monkeypatch.setattr(lbfgs, "minimize", failed)
    with pytest.raises(UserError, match=r"ABNORMAL.*`seed`"):
        theory.run(SETTINGS, Run("test"))
