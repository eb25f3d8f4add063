"""Which VAEs are consistent (Theorems 1, 2, Corollaries 1, 2, Example A.1), on models that can be enumerated.

Deviations: the constants of Theorem 2's bound are lost; the bound here is of the same form and derived by us.
With t(x, z) = log p(z|x) - log q(z|x), both at least alpha, L = log 1/alpha, t >= -L and (e^t - 1 - t) / t^2
increasing, KL(q || p) = sum_z q (e^t - 1 - t) >= (L - 1 + alpha) / L^2 sum_z q t^2, and q >= alpha, so that

    E sum_z t^2 <= epsilon L^2 / (alpha (L - 1 + alpha)),    epsilon = E KL(q(z|x) || p(z|x)).

Some harmonium is as near to log p(x, z) as that: centre both conditionals over z; their difference is centred
-t; project it for each z, as a function of x, onto the span of (nu(x), 1) under the data's distribution,
which keeps the decoder's part, makes the encoder's linear in (nu, 1), and lengthens nothing. The table
has the nearest unnormalised harmonium, by least squares.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import product
from typing import Any

import pandas as pd
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal, kl_divergence
from torch.nn import functional

from elbogap.densities import LOG_2PI
from elbogap.inference import exponential_family as ef
from elbogap.nn.mlp import MLP
from elbogap.papers.efvae import toy_model
from elbogap.papers.efvae.settings import Theory as Settings
from elbogap.papers.efvae.toy_model import BITS, TRUTH, Data, maximise
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work

SPINS = {"bits": 0.0, "spins": -1.0}  # the lower value of codes; the upper one is 1
CODE_BITS = 3
DRAWS = 4  # words of a multinomial x
SHEARED = ((1.5, 1.0), (0.0, 1.5))  # half the difference that each bit makes to the mean: not orthogonal
VARIANCES = (4.0, 2.0, 0.7, 0.4, 0.3)  # of the linear Gaussian VAE's data along their principal axes
LATENT = 2
Row = dict[str, Any]


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Measure every statement: gaps, ELBOs and likelihoods in nats, averages over the data, sums over codes.

    Returns `consistent` (Theorem 1) and `bound` (Theorem 2), by `bend`, the multiple of a random part of f(z)
    beside the affine one; `encoder` (Corollary 1), of encoders 2-width-width-2 trained at decoders of the
    toy; `affine` (Corollary 2), the optimum of the ELBO over affine decoders; `flow` (Example A.1).
    """
    tables = {
        "consistent": _consistent(settings),
        "encoder": _encoder(settings, run),
        "affine": [
            _linear_gaussian(settings),
            *_gaussian_bernoulli(settings, "harmonium"),
            *_gaussian_bernoulli(settings, "uniform"),
        ],
        "flow": [_flow(sharpness) for sharpness in settings.sharpness],
        "bound": _bound(settings),
    }
    return {name: pd.DataFrame(map(_plain, rows)) for name, rows in tables.items()}


def _plain(row: Row) -> Row:
    values = {name: value.item() if isinstance(value, Tensor) else value for name, value in row.items()}
    return {"document": "efvae"} | values


def _normal(settings: Settings, *purpose: str | int, size: tuple[int, ...]) -> Tensor:
    generator = torch_generator(settings.seed, "efvae.theory", *purpose)
    return torch.randn(size, generator=generator, dtype=torch.float64)


def _bent_models(
    settings: Settings, family: ef.ExponentialFamily, codes: Tensor, x: Tensor, *streams: Sequence[str]
) -> Iterator[tuple[Row, ef.Harmonium, Tensor]]:
    """Number and bend, harmonium with random W, a and b, and log p(x, z) with the decoder bent away from it.

    The decoder is W psi(z) + a + bend times something random; the prior is what b and A then make of it. The
    streams are the purposes of the random numbers of the harmonium and of the bend.
    """
    of_harmonium, of_bend = streams
    shapes = {"W": (x.shape[1], codes.shape[1]), "a": (x.shape[1],), "b": (codes.shape[1],)}
    for model in range(settings.models):
        w, a, b = (_normal(settings, name, *of_harmonium, model, size=size) for name, size in shapes.items())
        affine = ef.Harmonium(family, codes, w, a, b)
        direction = _normal(settings, *of_bend, model, size=(len(codes), x.shape[1]))
        for bend in settings.bends:
            natural = affine.decoder() + bend * direction
            log_prior = family.size(x)[:, None] * family.log_partition(natural) + codes @ b
            log_likelihood = ef.pairwise_log_density(family, x, natural)
            yield {"model": model, "bend": bend}, affine, log_prior.log_softmax(-1) + log_likelihood


def _consistent(settings: Settings) -> list[Row]:
    documents = torch.combinations(torch.arange(3), DRAWS, with_replacement=True)
    observations: dict[str, tuple[ef.ExponentialFamily, Tensor]] = {  # all x of a finite space, or some
        "gaussian": (ef.Gaussian(1.0), _normal(settings, "observations", size=(50, 4))),
        "bernoulli": (ef.Binary(), ef.binary_codes(4)),
        "categorical": (ef.Multinomial(), torch.eye(5, dtype=torch.float64)),
        "multinomial": (ef.Multinomial(), functional.one_hot(documents, 3).sum(1).double()),
    }
    rows, bits = [], ef.binary_codes(CODE_BITS)
    for (name, (family, x)), (kind, low) in product(observations.items(), SPINS.items()):
        codes, streams = ef.binary_codes(CODE_BITS, low), ((name, kind), ("bent", name, kind))
        for key, harmonium, log_joint in _bent_models(settings, family, codes, x, *streams):
            row = {"family": name, "codes": kind, **key}
            log_q = ef.log_encoder(harmonium.encoder(x), codes)
            row["affine_gap"] = ef.enumerated(log_joint, log_q).gap.mean()
            row["best_gap"] = ef.enumerated(log_joint, ef.best_factorised(log_joint, bits)).gap.mean()
            rows.append(row)
    return rows


def _encoder(settings: Settings, run: Run) -> list[Row]:
    sizes = settings.encoders
    data = Data.on_lattice(sizes.spacing)
    names, means = ("ground_truth", "elbo_optimum"), torch.stack([TRUTH, data.best_means()])
    best = data.best_bound(means).gap @ data.mass
    members = list(product(range(len(names)), range(sizes.seeds)))
    of_members = means.repeat_interleave(sizes.seeds, 0)
    generator = partial(torch_generator, settings.seed, "efvae.theory")
    shifts = [partial(generator, "shifts", *member, device=run.device) for member in members]
    population = toy_model.Population(of_members.to(run.device), sizes.train_spacing, sizes.steps, shifts)
    rate = {"learning_rate": sizes.learning_rate, "final_fraction": sizes.final_share}
    rows: list[Row] = []
    for width in sizes.widths:
        initial = [generator("initial", *member) for member in members]
        networks = {"encoder": MLP.independent([2, width, width, BITS], "relu", initial)}
        work = Work.in_module(__name__, settings, run, f"width-{width}")
        trained = population.maximise(networks, work, epochs=1, **rate)
        gaps = data.bound(of_members, trained["encoder"]).gap @ data.mass
        rows += [
            {"decoder": names[decoder], "width": width, "seed": seed, "gap": gap, "best_gap": best[decoder]}
            for (decoder, seed), gap in zip(members, gaps, strict=True)
        ]
    return rows


def _optimum(elbo: Tensor, loglik: Tensor, best: Tensor) -> Row:
    lacking = {"gap": loglik - elbo, "approximation_error": best - loglik}
    return {"elbo": elbo, "loglik": loglik, "best_loglik": best, **lacking}


def _linear_gaussian(settings: Settings) -> Row:
    """p(x|z) = N(W z + m, s I), q(z|x) = N(V x + c, diag v): only two moments of the data matter."""
    variances = torch.tensor(VARIANCES, dtype=torch.float64)
    observed, latent = len(variances), LATENT
    turn = torch.linalg.qr(_normal(settings, "axes", size=(observed, observed)))[0]
    covariance = turn @ torch.diag(variances) @ turn.mT
    mean = _normal(settings, "mean", size=(observed,))
    data = MultivariateNormal(mean, covariance)
    identity = torch.eye(observed, dtype=torch.float64)
    sizes = [observed * latent, observed, 1, latent * observed, latent, latent]

    def parts(flat: Tensor) -> tuple[Tensor, ...]:
        w, m, log_s, v, c, log_v = flat.split(sizes)
        return w.view(observed, latent), m, log_s, v.view(latent, observed), c, log_v

    def elbo(flat: Tensor) -> Tensor:
        w, m, log_s, v, c, log_v = parts(flat)
        residual = identity - w @ v  # of x - W E[z]
        error = (residual @ covariance * residual).sum() + (residual @ mean - w @ c - m).square().sum()
        error = error + (w.square() @ log_v.exp()).sum()
        reconstruction = -0.5 * (observed * (LOG_2PI + log_s) + error / log_s.exp()).sum()
        moments = (v @ covariance * v).sum() + (v @ mean + c).square().sum()
        return reconstruction - 0.5 * (moments + (log_v.exp() - 1 - log_v).sum())

    def likelihood(w: Tensor, m: Tensor, variance: Tensor) -> Tensor:
        """E log N(x; m, W W^T + s I)."""
        model = MultivariateNormal(m, w @ w.mT + variance * identity)
        return -kl_divergence(data, model) - data.entropy()

    starts = _normal(settings, "starts", "linear", size=(settings.starts, sum(sizes)))
    w, m, log_s, *_ = parts(end := maximise(elbo, *starts))
    kept, left = variances[:latent], variances[latent:].mean()  # Tipping and Bishop (1999)
    pca = turn[:, :latent] * (kept - left).sqrt()
    key = {"model": "linear Gaussian VAE", "prior": "standard Gaussian", "encoder": "affine"}
    return key | _optimum(elbo(end), likelihood(w, m, log_s.exp()), likelihood(pca, mean, left))


def _gaussian_bernoulli(settings: Settings, prior: str) -> list[Row]:
    """Means W z + a with the harmonium's prior of W, a and b, or a uniform one; affine q has logits V x + d.

    Parameters are W, a, b, V and d. The data are four Gaussians that the uniform prior can fit exactly.
    """
    shear, codes = torch.tensor(SHEARED, dtype=torch.float64), ef.binary_codes(BITS)
    means, radius = ef.binary_codes(BITS, low=-1.0) @ shear, shear.norm(dim=1).sum().item()
    data = Data.on_lattice(settings.spacing, means, radius)
    x, mass = data.x, data.mass

    def log_joint(parameters: Tensor) -> Tensor:
        rbm = toy_model.harmonium(parameters[:8])
        return rbm.log_joint(x) if prior == "harmonium" else toy_model.log_joint(x, rbm.decoder())

    def likelihood(parameters: Tensor) -> Tensor:
        return mass @ log_joint(parameters).logsumexp(-1)

    def elbo(encoder: str, parameters: Tensor) -> Tensor:
        joint = log_joint(parameters)
        if encoder == "affine":
            weight, bias = parameters[8:].split([2 * BITS, BITS])
            log_q = ef.log_encoder(x @ weight.view(2, BITS) + bias, codes)
        else:
            log_q = ef.best_factorised(joint.detach(), codes)
        return mass @ ef.enumerated(joint, log_q).elbo

    best = maximise(likelihood, *_normal(settings, "starts", "likelihood", prior, size=(settings.starts, 8)))
    starts = [*_normal(settings, "starts", "elbo", prior, size=(settings.starts, 14))]
    rows = []
    for encoder in ("affine", "any factorised"):
        end = maximise(partial(elbo, encoder), *starts)
        key = {"model": "Gaussian-Bernoulli", "prior": prior, "encoder": encoder}
        rows.append(key | _optimum(elbo(encoder, end), likelihood(end), likelihood(best)))
        starts = [end[:8], best]  # the search with any encoder begins at both optima
    return rows


def _flow(sharpness: float) -> Row:
    """z in {-1, 1}^2 uniform, f(z) = s (z_1, z_1 z_2), g(x) = s (x_1, x_1 x_2); the map is restored."""
    points = ef.binary_codes(2, low=-1.0)
    mapped = sharpness * torch.stack([points[:, 0], points.prod(1)], 1)
    log_joint = ef.pairwise_log_density(ef.Binary(-1.0), points, mapped) - math.log(len(points))
    log_q = ef.log_encoder(mapped, points)
    bound = ef.enumerated(log_joint, log_q)
    mass = bound.log_evidence.exp()
    row = {"sharpness": sharpness, "gap": mass @ bound.gap}
    row["log_difference"] = (log_q - bound.log_posterior).abs().max()
    return row | _nearness(log_joint, log_q, points, points, mass)


def _nearness(log_joint: Tensor, log_q: Tensor, statistics: Tensor, codes: Tensor, mass: Tensor) -> Row:
    """The columns of `bound`; h = h' = 1."""
    bound = ef.enumerated(log_joint, log_q)
    alpha = torch.minimum(log_q, bound.log_posterior).min().exp()
    epsilon = mass @ bound.gap
    log_inverse = -alpha.log()
    constant = log_inverse.square() / (alpha * (log_inverse - 1 + alpha))
    nu, psi = (functional.pad(values, (0, 1), value=1.0) for values in (statistics, codes))
    design = torch.kron(nu, psi)  # nu_i psi_j, nu_i, psi_j and 1 of each pair, x first
    target, weight = log_joint.flatten(), mass.repeat_interleave(len(codes))
    root = weight.sqrt()[:, None]
    fitted = torch.linalg.lstsq(design * root, target[:, None] * root, driver="gelsd").solution
    return {
        "alpha": alpha,
        "epsilon": epsilon,
        "distance": weight @ (target - (design @ fitted)[:, 0]).square(),
        "mismatch": mass @ (log_q - bound.log_posterior).square().sum(-1),
        "bound": constant * epsilon,
    }


def _bound(settings: Settings) -> list[Row]:
    """Bernoulli x, random data distributions, the best factorised q of each x."""
    rows, x, codes = [], ef.binary_codes(4), ef.binary_codes(2)
    for key, _, log_joint in _bent_models(settings, ef.Binary(), codes, x, ["bound"], ["bound bent"]):
        mass = _normal(settings, "data", key["model"], size=(len(x),)).softmax(0)
        rows.append(key | _nearness(log_joint, ef.best_factorised(log_joint, codes), x, codes, mass))
    return rows
