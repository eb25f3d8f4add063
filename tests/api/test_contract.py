"""What every method of the registry promises."""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.distributions import Gamma, Normal, constraints

from elbogap.api import METHODS, Fit, Method, compare, fit, whitening

SHAPES = {"scale": (), "effect": (2,)}
SUPPORT = {"scale": constraints.positive}

pytestmark = pytest.mark.filterwarnings("ignore::elbogap.api.FitWarning")
every_method = pytest.mark.parametrize("method", METHODS)


def log_density(p: dict[str, Tensor]) -> Tensor:
    """A scale, and two effects that are exponential in it, with normal noise."""
    noise = Normal(p["scale"].log()[..., None], 0.5).log_prob(p["effect"]).sum(-1)
    return Gamma(3.0, 1.0).log_prob(p["scale"]) + noise


@pytest.fixture(autouse=True)
def _short_whitening(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whitening, "STEPS", 10)


def tiny(method: str | Method, seed: int = 0) -> Fit:
    return fit(log_density, SHAPES, method, seed=seed, steps=8, support=SUPPORT, progress=False)


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in SHAPES)


@every_method
def test_a_fit_draws_evaluates_improves_and_comes_back_from_a_file(method: str, tmp_path: Path) -> None:
    found = tiny(method)
    draws = found.sample(30, seed=3)
    for values in (draws, found.resample(30, k=3), found.refine(1, 30)):
        assert {name: value.shape for name, value in values.items()} == {"scale": (30,), "effect": (30, 2)}
        assert (values["scale"] > 0).all()
        assert values["effect"].isfinite().all()
    assert same(draws, found.sample(30, seed=3))
    assert not same(draws, found.sample(30, seed=4))
    assert found.log_prob(draws).shape == (30,)
    assert found.log_prob(draws).isfinite().all()
    assert found.elbo.standard_error > 0
    assert list(found.summary(100).index) == ["scale", "effect[0]", "effect[1]"]
    assert found.to_arviz(50).posterior["effect"].shape == (1, 50, 2)
    told = found.diagnostics
    assert told.elbo_trace.shape == (8,)
    assert 0 < told.relative_ess <= 1
    assert (told.acceptance is not None) == (method in {"uivi", "vcd", "alpha_vcd", "hoffman"})
    found.save(tmp_path / "fit.pt")
    again = Fit.load(tmp_path / "fit.pt", log_density)
    assert same(again.sample(30, seed=3), draws)
    assert torch.equal(again.log_prob(draws), found.log_prob(draws))
    assert again.summary(100).equals(found.summary(100))


@every_method
def test_a_seed_gives_the_same_fit_bit_for_bit(method: str) -> None:
    first, second, other = (tiny(method, seed).sample(5) for seed in (1, 1, 2))
    assert same(first, second)
    assert not same(first, other)


def test_the_global_generator_is_left_alone() -> None:
    state = torch.get_rng_state()
    tiny("flow")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_method_of_ones_own_is_one_object() -> None:
    own = Method(METHODS["full_rank"].approximation, METHODS["mean_field"].objectives, batch=(16,))
    assert tiny(own).method == "own"


def test_the_table_has_a_row_for_each_method() -> None:
    reference = tiny("full_rank", seed=5).sample(200)
    table = compare(
        log_density,
        SHAPES,
        ["mean_field", "vcd"],
        reference=reference,
        steps=8,
        support=SUPPORT,
        progress=False,
    )
    assert list(table["method"]) == ["mean_field", "vcd"]
    assert table[["elbo", "relative_ess", "bias_mean", "bias_sd", "seconds"]].notna().all(axis=None)
    evaluations = dict(zip(table["method"], table["gradient_evaluations"], strict=True))
    kernel = METHODS["vcd"].objectives(None)[0].kernel
    chains = 8 * 64 * kernel.num_iterations * kernel.leapfrog_steps
    assert evaluations["vcd"] - evaluations["mean_field"] >= chains
