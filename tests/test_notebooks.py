"""The notebooks run, and what they show is what theory says."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import site_parts
import torch

from allowance import within

DOCS = Path(__file__).parents[1] / "docs"
NOTEBOOKS = sorted(path.stem for path in DOCS.glob("notebooks/*.ipynb"))


@pytest.fixture(scope="module")
def run() -> dict[str, tuple[dict[str, Any], Any]]:
    """The names and the last thing shown of each notebook."""
    sys.path.insert(0, str(DOCS / "notebooks"))
    found = {}
    for name in NOTEBOOKS:
        names: dict[str, Any] = {}
        shown = [value for *_, value in site_parts.run_notebook(DOCS / "notebooks" / f"{name}.ipynb", names)]
        found[name] = (names, next(value for value in reversed(shown) if value is not None))
    sys.path.remove(str(DOCS / "notebooks"))
    return found


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_shows_a_picture_for_each_value(
    run: dict[str, tuple[dict[str, Any], Any]], name: str
) -> None:
    frames = run[name][1]
    page = frames._repr_html_()
    assert page.count("<svg") == len(frames.values) == len(set(frames.pictures)) >= 5
    assert f'max="{len(frames.values) - 1}"' in page
    assert not re.search(r"(src|href)=.https?:", page)
    assert f"<!-- site: notebook {name} -->" in (DOCS / "notebooks" / f"{name}.md").read_text(
        encoding="utf-8"
    )


def test_bounds_are_on_their_sides(run: dict[str, tuple[dict[str, Any], Any]]) -> None:
    names = run["iwae_k"][0]
    bounds = [float(names["iwae"](names["transform"], k)) for k in names["ks"]]
    assert bounds == sorted(bounds)
    assert bounds[-1] < 1e-9
    names = run["sivi_l"][0]
    means = [float(values.mean()) for values in names["bounds"]]
    errors = [float(values.std()) / len(values) ** 0.5 for values in names["bounds"]]
    assert all(mean < names["elbo"] + 4 * error + 1e-3 for mean, error in zip(means, errors, strict=True))
    assert means[0] < means[2] < means[4] < names["elbo"] < 0
    names = run["mapa_s"][0]
    for gaps in names["found"].values():
        means = [float(values.mean()) for values in gaps]
        assert means[0] > means[-1] > -1e-3
    assert (names["dropped"] > -1e-4).all()


def test_the_contrastive_divergence_tends_to_the_symmetrised_one(
    run: dict[str, tuple[dict[str, Any], Any]],
) -> None:
    names = run["vcd_t"][0]
    divergence = names["divergence"]
    assert abs(divergence[0]) < 1e-6
    assert divergence[1] > 0.1
    both = names["exact_kl"] + float(torch.distributions.kl_divergence(names["target"], names["q"]))
    assert within(divergence[-1] - both, 0.025 * both)
