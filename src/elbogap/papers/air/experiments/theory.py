"""Each statement of the theory against brute force, on problems small enough for it (air, sections 3, 4, B).

An encoder or decoder of infinite capacity is free at every node of a quadrature grid. L-BFGS searches these
values from random starts under the objective as the document states it; what it finds is compared with the
theorem's formula, or, where there is none, is the best of several starts.

Deviations: posteriors p(z|x_i) are drawn at random, since any posteriors belong to some model. A Gaussian is
searched over mean and log-variance and compared in natural parameters. With infinite capacity the partial
regulariser (eq. 16) is alpha R(theta; sigma), because noisy inputs miss the observations with probability
one; alpha is varied for encoders that are affine in x, a family that is closed under input translation too,
and so is H, which bounds their slopes. Where x~ is free, sum and integral of eq. 13 are exchanged, as in the
proof of Lemma 1; its kernel weights are then in the objective.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import pandas as pd
import torch
from scipy.integrate import quad
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from elbogap.densities import categorical_kl
from elbogap.errors import UserError
from elbogap.inference import denoising, lbfgs
from elbogap.papers.air.settings import Theory as Settings
from elbogap.runtime import Run, torch_generator

SEARCHED = 4.0  # standard deviations beyond the outermost means where optima are searched
INTEGRATED = 8.0  # and where integrals are taken: 1e-15 of a Gaussian is left out
WIDTHS = 2.0  # least nodes per standard deviation: the trapezoid rule then errs by exp(-2 (2 pi)^2) = 5e-35
STATIONARY = 1e-5  # largest gradient of an optimum: rounding of the value hides smaller steps than about 1e-7

SLOPE, VARIANCE, OBSERVED = 0.8, 0.2, 1.0  # appendix B: p(z|x) = N(0.8 x, 0.2), at x = 1
SCALE = math.sqrt(VARIANCE)

_tensor = partial(torch.tensor, dtype=torch.float64)


@dataclass(frozen=True)
class Family:
    """An exponential family of two natural parameters, with coordinates that range over all of R^2."""

    name: str  # as in the tables
    scales: tuple[float, float]  # standard deviations of the coordinates of random members
    natural: Callable[[Tensor], Tensor]  # from coordinates to natural parameters, `[..., 2]` to `[..., 2]`
    coordinates: Callable[[Tensor], Tensor]  # its inverse
    kl: Callable[[Tensor, Tensor], Tensor]  # KL(q || p) of members given by coordinates, in nats, `[...]`

    def draw(self, seed: int, purpose: str, *shape: int) -> Tensor:
        """Coordinates of random members, `[*shape, 2]`."""
        return _randn(seed, f"{self.name} {purpose}", *shape, 2) * _tensor(self.scales)


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Measure every statement; divergences, bounds and regularisers in nats, sigma in units of x.

    Returns `encoder`: the largest `kl` from the formula, `slope` and its Lipschitz `bound`; `encoder_curves`
    along `x`; `posteriors` p(z|x_i). `strength`: R(theta; sigma, alpha) of any encoder and of affine ones;
    `weight_norm`: R(theta; sigma, H) of affine ones, sigma = 0 being the VAE, also of a model `collapsed` to
    equal posteriors. `generator`: the largest `difference` from eq. 19, and the `distance` from the data's
    means; `generator_curves` along `z` by `pixel`. `attenuation`: R(theta; sigma, k). `bounds`: both, their
    `difference`, the `mutual_information`, the `discrepancy` of these two, the `perturbation_entropy` and the
    `log_evidence`. UserError if a grid is too coarse, or an optimisation fails.
    """
    tables = {
        **_encoder(settings),
        "strength": pd.concat([*_strength_of_any(settings), *_strength_of_affine(settings)]),
        "weight_norm": pd.concat(_weight_norm(settings)),
        **_generator(settings),
        "attenuation": pd.concat(_attenuation(settings)),
        "bounds": pd.DataFrame([_bounds(sigma, settings) for sigma in settings.sigmas]),
    }
    for table in tables.values():
        table.insert(0, "document", "air")
    return tables


def _encoder(settings: Settings) -> dict[str, pd.DataFrame]:
    """Lemma 1 and Theorem 1."""
    observations = _tensor(settings.observations)
    rows, curves, points = [], [], []
    for family in FAMILIES:
        posteriors = family.draw(settings.seed, "posteriors", len(observations))
        natural = family.natural(posteriors)
        parameters = pd.DataFrame(natural.numpy(), columns=["natural_1", "natural_2"])
        points.append(pd.DataFrame({"family": family.name, "x": observations}).join(parameters))
        for sigma in settings.sigmas:
            x, mass = noisy(observations, sigma, settings.nodes, SEARCHED)
            regression = denoising.natural_parameters(x[:, None], observations[:, None], natural, sigma)
            formula = family.coordinates(regression)
            start = family.draw(settings.seed, "start", settings.starts, len(x))
            found = optimised_encoder(family, posteriors, mass, start)
            key, eta = {"family": family.name, "sigma": sigma}, family.natural(found)
            rows.append(
                key
                | _floats(
                    kl=family.kl(found, formula).max(),
                    slope=(eta.diff(dim=0).norm(dim=1) / x.diff()).max(),
                    bound=denoising.lipschitz_bound(observations[:, None], natural, sigma),
                )
            )
            if sigma in settings.figure_sigmas:
                curve = {"x": x, "optimised": eta[:, 0], "kernel_regression": regression[:, 0]}
                curves.append(pd.DataFrame(key | curve))
    tables = {"encoder_curves": pd.concat(curves), "posteriors": pd.concat(points)}
    return {"encoder": pd.DataFrame(rows), **tables}


def noisy(observations: Tensor, sigma: float, nodes: int, reach: float) -> tuple[Tensor, Tensor]:
    """Nodes `[Q]` for the noisy x~, and the mass (1/N) N(x~; x_i, sigma^2) dx~ of each x_i there, `[Q, N]`.

    They extend `reach` standard deviations beyond the observations `[N]`. Infinite noise, which leaves no
    trace of i, has a single node. A UserError says that the nodes are too far apart for sigma.
    """
    count = len(observations)
    if math.isinf(sigma):
        return observations.mean(0, keepdim=True), torch.full((1, count), 1 / count, dtype=torch.float64)
    x = _grid(observations, _tensor(sigma), nodes, reach)
    return x, Normal(observations, sigma).log_prob(x[:, None]).exp() * (x[1] - x[0]) / count


def optimised_encoder(family: Family, posteriors: Tensor, mass: Tensor, start: Tensor) -> Tensor:
    """The encoder, free at every node, of the largest denoising objective (eq. 13), as coordinates `[Q, 2]`.

    A step of L-BFGS can throw a node so far that its q(z|x~) is all but certain, where the objective is flat.
    Each node takes the best of its starts `[S, Q, 2]`.
    """
    objective = partial(_denoising_objective, family, posteriors, mass)
    ends = _minimise(lambda free: objective(free).sum(), start, mass)
    return ends.gather(0, objective(ends).argmin(0)[None, :, None].expand(1, -1, 2))[0]


def _denoising_objective(family: Family, posteriors: Tensor, mass: Tensor, encoder: Tensor) -> Tensor:
    """What each node adds to the mean of KL(f(x~) || p(z|x_i)), log p less objective (eq. 13), `[..., Q]`."""
    return (mass * family.kl(encoder.unsqueeze(-2), posteriors.unsqueeze(-3))).sum(-1)


def _strength_of_any(settings: Settings) -> Iterator[pd.DataFrame]:
    """Proposition 1: R(theta; sigma) of encoders of infinite capacity, with the optimum of Theorem 1."""
    observations = _tensor(settings.observations)
    for family, sigma in product(FAMILIES, settings.sigmas):
        posteriors = family.draw(settings.seed, "models", settings.models, len(observations))
        x, mass = noisy(observations, sigma, settings.nodes, INTEGRATED)
        natural = family.natural(posteriors)
        optimum = denoising.natural_parameters(x[:, None], observations[:, None], natural, sigma)
        values = _denoising_objective(family, posteriors, mass, family.coordinates(optimum)).sum(-1)
        key = {"encoder": "any", "family": family.name, "model": range(len(values))}
        yield pd.DataFrame({**key, "alpha": 1.0, "sigma": sigma, "regulariser": values})


def _strength_of_affine(settings: Settings) -> Iterator[pd.DataFrame]:
    """Equation 16: R(theta; sigma, alpha) of encoders that are affine in x, the best of the starts."""
    observations = _tensor(settings.observations)
    for family, alpha, sigma in product(FAMILIES, settings.alphas, settings.sigmas):
        posteriors = family.draw(settings.seed, "models", settings.models, len(observations))
        start = family.draw(settings.seed, "affine", settings.starts, settings.models, 2)
        values = affine_regularisers(family, posteriors, observations, sigma, alpha, start).amin(0)
        key = {"encoder": "affine", "family": family.name, "model": range(len(values))}
        yield pd.DataFrame({**key, "alpha": alpha, "sigma": sigma, "regulariser": values})


def _weight_norm(settings: Settings) -> Iterator[pd.DataFrame]:
    """Section 3.2: R(theta; sigma, H) of encoders that are affine in x, with weights of norm at most H."""
    observations = _tensor(settings.observations)
    sigmas = (0.0, *settings.figure_sigmas)
    for family, sigma, norm in product(FAMILIES, sigmas, settings.norms):
        posteriors = family.draw(settings.seed, "models", settings.models, len(observations))
        posteriors = torch.cat([posteriors, posteriors[:1, :1].expand(1, *posteriors.shape[1:])])
        start = family.draw(settings.seed, "affine", settings.starts, len(posteriors), 2)
        values = affine_regularisers(family, posteriors, observations, sigma, 1.0, start, norm).amin(0)
        key = {"family": family.name, "model": range(len(values)), "sigma": sigma, "H": norm}
        yield pd.DataFrame(key).assign(
            collapsed=lambda rows: rows["model"] == settings.models, regulariser=values
        )


def affine_regularisers(
    family: Family, posteriors: Tensor, observations: Tensor, sigma: float, alpha: float, start: Tensor,
    norm: float = math.inf,
) -> Tensor:  # fmt: skip
    """E_x[alpha E_e KL(f(x + e) || p) + (1 - alpha) KL(f(x) || p)] (eq. 16) where L-BFGS ends, in nats.

    Of posteriors `[M, N, 2]`, observations `[N]` and encoders a + b x, which start from a and b
    `[S, M, 2, 2]`: `[S, M]`. A finite `norm` H bounds |b| as H sin of a free angle.
    """
    noise = torch.linspace(-INTEGRATED, INTEGRATED, 81, dtype=torch.float64)
    x = torch.cat([observations[:, None], observations[:, None] + sigma * noise], 1)
    weight = torch.cat([_tensor([1 - alpha]), alpha * (-0.5 * noise.square()).softmax(0)])

    def values(free: Tensor) -> Tensor:
        offset, slope = free[..., None, None, :, :].unbind(-2)
        encoder = offset + (slope if math.isinf(norm) else norm * (slope / max(norm, 1)).sin()) * x[..., None]
        return (family.kl(encoder, posteriors[..., None, :]) * weight).sum(-1).mean(-1)

    return values(_minimise(lambda free: values(free).sum(), start))


def _generator(settings: Settings) -> dict[str, pd.DataFrame]:
    """Proposition 2: Bernoulli decoders, free at every node of z, for the best Gaussian encoders."""
    count = len(settings.observations)
    data = (_randn(settings.seed, "pixels", count, settings.pixels) > 0).double()
    natural = GAUSSIAN.natural(GAUSSIAN.draw(settings.seed, "posteriors", count))
    rows, curves = [], []
    for sigma in settings.sigmas:
        regression = denoising.natural_parameters(data, data, natural, sigma)
        mean, log_variance = GAUSSIAN.coordinates(regression).unbind(1)
        q = Normal(mean, (0.5 * log_variance).exp())
        z = _grid(q.loc, q.scale, settings.latent_nodes, SEARCHED)
        log_q = q.log_prob(z[:, None])
        mass = log_q.exp() * (z[1] - z[0]) / count
        formula = denoising.generator_means(log_q, data)

        def loss(angle: Tensor, mass: Tensor = mass) -> Tensor:
            return -_reconstruction(data, mass, angle.sin().square())

        for start in range(settings.starts):
            # A Bernoulli likelihood bends the same everywhere in the angle whose sin^2 is the mean; it hardly
            # bends in the logits of means near 0 or 1, and L-BFGS would need thousands of steps.
            angle = _randn(settings.seed, f"decoder {start}", len(z), settings.pixels)
            means = _minimise(loss, angle, mass).sin() ** 2
            rows.append(
                {"sigma": sigma, "start": start}
                | _floats(
                    difference=(means - formula).abs().max(),
                    distance=(mass.sum(1) @ (means - data.mean(0)).abs()).mean() / mass.sum(),
                )
            )
            if start == 0 and sigma in settings.figure_sigmas:
                for pixel, data_mean in enumerate(data.mean(0).tolist()):
                    key = {"sigma": sigma, "pixel": pixel, "data_mean": data_mean, "z": z}
                    curve = {"optimised": means[:, pixel], "formula": formula[:, pixel]}
                    curves.append(pd.DataFrame({**key, **curve}))
    return {"generator": pd.DataFrame(rows), "generator_curves": pd.concat(curves)}


def _reconstruction(data: Tensor, mass: Tensor, means: Tensor) -> Tensor:
    """The part of the bound that depends on the decoder, E_x E_q log p(x|z), a scalar in nats."""
    return (torch.xlogy(mass @ data, means) + torch.xlogy(mass @ (1 - data), 1 - means)).sum()


def _attenuation(settings: Settings) -> Iterator[pd.DataFrame]:
    """Proposition 3."""
    observations = _tensor(settings.observations)
    posteriors = CATEGORICAL.draw(settings.seed, "models", settings.models, len(observations))
    for sigma in (*settings.importance_sigmas, math.inf):
        x, mass = noisy(observations, sigma, settings.importance_nodes, SEARCHED)
        start = CATEGORICAL.draw(settings.seed, "proposal", settings.starts, settings.models, len(x))
        for k in settings.ks:
            values = importance_regulariser(posteriors, mass, k, start)
            key = {"model": range(len(values)), "sigma": sigma, "k": k}
            yield pd.DataFrame({**key, "regulariser": values})


def importance_regulariser(posteriors: Tensor, mass: Tensor, k: int, start: Tensor) -> Tensor:
    """R(theta; sigma, k) (eq. 23) of encoders free at every node, each the best of the starts, in nats.

    By eq. 21 it is the least average of log p(x) - L_k, without approximation: the k draws count only by how
    often they hit each category, and all such counts are enumerated. Of posteriors `[M, N, 2]` and starts
    `[S, M, Q, 2]`: `[M]`.
    """
    counts = _counts(k)
    ways = math.lgamma(k + 1) - torch.lgamma(counts + 1).sum(1)
    log_p = _log_probabilities(posteriors).unsqueeze(-3)

    def per_node(free: Tensor) -> Tensor:
        log_f = _log_probabilities(free).unsqueeze(-2)
        probability = (ways + log_f @ counts.mT).exp()
        log_mean_weight = ((log_p - log_f).exp() @ counts.mT / k).log()
        return -(mass * (probability * log_mean_weight).sum(-1)).sum(-1)

    end = _minimise(lambda free: per_node(free).sum(), start, mass)
    return per_node(end).amin(0).sum(-1)


def _counts(k: int) -> Tensor:
    """All ways in which k draws can hit three categories, `[(k + 1) (k + 2) / 2, 3]`."""
    return _tensor([(a, b, k - a - b) for a in range(k + 1) for b in range(k + 1 - a)])


def _bounds(sigma: float, settings: Settings) -> dict[str, float]:
    """Appendix B: bounds of z ~ N(0, 1), x|z ~ N(z, 1/4), with q(z|x~) the exact posterior at x~.

    The perturbed inputs x~ are the Gauss-Hermite nodes of the noise. The mutual information of z and x~ is
    H(z) - H(z|x~), by adaptive quadrature and in closed form, and knows nothing of the model.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(settings.perturbations)
    means = SLOPE * (OBSERVED + sigma * torch.from_numpy(nodes))
    probability = torch.from_numpy(weights / weights.sum())
    z = _grid(means, _tensor(SCALE), settings.latent_nodes, INTEGRATED)
    log_q = Normal(means, SCALE).log_prob(z[:, None])
    x = _tensor(OBSERVED)
    log_joint = Normal(0.0, 1.0).log_prob(z) + Normal(z, 0.5).log_prob(x)
    log_both = log_q + probability.log()
    log_marginal = log_both.logsumexp(1)
    step = z[1] - z[0]
    l_dvae = (log_both.exp() * (log_joint[:, None] - log_q)).sum() * step
    l_cvae = (log_marginal.exp() * (log_joint - log_marginal)).sum() * step
    information = _entropy_of_mixture(means, probability) - Normal(0.0, _tensor(SCALE)).entropy()
    return _floats(
        sigma=sigma,
        l_dvae=l_dvae,
        l_cvae=l_cvae,
        difference=l_cvae - l_dvae,
        mutual_information=information,
        discrepancy=l_cvae - l_dvae - information,
        perturbation_entropy=-(probability * probability.log()).sum(),
        log_evidence=Normal(0.0, _tensor(1.25).sqrt()).log_prob(x),
    )


def _entropy_of_mixture(means: Tensor, probability: Tensor) -> float:
    """H(z) in nats, by SciPy's adaptive quadrature between neighbouring means and beyond the outermost."""

    def integrand(z: float) -> float:
        density = (probability * Normal(means, SCALE).log_prob(_tensor(z)).exp()).sum()
        return float(-torch.xlogy(density, density))

    low, high = float(means[0]) - INTEGRATED * SCALE, float(means[-1]) + INTEGRATED * SCALE
    return quad(integrand, low, high, points=means.tolist(), epsabs=1e-11, limit=500)[0]


def _minimise(loss: Callable[[Tensor], Tensor], start: Tensor, mass: Tensor | None = None) -> Tensor:
    """Where L-BFGS from `start`, `[..., Q, P]`, ends; a UserError where the gradient is not 0 there.

    A node of little mass `[Q, N]` bends the loss little; in units of the root of its mass all bend alike, and
    far fewer steps are needed.
    """
    unit = torch.ones(()) if mass is None else mass.sum(1, keepdim=True).sqrt()
    options = {"maxiter": 20_000, "maxfun": 50_000, "maxcor": 30, "ftol": 0, "gtol": 1e-9}
    end, found = lbfgs.minimise(lambda scaled: loss(scaled / unit), start * unit, options=options)
    # With ftol 0 it goes on until the value no longer changes, which counts as a failure there.
    if not np.abs(found.jac).max() <= STATIONARY:
        raise UserError(f"theory: an optimisation failed ({found.message}); change `seed`")
    return end / unit


def _grid(mean: Tensor, scale: Tensor, nodes: int, reach: float) -> Tensor:
    """Equidistant nodes that cover Gaussians N(m_i, s_i^2) and resolve the narrowest, or a UserError."""
    low, high = float((mean - reach * scale).min()), float((mean + reach * scale).max())
    least = 1 + math.ceil(WIDTHS * (high - low) / float(scale.min()))
    if nodes < least:
        raise UserError(
            f"theory: {nodes} grid points are too few for the narrowest Gaussian; take {least} or more"
        )
    return torch.linspace(low, high, nodes, dtype=torch.float64)


def _randn(seed: int, purpose: str, *shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch_generator(seed, "air.theory", purpose))


def _floats(**values: Tensor | float) -> dict[str, float]:
    return {name: float(value) for name, value in values.items()}


def _log_probabilities(logits: Tensor) -> Tensor:
    """Of three categories by their logits against the last, `[..., 2]` to `[..., 3]`."""
    return functional.pad(logits, (0, 1)).log_softmax(-1)


def _gaussian_natural(coordinates: Tensor) -> Tensor:
    """m / s^2 and -1 / (2 s^2) from m and log s^2."""
    mean, log_variance = coordinates.unbind(-1)
    return torch.stack([mean * (-log_variance).exp(), -0.5 * (-log_variance).exp()], -1)


def _gaussian_coordinates(natural: Tensor) -> Tensor:
    precise_mean, half_precision = natural.unbind(-1)
    return torch.stack([-0.5 * precise_mean / half_precision, -(-2 * half_precision).log()], -1)


def _gaussian_kl(q: Tensor, p: Tensor) -> Tensor:
    (mean, log_variance), (other_mean, other_log_variance) = q.unbind(-1), p.unbind(-1)
    squared = (log_variance.exp() + (mean - other_mean).square()) * (-other_log_variance).exp()
    return 0.5 * (other_log_variance - log_variance + squared - 1)


CATEGORICAL = Family(
    "categorical", (1.5, 1.5), nn.Identity(), nn.Identity(),
    lambda q, p: categorical_kl(_log_probabilities(q), _log_probabilities(p)),
)  # fmt: skip
GAUSSIAN = Family("gaussian", (1.5, 0.5), _gaussian_natural, _gaussian_coordinates, _gaussian_kl)
FAMILIES = (CATEGORICAL, GAUSSIAN)
