"""The measurements where closed forms or explicit constructions say what they must give."""

import math

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from elbogap.inference.exponential_family import best_factorised, binary_codes, enumerated, log_encoder
from elbogap.papers.efvae.experiments import theory
from elbogap.papers.efvae.settings import EncoderSizes, Theory
from elbogap.runtime import Run, limit_torch_threads

SETTINGS = Theory(
    models=2,
    bends=(0.0, 0.3, 1.0),
    starts=3,
    spacing=1.0,
    sharpness=(0.5, 2.0, 5.0),
    encoders=EncoderSizes(
        widths=(8, 32), train_spacing=1.0, spacing=0.8, steps=60, learning_rate=0.01, final_share=0.1, seeds=2
    ),
    checkpoint_seconds=1e9,
    seed=0,
)
SEEDS = st.integers(0, 2**31)


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pd.DataFrame]:
    limit_torch_threads(1)
    return theory.run(SETTINGS, Run("test", scratch=tmp_path_factory.mktemp("scratch")))


def draw(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_affine_models_are_tight_and_bent_ones_are_not(result: dict[str, pd.DataFrame]) -> None:
    table = result["consistent"]
    assert len(table) == 4 * 2 * 2 * 3
    affine = table[table["bend"] == 0]
    np.testing.assert_allclose(affine[["affine_gap", "best_gap"]], 0, atol=1e-12)
    bent = table[table["bend"] > 0]
    assert (bent["best_gap"] > 1e-4).all()
    assert (bent["affine_gap"] >= bent["best_gap"]).all()


def test_no_encoder_falls_below_the_best_one(result: dict[str, pd.DataFrame]) -> None:
    table = result["encoder"]
    assert len(table) == 2 * 2 * 2
    assert (table["gap"] > table["best_gap"]).all()
    best = table.groupby("decoder")["best_gap"].first()
    assert best["ground_truth"] == pytest.approx(0.088, abs=0.003)
    assert best["elbo_optimum"] == pytest.approx(0.0176, abs=0.002)


def test_the_linear_vae_is_probabilistic_pca(result: dict[str, pd.DataFrame]) -> None:
    row = result["affine"].set_index("model").loc["linear Gaussian VAE"]
    kept, left = theory.VARIANCES[: theory.LATENT], theory.VARIANCES[theory.LATENT :]
    closed = sum(map(math.log, kept)) + len(left) * math.log(np.mean(left))
    closed = -0.5 * (closed + len(theory.VARIANCES) * (1 + math.log(2 * math.pi)))
    assert row["best_loglik"] == pytest.approx(closed)
    assert row["elbo"] == pytest.approx(closed, abs=1e-7)
    assert row["loglik"] == pytest.approx(closed, abs=1e-7)


def test_corollary_2_needs_the_harmonium_s_prior(result: dict[str, pd.DataFrame]) -> None:
    table = result["affine"].set_index(["prior", "encoder"])
    harmonium = table.loc[("harmonium", "any factorised")]
    assert harmonium["gap"] == pytest.approx(0, abs=1e-8)
    assert harmonium["approximation_error"] == pytest.approx(0, abs=1e-7)
    uniform = table.loc[("uniform", "any factorised")]
    assert uniform["gap"] > 0.01
    assert uniform["approximation_error"] > 0.002
    assert uniform["elbo_at_best"] < uniform["elbo"] - 0.001


def test_the_uniform_prior_s_best_likelihood_is_the_data_s_entropy(result: dict[str, pd.DataFrame]) -> None:
    codes = binary_codes(2, low=-1.0) @ torch.tensor(theory.SHEARED, dtype=torch.float64)
    axis = torch.arange(-9, 9, 0.2, dtype=torch.float64)
    x = torch.cartesian_prod(axis, axis)
    log_p = (-0.5 * torch.cdist(x, codes).square()).logsumexp(-1) - math.log(8 * math.pi)
    entropy = -(log_p.exp() * log_p).sum() * 0.04
    found = result["affine"].set_index(["prior", "encoder"]).loc[("uniform", "any factorised"), "best_loglik"]
    assert found == pytest.approx(-float(entropy), abs=1e-3)  # a coarse lattice


def test_the_flow_has_its_closed_form(result: dict[str, pd.DataFrame]) -> None:
    table = result["flow"]
    s = table["sharpness"].to_numpy()
    np.testing.assert_allclose(table["gap"], 2 * s * np.tanh(s) / (1 + np.exp(2 * s)), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(table["distance"], 4 * s**2, atol=1e-12)


@given(SEEDS, st.sampled_from([0.3, 1.0, 3.0]))
@settings(deadline=None, max_examples=40)
def test_the_nearest_harmonium_is_no_farther_than_q_from_the_posterior(seed: int, scale: float) -> None:
    x, codes = binary_codes(3), binary_codes(2)
    natural = scale * draw(seed, 4, 3)
    log_joint = (x @ natural.mT + scale * draw(seed + 1, 4)).flatten().log_softmax(0).view(8, 4)
    log_q = log_encoder(scale * draw(seed + 2, 8, 2), codes)
    found = theory._nearness(log_joint, log_q, x, codes, draw(seed + 3, 8).softmax(0))
    assert found["distance"] <= found["mismatch"] + 1e-9 * (1 + found["mismatch"])


@given(SEEDS)
@settings(deadline=None, max_examples=20)
def test_the_proof_s_harmonium_is_no_nearer_than_the_nearest(seed: int) -> None:
    """Of the centred conditionals, project their difference for each z, as a function of x, onto (x, 1)."""
    x, codes = binary_codes(3), binary_codes(2)
    log_joint = (x @ draw(seed, 3, 4) + draw(seed + 1, 4)).flatten().log_softmax(0).view(8, 4)
    g, mass = draw(seed + 2, 8, 2), draw(seed + 3, 8).softmax(0)
    log_q = log_encoder(g, codes)
    posterior = enumerated(log_joint, log_q).log_posterior
    root = mass.sqrt()[:, None]
    design = torch.cat([x, torch.ones(8, 1, dtype=torch.float64)], 1)
    projected = design @ torch.linalg.lstsq(root * design, root * g).solution
    by_encoder = projected @ (codes - codes.mean(0)).mT
    centred = posterior - posterior.mean(1, keepdim=True)
    constructed = float(mass @ (centred - by_encoder).square().sum(-1))
    found = theory._nearness(log_joint, log_q, x, codes, mass)
    assert found["distance"] <= constructed + 1e-9
    assert constructed <= found["mismatch"] + 1e-9


def test_distances_vanish_for_harmoniums_alone(result: dict[str, pd.DataFrame]) -> None:
    table = result["bound"]
    assert (table["distance"] <= table["mismatch"] + 1e-9).all()
    np.testing.assert_allclose(table.loc[table["bend"] == 0, ["distance", "epsilon"]], 0, atol=1e-9)
    assert (table.loc[table["bend"] > 0, "distance"] > 1e-4).all()


def test_no_grid_of_factorised_posteriors_has_a_smaller_gap_than_the_search(
    result: dict[str, pd.DataFrame],
) -> None:
    """The gaps that are called least, of some bent models, against 41^3 factorised q."""
    bits = binary_codes(3)
    axis = torch.linspace(-10, 10, 41, dtype=torch.float64)
    log_q = log_encoder(torch.cartesian_prod(axis, axis, axis), bits)
    entropy = -(log_q.exp() * log_q).sum(-1)
    for seed in range(10):
        log_joint = 1.5 * draw(seed, 4, 8)
        found = enumerated(log_joint, best_factorised(log_joint, bits)).elbo
        assert (found >= (log_joint @ log_q.exp().mT + entropy).amax(-1) - 1e-9).all()


def test_counts_are_tight_with_the_harmonium_s_prior_and_frequencies_in_collapse_only(
    result: dict[str, pd.DataFrame],
) -> None:
    table = result["documents"]
    assert len(table) == 2 * 2 * 4
    gaps = table[["counts_gap", "frequencies_gap"]]
    np.testing.assert_allclose(gaps[table["interaction"] == 0], 0, atol=1e-9)
    np.testing.assert_allclose(table.loc[table["prior"] == "harmonium", "counts_gap"], 0, atol=1e-9)
    coupled = table[table["interaction"] > 0]
    assert (coupled["frequencies_gap"] > 1e-3).all()
    assert (coupled.loc[coupled["prior"] == "uniform", "counts_gap"] > 1e-6).all()
    assert (coupled["frequencies_gap"] > coupled["counts_gap"]).all()
