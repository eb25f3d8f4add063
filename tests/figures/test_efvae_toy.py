import numpy as np
import pandas as pd
from matplotlib.colors import to_rgb

from elbogap import style
from elbogap.papers.efvae import figures as efvae

POINTS = 10


def panels() -> dict[str, np.ndarray]:
    axis = np.linspace(-3.6, 3.6, POINTS)
    codes = np.zeros((POINTS, POINTS), dtype=int)
    codes[-1, 0] = 3  # x_1 large, x_2 small: the lower right corner
    means = np.array([[0.0, 0], [-2, 0], [1, 1], [1, -1]])
    names = ("ground_truth", "encoder", "posterior", "rbm")
    return {
        "axis": axis,
        "probabilities": np.full((POINTS, POINTS, 4), 0.25),
        **{name: np.where(codes == 3, number, codes) for number, name in enumerate(names)},
        "means_ground_truth": means,
        "means_joint": 2 * means,
        "means_rbm": 3 * means,
    }


def test_maps_have_the_codes_colours_with_x1_to_the_right() -> None:
    with style.applied():
        figure = efvae.fig02_toy(panels())
    titles = [panel.get_title() for panel in figure.axes]
    assert [title[:3] for title in titles] == ["(a)", "(b)", "(c)", "(d)", "(e)"]
    colours = [to_rgb(colour) for colour in efvae.CODE_COLOURS]
    mixed = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(mixed[0, 0], np.mean(colours, axis=0), atol=1e-12)
    for number, panel in enumerate(figure.axes[1:5]):
        image = panel.images[0].get_array()  # rows are x_2 from below
        np.testing.assert_allclose(image[0, -1], colours[number], atol=1e-12)
        np.testing.assert_allclose(image[-1, 0], colours[0], atol=1e-12)
        np.testing.assert_allclose(panel.get_xlim(), (-4, 4), atol=1e-12)
        assert panel.images[0].origin == "lower"


def test_maps_show_the_means_of_their_model_with_their_codes() -> None:
    with style.applied():
        figure = efvae.fig02_toy(panels())
    for panel, scale in zip(figure.axes, (1, 1, 2, 2, 3), strict=True):
        shown = np.concatenate([line.get_xydata() for line in panel.lines])
        np.testing.assert_allclose(shown, scale * panels()["means_ground_truth"], atol=1e-12)
        assert [text.get_text() for text in panel.texts] == ["00", "01", "10", "11"]


def test_the_arrows_of_equal_gradients_are_opposite() -> None:
    grid = np.linspace(0, 1, 4)
    plane = {
        "along": np.linspace(-0.5, 2.5, 4),
        "across": np.linspace(-1, 1, 4),
        "loglik": -np.add.outer(grid, grid),
        "gap": np.subtract.outer(1 - grid, -grid),
        "best": np.array([1.0, 0.0]),
        "consistent": np.array([1.5, 0.5]),
        "of_loglik": np.array([-0.03, 0.04]),
        "of_gap": np.array([-0.03, 0.04]),
    }
    with style.applied():
        axes = efvae.fig01_balance(plane).axes[0]
    arrows = [(text.xy, text.xyann) for text in axes.texts if getattr(text, "arrow_patch", None)]
    assert [tuple(start) for _, start in arrows] == [(1.0, 0.0), (1.0, 0.0)]
    np.testing.assert_allclose(
        [end for end, _ in arrows], [(0.7, 0.4), (1.3, -0.4)], atol=1e-12
    )  # half a unit long
    assert [point.get_xydata()[0].tolist() for point in axes.lines[-3:]] == [[0, 0], [1, 0], [1.5, 0.5]]


def test_theorems_show_means_over_models_and_what_networks_lose() -> None:
    bends = pd.DataFrame({"bend": [0.0, 0.0, 1.0, 1.0], "best_gap": [0.0, 0.0, 0.1, 0.3]})
    sparse = [bends.assign(family="gaussian", codes=codes) for codes in ("bits", "spins")]
    networks = pd.DataFrame({"width": [8, 8, 64, 64], "gap": [0.12, 0.14, 0.101, 0.103], "best_gap": 0.1})
    documents = pd.DataFrame(
        {"interaction": [0.0, 1.0], "counts_gap": [0.0, 0.0], "frequencies_gap": [0.0, 0.2]}
    )
    distances = pd.DataFrame({"bend": [0.0, 1.0], "epsilon": [0.0, 0.1], "distance": [0.0, 2.0]})
    with style.applied():
        figure = efvae.fig_theorems(
            pd.concat(sparse), distances, distances.tail(1), networks.assign(decoder="elbo_optimum"),
            documents.assign(prior="uniform"),
        )  # fmt: skip
    bent, near, wide, words = figure.axes
    for line in bent.lines:
        np.testing.assert_allclose(line.get_xydata(), [(0, 0), (1, 0.2)], atol=1e-12)
    np.testing.assert_allclose(
        near.lines[0].get_xydata(), [(0.1, 2.0)], atol=1e-12
    )  # affine models have no gap
    np.testing.assert_allclose(wide.lines[0].get_xydata(), [(8, 0.03), (64, 0.002)], atol=1e-12)
    assert [text.get_text() for text in wide.get_legend().get_texts()] == ["ELBO optimum (least gap 0.100)"]
    np.testing.assert_allclose(words.lines[1].get_ydata(), [0, 0.2], atol=1e-12)
