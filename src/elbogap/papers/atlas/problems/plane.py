"""Targets on the plane: those of UIVI's toys (document implicit) and the eight Gaussians (document qiw)."""

from collections.abc import Callable, Mapping
from functools import cache, partial

import torch
from torch import Tensor

from elbogap.inference.families.base import LogJoint
from elbogap.papers.atlas.problems.base import Axis, Problem, Sample, integrated
from elbogap.papers.implicit.targets import UIVI_TARGETS, largest_elbo, log_density
from elbogap.papers.qiw.experiments import posterior_2d

TITLES = {"banana": "banana", "x_shaped": "x-shaped", "multimodal": "multimodal"}
AXES = {
    "banana": (Axis(-5.5, 5.5, 221), Axis(-34.0, 5.0, 157)),
    "x_shaped": (Axis(-9.0, 9.0, 121), Axis(-9.0, 9.0, 121)),
    "multimodal": (Axis(-8.0, 8.0, 107), Axis(-6.0, 6.0, 81)),
}
EIGHT_AXES = (Axis(-11.0, 11.0, 121), Axis(-11.0, 11.0, 121))


def toy(name: str) -> Problem:
    """A mixture of Gaussians, perhaps behind a bend, of the document implicit."""
    target = UIVI_TARGETS[name]
    weights = torch.tensor([part.weight for part in target.components], dtype=torch.float64)
    means = torch.tensor([part.mean for part in target.components], dtype=torch.float64)
    scales = torch.stack([part.scale_tril() for part in target.components])

    def sample(count: int, generator: torch.Generator) -> Tensor:
        chosen = weights.multinomial(count, replacement=True, generator=generator)
        noise = torch.randn(count, 2, 1, generator=generator, dtype=torch.float64)
        x = means[chosen] + (scales[chosen] @ noise).squeeze(-1)
        return torch.stack([x[:, 0], x[:, 1] - target.bend * (x[:, 0].square() + 1)], 1)

    def of_points(z: Tensor) -> Tensor:
        return log_density([target], z.device.type, z.dtype)(z.reshape(1, -1, 2)).view(z.shape[:-1])

    return _integrated(TITLES[name], of_points, sample, AXES[name], means)


def eight_gaussians() -> Problem:
    """Eight Gaussians of unit mass, whose evidence is 8."""
    parts = posterior_2d.COMPONENTS

    def sample(count: int, generator: torch.Generator) -> Tensor:
        chosen = torch.randint(len(parts.mean), (count,), generator=generator)
        noise = torch.randn(count, 2, generator=generator, dtype=torch.float64)
        return parts.mean[chosen] + (0.5 * parts.log_variance[chosen]).exp() * noise

    def of_points(z: Tensor) -> Tensor:
        return posterior_2d.log_joint(z.double()).to(z)

    return _integrated("eight Gaussians", of_points, sample, EIGHT_AXES, parts.mean)


def _integrated(
    title: str, of_points: LogJoint, sample: Sample, axes: tuple[Axis, Axis], modes: Tensor
) -> Problem:
    """With moments by quadrature, and the best Gaussians, sought from the modes and their middle."""
    starts = {(0.0, 0.0), *map(tuple, modes.tolist())}

    @cache
    def best_gaussian(correlated: bool) -> float:
        return largest_elbo(of_points, starts, correlated=correlated)

    return integrated(
        of_points,
        axes,
        sample=sample,
        title=title,
        kind="plane",
        known="draws in closed form; log Z, moments and the best Gaussians by quadrature",
        best_gaussian=best_gaussian,
    )


PROBLEMS: Mapping[str, Callable[[], Problem]] = {
    **{name: partial(toy, name) for name in UIVI_TARGETS},
    "eight_gaussians": eight_gaussians,
}
