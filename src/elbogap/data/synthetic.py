"""The synthetic problems of document mapa, appendix C.1: x = f(z) + noise, z ~ N(0, 1), x in the plane.

Each is one function, the decoder f, from z of shape `[...]` to means `[..., 2]`.

Deviation: eq. 33 prints the Absolute-Value decoder as (|Phi(z)|, |Phi(z)|), where the bars do nothing, so
that f is one to one and a VAE has no second decoder to find, which appendix D.4 presumes. Beside it stands
`absolute_value_folded` with |Phi(z) - 1/2|, which folds the latent line as the example of Figure 1 does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr, ndtri

from elbogap.errors import named


def absolute_value(z: np.ndarray) -> np.ndarray:
    """(|Phi(z)|, |Phi(z)|), eq. 33 as printed."""
    return np.stack([np.abs(ndtr(z))] * 2, axis=-1)


def absolute_value_folded(z: np.ndarray) -> np.ndarray:
    """(|Phi(z) - 1/2|, |Phi(z) - 1/2|), the folded reading of eq. 33."""
    return np.stack([np.abs(ndtr(z) - 0.5)] * 2, axis=-1)


def circle(z: np.ndarray) -> np.ndarray:
    """(cos 2 pi Phi(z), sin 2 pi Phi(z)), eq. 32."""
    angle = 2 * np.pi * ndtr(z)
    return np.stack([np.cos(angle), np.sin(angle)], axis=-1)


def clusters(z: np.ndarray) -> np.ndarray:
    """(cos t, sin t), t = 2 tanh(10 u - 20 floor(u/2) - 10) + 4 floor(u/2) + 2, eq. 34.

    u = 2 pi / (1 + e^(-pi z/2)); t is a staircase with plateaus 0, 4, 8, 12: four points of the unit circle.
    """
    t = 2 * _staircase(2 * np.pi * expit(0.5 * np.pi * z))
    return np.stack([np.cos(t), np.sin(t)], axis=-1)


def figure_8(z: np.ndarray) -> np.ndarray:
    """(sqrt(2)/2 cos u, sqrt(2) cos u sin u) / (sin^2 u + 1), u = (0.6 + 1.8 Phi(z)) pi, eq. 31."""
    u = (0.6 + 1.8 * ndtr(z)) * np.pi
    first = np.sqrt(0.5) * np.cos(u)
    return np.stack([first, 2 * first * np.sin(u)], axis=-1) / (np.sin(u) ** 2 + 1)[..., None]


def spiral_dots(z: np.ndarray) -> np.ndarray:
    """(t cos t, t sin t), t = tanh(10 u - 20 floor(u/2) - 10) + 2 floor(u/2) + 1, eq. 35.

    u = 4 pi / (1 + e^(-pi z/2)); t is a staircase with plateaus 0, 2, ..., 12: seven points of a spiral.
    """
    t = _staircase(4 * np.pi * expit(0.5 * np.pi * z))
    return np.stack([t * np.cos(t), t * np.sin(t)], axis=-1)


def _staircase(u: np.ndarray) -> np.ndarray:
    """tanh(10 u - 20 floor(u/2) - 10) + 2 floor(u/2) + 1: one smooth step per interval of length 2."""
    height = np.floor(u / 2)
    return np.tanh(10 * u - 20 * height - 10) + 2 * height + 1


@dataclass(frozen=True)
class Problem:
    """Title for figures, decoder f, and sigma^2 of the isotropic Gaussian noise, in squared units of x."""

    title: str
    decoder: Callable[[np.ndarray], np.ndarray]
    noise_variance: float


PROBLEMS = {
    "absolute_value": Problem("Absolute-Value", absolute_value, 0.01),
    "absolute_value_folded": Problem("Absolute-Value (folded)", absolute_value_folded, 0.01),
    "circle": Problem("Circle", circle, 0.01),
    "clusters": Problem("Clusters", clusters, 0.2),
    "figure_8": Problem("Figure-8", figure_8, 0.02),
    "spiral_dots": Problem("Spiral-Dots", spiral_dots, 0.01),
}
"""All problems by name: those of the document and the folded one."""

PRINTED = tuple(name for name in PROBLEMS if name != "absolute_value_folded")
"""Names of the document's problems, in the order of its figures."""


def problem(name: str) -> Problem:
    """The problem of that name; UserError if there is none."""
    return named(PROBLEMS, name, "no synthetic problem")


def prior_quantiles(count: int) -> np.ndarray:
    """Phi^-1((i - 1/2) / count), i = 1 ... count: nodes whose plain average is a mean under N(0, 1)."""
    return ndtri((np.arange(count) + 0.5) / count)
