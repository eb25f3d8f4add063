"""Two decoders with one marginal, four draws and their posteriors (mapa, Figure 1).

The noise and the draws of the document's illustration are not known. Here both decoders explain the same four
observations: (0.5 - z)^2 = 0.25 z'^2 for z' = |1 - 2 z|, and z' ~ U[0, 1] where z ~ U[0, 1].
"""

import numpy as np
from scipy.stats import norm

from elbogap.papers.mapa.settings import Intuition as Settings
from elbogap.runtime import Run, numpy_generator


def run(settings: Settings, run: Run) -> dict[str, dict[str, np.ndarray]]:
    """Draw, and evaluate all densities on grids.

    Returns:
        `intuition`: grids `z` and `x` `[G]`; per decoder (first axis, 2) the curve `mean` `[2, G]`, the joint
        density `joint` `[2, G, G]` over (x, z), `marginal` `[2, G]`, draws `z_draw` `[2, n]`, their means
        `mean_draw` `[2, n]` and posteriors `posterior` `[2, n, G]` over z; observations `x_draw` `[n]`.
    """
    generator = numpy_generator(settings.seed, "mapa intuition")
    drawn = generator.uniform(size=settings.draws)
    z_draw = np.stack([drawn, np.abs(1 - 2 * drawn)])
    mean_draw = (0.5 - drawn) ** 2
    x_draw = mean_draw + settings.noise_deviation * generator.standard_normal(settings.draws)

    # Cell midpoints, so that plain means over the z grid are integrals over [0, 1].
    z = (np.arange(settings.nodes) + 0.5) / settings.nodes
    margin = 4 * settings.noise_deviation
    x = np.linspace(-margin, 0.25 + margin, settings.nodes)
    mean = np.stack([(0.5 - z) ** 2, 0.25 * z**2])
    joint = norm.pdf(x[:, None], mean[:, None, :], settings.noise_deviation)
    likelihood = norm.pdf(x_draw[:, None], mean[:, None, :], settings.noise_deviation)
    return {
        "intuition": {
            "z": z,
            "x": x,
            "mean": mean,
            "joint": joint,
            "marginal": joint.mean(-1),
            "z_draw": z_draw,
            "mean_draw": np.stack([mean_draw, 0.25 * z_draw[1] ** 2]),
            "x_draw": x_draw,
            "posterior": likelihood / likelihood.mean(-1, keepdims=True),
        }
    }
