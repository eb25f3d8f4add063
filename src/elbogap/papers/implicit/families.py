"""The document's approximate posteriors as networks make them; scales are trained as in its sources' code."""

from collections.abc import Mapping

from torch import Tensor
from torch.nn import functional

from elbogap.inference.families.affine_mean import AffineMean
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.names import Method

FLOOR = 1e-5
"""Least scale of a semi-implicit q given its noise."""
EXPLICIT_FLOOR = 1e-4
"""Least scale of a Gaussian q(z|x)."""


def floored_log(scale: Tensor) -> Tensor:
    """log sigma; below the floor, where the value is the floor's, the gradient still leads back."""
    fixed = scale.detach()
    return (fixed.clamp(min=FLOOR) + (scale - fixed)).log()


def semi_implicit(networks: Mapping[str, MLP]) -> SemiImplicit:
    """q(z) with the network `mean` of the noise e; `scale` is sigma itself, above the floor."""
    mean = networks["mean"]
    return SemiImplicit(mean.layers(), floored_log(networks["scale"].biases[0]), mean.sizes[0])


def affine_mean(networks: Mapping[str, MLP]) -> AffineMean:
    """The same family in its cheaper form; `scale` is log sigma."""
    mean = networks["mean"]
    return AffineMean(mean.layers(), networks["scale"].biases[0], mean.sizes[0])


def mixture(networks: Mapping[str, MLP]) -> GaussianMixture:
    """q(z) on the plane of constant networks: `logit` `[M, C]`, `mean` and `scale` `[M, 2 C]`."""
    nothing = next(iter(networks["mean"].parameters())).new_empty(1, 1, 0)
    logit, mean, scale = (networks[name](nothing)[:, 0] for name in ("logit", "mean", "scale"))
    return GaussianMixture(logit.log_softmax(-1), mean.unflatten(-1, (-1, 2)), scale.unflatten(-1, (-1, 2)))


def gaussian_posterior(networks: Mapping[str, MLP], x: Tensor) -> DiagonalGaussian:
    """q(z|x) = N(m(x), diag s(x)^2) of images `[M, B, 784]`."""
    scale = functional.softplus(networks["scale"](x)) + EXPLICIT_FLOOR
    return DiagonalGaussian(networks["mean"](x), 2 * scale.log())


def semi_implicit_posterior(networks: Mapping[str, MLP], x: Tensor) -> SemiImplicit:
    """q(z|x) = E_e N(m(x, e), diag s^2) of images `[M, B, 784]`, with one s for all images."""
    mean, scale = networks["mean"], networks["scale"].layers()(x.new_empty(1, 1, 0))
    return SemiImplicit(mean.layers().given(x), floored_log(scale), mean.sizes[0] - x.shape[-1])


def posterior(networks: Mapping[str, MLP], method: Method, x: Tensor) -> DiagonalGaussian | SemiImplicit:
    """q(z|x) of a method."""
    return semi_implicit_posterior(networks, x) if method.mixing else gaussian_posterior(networks, x)
