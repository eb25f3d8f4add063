"""Posteriors of posteriordb with its reference draws (Magnusson et al. 2025), written anew from their models.

Coordinates are those in which the posterior is on all of R^D: positive parameters by their logarithms, the
fraction of a mixture by its logit, the second of two ordered means by the logarithm of its distance to the
first. All is computed in float64, whatever the precision of the coordinates. log Z is by bridge sampling
between the reference draws and a Gaussian with their moments.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from elbogap.densities import (
    gaussian_log_density,
    isotropic_gaussian_log_density,
    standard_gaussian_log_density,
)
from elbogap.evaluation.bridge import log_evidence
from elbogap.papers.atlas.problems.base import Problem
from elbogap.runtime import torch_generator

Data = Mapping[str, Tensor]  # vectors of one data set by name, in float64


@dataclass(frozen=True)
class Model:
    """A posterior of posteriordb.

    Attributes:
        title: for figures.
        data: the data set.
        draws: the posterior whose reference draws it has.
        log_density: of data, and coordinates `[..., D]`: `[...]`.
        parameters: of data, from coordinates to the parameters of the reference draws, `[..., P]`.
        coordinates: the other way.
    """

    title: str
    data: str
    draws: str
    log_density: Callable[[Data, Tensor], Tensor]
    parameters: Callable[[Data, Tensor], Tensor]
    coordinates: Callable[[Data, Tensor], Tensor]


def _with_logarithms(positive: slice) -> dict[str, Callable[[Data, Tensor], Tensor]]:
    """Both ways where some parameters are positive and the others are coordinates themselves."""

    def changed(change: Callable[[Tensor], Tensor], data: Data, values: Tensor) -> Tensor:
        values = values.clone()
        values[..., positive] = change(values[..., positive])
        return values

    return {"parameters": partial(changed, torch.exp), "coordinates": partial(changed, torch.log)}


def _regression(
    response: Callable[[Data], Tensor],
    predictors: Callable[[Data], list[Tensor]],
    prior: Callable[[Tensor], Tensor] = torch.zeros_like,
) -> dict[str, Callable[[Data, Tensor], Tensor]]:
    """y ~ N(X b, s^2) with a constant in X, flat in b and with log p(s) = `prior`, of (b, log s)."""

    def log_density(data: Data, z: Tensor) -> Tensor:
        y = response(data)
        x = torch.stack([torch.ones_like(y), *predictors(data)])
        log_scale = z[..., -1]
        likelihood = gaussian_log_density(y, z[..., :-1] @ x, 2 * log_scale[..., None])
        return likelihood + prior(log_scale.exp()) + log_scale

    return {"log_density": log_density, **_with_logarithms(slice(-1, None))}


def _age(data: Data) -> list[Tensor]:
    return [(data["age_discrete"] == group).double() for group in (2, 3, 4)]


def _mesquite(data: Data) -> list[Tensor]:
    first, second, height = (data[name].log() for name in ("diam1", "diam2", "canopy_height"))
    sizes = [first + second + height, first + second, first - second]
    return [*sizes, data["total_height"].log(), data["density"].log(), data["group"]]


def _schools(data: Data, effects: Tensor, mu: Tensor, log_tau: Tensor) -> Tensor:
    """log p(y | theta) p(mu) p(tau) tau."""
    likelihood = gaussian_log_density(data["y"], effects, 2 * data["sigma"].log())
    priors = _normal(5.0, mu) + _half_cauchy(5.0, log_tau.exp())
    return likelihood + priors + log_tau


def _non_centred(data: Data, z: Tensor) -> Tensor:
    """Of (u, mu, log tau), theta = mu + tau u."""
    prior = standard_gaussian_log_density(z[..., :-2])
    return prior + _schools(data, _effects(data, z)[..., :-2], z[..., -2], z[..., -1])


def _centred(data: Data, z: Tensor) -> Tensor:
    """Of (theta, mu, log tau)."""
    prior = gaussian_log_density(z[..., :-2], z[..., -2:-1], 2 * z[..., -1:])
    return prior + _schools(data, z[..., :-2], z[..., -2], z[..., -1])


def _effects(data: Data, z: Tensor) -> Tensor:
    mu, tau = z[..., -2:-1], z[..., -1:].exp()
    return torch.cat([mu + tau * z[..., :-2], mu, tau], -1)


def _standardised(data: Data, values: Tensor) -> Tensor:
    mu, tau = values[..., -2:-1], values[..., -1:]
    return torch.cat([(values[..., :-2] - mu) / tau, mu, tau.log()], -1)


def _mixture(data: Data, z: Tensor) -> Tensor:
    """y ~ a N(m_1, s_1^2) + (1 - a) N(m_2, s_2^2), of (m_1, log(m_2 - m_1), log s, logit a)."""
    logit, log_scale, apart = z[..., 4], z[..., 2:4], z[..., 1]
    values = _mixture_parameters(data, z)
    log_share = torch.stack([logsigmoid(logit), logsigmoid(-logit)], -1)
    parts = gaussian_log_density(
        data["y"][:, None, None], values[..., None, :2, None], 2 * log_scale[..., None, :, None]
    )
    likelihood = (log_share[..., None, :] + parts).logsumexp(-1).sum(-1)
    prior = _normal(2.0, values[..., :4]).sum(-1) + 2 * math.log(2)  # both scales are positive
    beta = 4 * log_share.sum(-1) - (2 * math.lgamma(5) - math.lgamma(10))
    return likelihood + prior + beta + apart + log_scale.sum(-1) + log_share.sum(-1)


def _mixture_parameters(data: Data, z: Tensor) -> Tensor:
    first, apart, scales, logit = z[..., :1], z[..., 1:2], z[..., 2:4], z[..., 4:]
    return torch.cat([first, first + apart.exp(), scales.exp(), logit.sigmoid()], -1)


def _mixture_coordinates(data: Data, values: Tensor) -> Tensor:
    first, second, scales, share = values[..., :1], values[..., 1:2], values[..., 2:4], values[..., 4:]
    return torch.cat([first, (second - first).log(), scales.log(), share.logit()], -1)


def _gp_scale(data: Data, rho: Tensor, alpha: Tensor) -> Tensor:
    """The Cholesky factor of alpha^2 exp(-(x - x')^2 / (2 rho^2)) + 1e-10 I, `[..., N, N]`.

    Another 1e-14 alpha^2 I, which is a thousandth of that at the posterior, keeps it positive definite for a
    large alpha.
    """
    x, square = data["x"], alpha[..., None, None].square()
    distance = (x[:, None] - x) / rho[..., None, None]
    identity = torch.eye(len(x), dtype=x.dtype, device=x.device)
    covariance = square * (torch.exp(-0.5 * distance.square()) + 1e-14 * identity)
    return torch.linalg.cholesky(covariance + 1e-10 * identity)


def _gp(data: Data, z: Tensor) -> Tensor:
    """k ~ Poisson(exp f) with f = L u, of (log rho, log alpha, u)."""
    values = _gp_parameters(data, z)
    rho, alpha, f = values[..., 0], values[..., 1], values[..., 2:]
    likelihood = (data["k"] * f - f.exp() - torch.lgamma(data["k"] + 1)).sum(-1)
    prior = standard_gaussian_log_density(z[..., 2:])
    gamma = 25 * math.log(4) - math.lgamma(25) + 24 * z[..., 0] - 4 * rho
    return likelihood + prior + gamma + _normal(2.0, alpha) + math.log(2) + z[..., :2].sum(-1)


def _gp_parameters(data: Data, z: Tensor) -> Tensor:
    scales = z[..., :2].exp()
    factor = _gp_scale(data, scales[..., 0], scales[..., 1])
    return torch.cat([scales, (factor @ z[..., 2:, None]).squeeze(-1)], -1)


def _gp_coordinates(data: Data, values: Tensor) -> Tensor:
    factor = _gp_scale(data, values[..., 0], values[..., 1])
    u = torch.linalg.solve_triangular(factor, values[..., 2:, None], upper=False).squeeze(-1)
    return torch.cat([values[..., :2].log(), u], -1)


def _half_cauchy(scale: float, value: Tensor) -> Tensor:
    """log of 2 / (pi s (1 + (v / s)^2))."""
    return math.log(2 / (math.pi * scale)) - torch.log1p((value / scale).square())


def _normal(scale: float, value: Tensor) -> Tensor:
    return isotropic_gaussian_log_density(value[..., None], torch.zeros_like(value[..., None]), scale**2)


_NON_CENTRED = "eight_schools-eight_schools_noncentered"
MODELS: Mapping[str, Model] = {
    "eight_schools": Model(
        "eight schools", "eight_schools", _NON_CENTRED, _non_centred, _effects, _standardised
    ),
    "eight_schools_centred": Model(
        "eight schools, centred", "eight_schools", _NON_CENTRED, _centred, **_with_logarithms(slice(-1, None))
    ),
    "kidscore": Model(
        "kidscore interaction",
        "kidiq",
        "kidiq-kidscore_interaction",
        **_regression(
            lambda data: data["kid_score"],
            lambda data: [data["mom_hs"], data["mom_iq"], data["mom_hs"] * data["mom_iq"]],
            partial(_half_cauchy, 2.5),
        ),
    ),
    "logearn": Model(
        "logearn interaction",
        "earnings",
        "earnings-logearn_interaction",
        **_regression(
            lambda data: data["earn"].log(),
            lambda data: [data["height"], data["male"], data["height"] * data["male"]],
        ),
    ),
    "logmesquite": Model(
        "logmesquite",
        "mesquite",
        "mesquite-logmesquite_logvas",
        **_regression(lambda data: data["weight"].log(), _mesquite),
    ),
    "nes2000": Model(
        "nes2000",
        "nes2000",
        "nes2000-nes",
        **_regression(
            lambda data: data["partyid7"],
            lambda data: [
                *(data[name] for name in ("real_ideo", "race_adj")),
                *_age(data),
                *(data[name] for name in ("educ1", "gender", "income")),
            ],
        ),
    ),
    "gp_pois_regr": Model(
        "Poisson GP", "gp_pois_regr", "gp_pois_regr-gp_pois_regr", _gp, _gp_parameters, _gp_coordinates
    ),
    "low_dim_gauss_mix": Model(
        "mixture of two", "low_dim_gauss_mix", "low_dim_gauss_mix-low_dim_gauss_mix",
        _mixture, _mixture_parameters, _mixture_coordinates,
    ),
}  # fmt: skip
"""By the name of the problem."""


def vectors(name: str, arrays: Mapping[str, Any]) -> Data:
    """The variables of one data set among posteriordb's arrays."""
    own = f"{name}."
    return {
        key.removeprefix(own): torch.from_numpy(array) for key, array in arrays.items() if key.startswith(own)
    }


def posterior(name: str, arrays: Mapping[str, Any], kind: str) -> Problem:
    """The problem of that name with posteriordb's arrays, `kind` real or stand-in."""
    model = MODELS[name]
    data = vectors(model.data, arrays)
    values = torch.from_numpy(arrays[model.draws])
    draws = model.coordinates(data, values)

    def log_density(z: Tensor) -> Tensor:
        here = {key: array.to(z.device) for key, array in data.items()}
        return model.log_density(here, z.double()).to(z)

    def sample(count: int, generator: torch.Generator) -> Tensor:
        return draws[torch.randperm(len(draws), generator=generator)[:count]]

    log_z, error = None, 0.0
    if kind == "real":  # the draws of a stand-in belong to no posterior
        with torch.no_grad():
            log_z, error = log_evidence(log_density, draws, torch_generator(0, "atlas", "bridge", name))
    return Problem(
        title=model.title,
        kind="posteriordb",
        dim=draws.shape[1],
        log_density=log_density,
        known=f"{len(draws)} reference draws, their moments, and log Z by bridge sampling",
        sample=sample,
        mean=values.mean(0),
        sd=values.std(0),
        log_evidence=log_z,
        log_evidence_error=error,
        parameters=lambda z: model.parameters(data, z),
        data=kind,
    )
