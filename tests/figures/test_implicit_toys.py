import numpy as np
import pandas as pd

from elbogap import style
from elbogap.papers.implicit import figures as implicit


def test_rows_are_methods_and_columns_targets_each_with_its_own_draws_and_axes() -> None:
    draws, rows, shift = {}, [], 0.0
    for target in ("banana", "x_shaped", "multimodal"):
        horizontal, vertical = np.linspace(-3, 3, 21), np.linspace(-5, 2, 29)
        x, y = np.meshgrid(horizontal, vertical, indexing="ij")
        draws |= {f"horizontal_{target}": horizontal, f"vertical_{target}": vertical}
        draws[f"density_{target}"] = np.exp(-0.5 * ((x - 1) ** 2 + (y + 3) ** 2))  # off the diagonal
        for method in ("explicit", "sivi", "uivi"):
            draws[f"{method}_{target}"] = np.full((5, 2), shift)
            rows += [
                {"target": target, "method": method, "seed": seed, "kl": shift + 9 * seed} for seed in (-1, 1)
            ]
            shift += 0.1
    with style.applied():
        figure = implicit.fig02_uivi_toys(draws, pd.DataFrame(rows))
    titles = [panel.get_title() for panel in figure.axes]
    assert [title.split("\n")[0] for title in titles[:4]] == [
        "banana, UIVI",
        "x-shaped, UIVI",
        "multimodal, UIVI",
        "banana, SIVI",
    ]
    expected = [0.2, 0.5, 0.8, 0.1, 0.4, 0.7, 0.0, 0.3, 0.6]
    for panel, value in zip(figure.axes, expected, strict=True):
        np.testing.assert_allclose(panel.lines[0].get_xydata(), value, atol=1e-12)
        assert f"= {value:.2f} \\pm 12.73$ nats" in panel.get_title()
        assert panel.get_xlim() == (-3, 3)
        assert panel.get_ylim() == (-5, 2)
        levels = panel.collections[0].get_paths()
        np.testing.assert_allclose(levels[-2].vertices.mean(0), [1, -3], atol=0.3)
