from pathlib import Path

import numpy as np
import pytest

from allowance import within
from elbogap.papers.mapa.experiments import bound_identities
from elbogap.papers.mapa.settings import BoundIdentities
from elbogap.runtime import Run

SETTINGS = BoundIdentities(points=30, terms=(1, 5, 40), samples=(0, 1, 8), repetitions=300, seed=0)


def test_each_bound_is_where_theory_puts_it(surrogates: dict[str, Path]) -> None:
    table = bound_identities.run(SETTINGS, Run("test", inputs=surrogates))["identities"]
    assert table[["problem", "k", "sampled"]].to_numpy().tolist() == [
        [problem, k, samples] for problem in surrogates for k in (1, 5, 30) for samples in (0, 1, 8)
    ]  # more terms than points are left out
    everything = table[table["all_terms"]]
    np.testing.assert_allclose(everything["minus_exact"], 0, atol=1e-12)
    alone = table[(table["k"] == 1) & (table["sampled"] == 0)]
    np.testing.assert_allclose(alone["minus_autoencoder"], 0, atol=1e-12)
    rest = table[~table["all_terms"] & (table["sampled"] > 0)]
    assert (rest["bound_se"] > 0).all()
    assert (rest["bound"] < rest["exact"]).all()
    assert (rest["bound"] > rest["autoencoder"]).all()
    assert (rest["minus_autoencoder"] > 0.1).all()


def test_standard_errors_shrink_with_repetitions(surrogates: dict[str, Path]) -> None:
    run = Run("test", inputs={"circle": surrogates["circle"]})
    few, many = (
        bound_identities.run(SETTINGS.model_copy(update={"repetitions": count}), run)["identities"]
        for count in (100, 900)
    )
    sampled = few["bound_se"] > 0
    assert (few["bound_se"] / many["bound_se"])[sampled].mean() == pytest.approx(3, rel=0.3)
    assert within(few["bound"] - many["bound"], few["bound_se"], times=5)
