"""What lies on the document's roadmap: dimensions, many points and images."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.text import Text

from elbogap import style
from elbogap.densities import standard_gaussian_log_density
from elbogap.papers.mapa import figures
from elbogap.papers.mapa.experiments import dimensions, images, scaling
from elbogap.runtime import Run, limit_torch_threads
from elbogap.scales import Scales
from toy_data import stand_in_record

SMOKE = Scales(Path(__file__).parents[3] / "config")["smoke"].mapa


@pytest.fixture(scope="module")
def tables(surrogates: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict:
    limit_torch_threads(1)
    record = stand_in_record(
        tmp_path_factory.mktemp("records"), "binarized_mnist", train=300, valid=20, test=40
    )
    run = Run("smoke", inputs={"surrogate": surrogates["circle"], "data": record})
    found = dimensions.run(SMOKE.dimensions, run) | scaling.run(SMOKE.scaling, run)
    return found | images.run(SMOKE.images, run)


def test_the_document_s_kernel_fails_in_many_dimensions_and_a_chosen_one_does_not(tables: dict) -> None:
    table = tables["dimensions"]
    for _, rows in table.groupby(["dimensions", "draw"]):
        assert rows[["chosen", "chosen_by_likelihood", "best"]].sum().tolist() == [1, 1, 1]
        assert rows.loc[rows["best"], "kl_own"].item() == rows["kl_own"].min()
        assert rows["kl_uniform"].nunique() == 1
    chosen = table[table["chosen"]].groupby("dimensions").mean(numeric_only=True)
    plain = table[table["scale"] == 1].groupby("dimensions").mean(numeric_only=True)
    assert plain.loc[10, "kl"] > 2 * plain.loc[2, "kl"]
    assert chosen.loc[10, "kl_own"] < 0.5 * plain.loc[10, "kl"]
    assert (chosen["kl_floor"] <= chosen["kl_uniform"] + np.log(1 / SMOKE.dimensions.floor)).all()


def test_dropping_terms_loses_more_than_sampling_them_and_less_the_more_are_kept(tables: dict) -> None:
    table = tables["truncation"]
    means = table.groupby("neighbours")[["dropped", "sampled"]].mean()
    assert (table["dropped"] > 0).all()
    assert means["dropped"].is_monotonic_decreasing
    assert (means["sampled"] < means["dropped"]).all()


def test_memory_of_neighbours_is_linear_and_that_of_all_pairs_square(tables: dict) -> None:
    table = tables["scaling"].set_index(["kind", "points"])["proposal_mib"]
    few, many = SMOKE.scaling.sizes
    np.testing.assert_allclose(table["neighbours", many] / table["neighbours", few], many / few, atol=1e-6)
    assert table["exact", few] > 4 * table["neighbours", few]
    assert ("exact", many) not in table.index


def test_near_batches_have_fewer_passes_and_equal_budgets(tables: dict) -> None:
    means = tables["batches"].groupby("leaf_size").mean(numeric_only=True)
    alone, near = SMOKE.scaling.leaf_sizes
    assert means.loc[near, "passes_per_point"] < means.loc[alone, "passes_per_point"]
    assert means.loc[near, "epochs"] > means.loc[alone, "epochs"]
    np.testing.assert_allclose(means["decoder_passes"], SMOKE.scaling.most_passes, rtol=0, atol=3)


def test_methods_have_equal_passes_and_all_scores(tables: dict) -> None:
    table = tables["table"]
    assert sorted(table["method"].unique()) == sorted(images.METHODS)
    np.testing.assert_allclose(table["decoder_passes"], SMOKE.images.decoder_passes, rtol=0, atol=2)
    assert (table["test_quadrature"].notna() == (table["latent"] == 2)).all()
    assert np.isfinite(table["test_loglik"]).all()
    plane = table[table["latent"] == 2]
    assert (plane["test_loglik"] < plane["test_quadrature"] + 2).all()
    shape = (len(SMOKE.images.latents), len(images.METHODS), SMOKE.images.shown, 28, 28)
    assert tables["samples"]["images"].shape == shape


def test_quadrature_is_exact_for_a_decoder_that_ignores_its_code() -> None:
    class Constant(torch.nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return torch.zeros(*z.shape[:-1], 9)

    half = torch.full((2,), 6.0)
    model = images._Model(Constant(), standard_gaussian_log_density, None, None, (-half, half), 0.0)  # type: ignore[arg-type]
    test = torch.bernoulli(torch.full((7, 9), 0.5), generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(model._quadrature(80, test), -9 * np.log(2), atol=1e-4, rtol=0)


def test_figures_show_the_tables(tables: dict) -> None:
    with style.applied():
        many = figures.fig_dimensions(tables["dimensions"])
        scaled = figures.fig_scaling(tables["scaling"], tables["truncation"], tables["batches"])
        drawn = figures.fig_images(tables["samples"], tables["table"])
    assert len(many.axes) == 2
    assert [label.get_text() for label in many.legends[0].get_texts()] == list(figures.PROPOSALS)
    assert [panel.get_title()[:3] for panel in scaled.axes] == ["(a)", "(b)", "(c)", "(d)", "(e)", "(f)"]
    value = tables["table"].query("latent == 2 and method == 'vae'")["test_loglik"].mean()
    assert any(f"VAE, 2 dimensions:\n{value:.1f} nats" in panel.get_title() for panel in drawn.axes)
    assert any("stand-in" in text.get_text().lower() for text in drawn.findobj(Text))
    plt.close("all")
