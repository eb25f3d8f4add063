"""Which VAEs are consistent (Theorems 1, 2, Corollaries 1, 2, Example A.1), on models that can be enumerated.

Deviations: the constants of Theorem 2's bound are lost; the bound here is of the same form and derived by us.
With t(x, z) = log p(z|x) - log q(z|x), both at least alpha, L = log 1/alpha, t >= -L and (e^t - 1 - t) / t^2
increasing, KL(q || p) = sum_z q (e^t - 1 - t) >= (L - 1 + alpha) / L^2 sum_z q t^2, and q >= alpha, so that

    E sum_z t^2 <= epsilon L^2 / (alpha (L - 1 + alpha)),    epsilon = E KL(q(z|x) || p(z|x)).

Some harmonium is as near to log p(x, z) as that: centre both conditionals over z; their difference is centred
-t; project it for each z, as a function of x, onto the span of (nu(x), 1) under the data's distribution,
which keeps the decoder's part, makes the encoder's one linear in (nu, 1), and lengthens nothing. The table
has the nearest unnormalised harmonium, by least squares.

Corollary 2 holds where the joint model is the harmonium's, whose prior depends on W, a and b. With the usual
fixed uniform prior it does not: the posterior of a decoder that is affine in the bits has the term A(f(z)),
|W z + a|^2 / 2 for Gaussians, which couples the bits.
"""

import itertools
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Self

import pandas as pd
import torch
from torch import Tensor
from torch.nn import functional

from elbogap import provenance
from elbogap.densities import LOG_2PI
from elbogap.ensemble import fit
from elbogap.inference.exponential_family import (
    Binary,
    Categorical,
    Family,
    Gaussian,
    Harmonium,
    Multinomial,
    best_factorised,
    binary_codes,
    enumerated,
    log_encoder,
    pairwise_log_density,
)
from elbogap.nn.mlp import MLP
from elbogap.papers.efvae.search import maximise
from elbogap.papers.efvae.settings import Theory as Settings
from elbogap.papers.efvae.toy_model import (
    BITS,
    Mixture,
    Population,
    best_bound,
    best_means,
    harmonium,
    measured,
)
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work

SPINS = {"bits": 0.0, "spins": -1.0}  # the lower value of codes; the upper one is 1
CODE_BITS = 3
DRAWS = 4  # words of a multinomial x
SHEARED = ((1.5, 1.0), (0.0, 1.5))  # half the difference that each bit makes to the mean: not orthogonal
VARIANCES = (4.0, 2.0, 0.7, 0.4, 0.3)  # of the linear Gaussian VAE's data along their principal axes
LATENT = 2


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Measure every statement; divergences, ELBOs and likelihoods are in nats.

    Returns:
        `consistent` (Theorem 1), by `family` of x, `codes`, `model` and `bend`, the multiple of a random part
        of f(z) beside the affine one: `affine_gap`, KL(q || p(z|x)) with the encoder W^T nu(x) + b, averaged
        over x, and `best_gap` with the best factorised q of each x.
        `encoder` (Corollary 1), by `decoder` of the toy, `width` and `seed`: the `gap` of an encoder
        2-width-width-2 that was trained at this decoder, and the `best_gap`, the least of factorised
        encoders.
        `affine` (Corollary 2), by `model`, its `prior` and `encoder`: at the ELBO's optimum over affine
        decoders the `elbo`, the `loglik`, their difference `gap`, the `best_loglik` of the same decoders and
        how far `loglik` is below it, the `approximation_error`.
        `flow` (Example A.1), by `sharpness`: the `gap`, the largest `log_difference` of q(z|x) and p(z|x),
        and the columns of `bound`.
        `bound` (Theorem 2), by `model` and `bend`: `alpha`, `epsilon`, the squared `distance` in log-space of
        the decoder's joint model from the nearest unnormalised harmonium, that of q(z|x) from p(z|x),
        `mismatch`, and the `bound` on both; all averages over the data and sums over codes.

    Raises:
        OutOfTime: the time budget is spent.
    """
    tables = {
        "consistent": _consistent(settings),
        "encoder": _encoder(settings, run),
        "affine": _affine(settings),
        "flow": [_flow(sharpness) for sharpness in settings.sharpness],
        "bound": _bound(settings),
    }
    return {
        name: pd.DataFrame([{"document": "efvae"} | row for row in rows]) for name, rows in tables.items()
    }


Rows = list[dict[str, object]]


def _normal(settings: Settings, *purpose: str | int, size: tuple[int, ...]) -> Tensor:
    generator = torch_generator(settings.seed, "efvae.theory", *purpose)
    return torch.randn(size, generator=generator, dtype=torch.float64)


def _observations(settings: Settings) -> dict[str, tuple[Family, Tensor]]:
    """Families and values of x: all of a finite space, or some."""
    words = [torch.bincount(torch.tensor(one), minlength=3).double() for one in
             itertools.combinations_with_replacement(range(3), DRAWS)]  # fmt: skip
    return {
        "gaussian": (Gaussian(1.0), _normal(settings, "observations", size=(50, 4))),
        "bernoulli": (Binary(), binary_codes(4)),
        "categorical": (Categorical(), torch.eye(5, dtype=torch.float64)),
        "multinomial": (Multinomial(), torch.stack(words)),
    }


def _random_harmonium(
    settings: Settings, family: Family, codes: Tensor, size: int, *purpose: str | int
) -> Harmonium:
    w, a, b = (
        _normal(settings, name, *purpose, size=shape)
        for name, shape in (("W", (size, codes.shape[1])), ("a", (size,)), ("b", (codes.shape[1],)))
    )
    return Harmonium(family, codes, w, a, b)


def _bent_joint(model: Harmonium, x: Tensor, bent: Tensor) -> Tensor:
    """log p(x, z) of the decoder W psi(z) + a + bent(z) with the prior that its bias b and A would have."""
    natural = model.decoder() + bent
    size = model.observed.size(x)
    log_prior = size[:, None] * model.observed.log_partition(natural) + model.statistics @ model.code_bias
    return log_prior.log_softmax(-1) + pairwise_log_density(model.observed, x, natural)


def _consistent(settings: Settings) -> Rows:
    rows: Rows = []
    bits = binary_codes(CODE_BITS)
    for (name, (family, x)), (kind, low), model in itertools.product(
        _observations(settings).items(), SPINS.items(), range(settings.models)
    ):
        codes = binary_codes(CODE_BITS, low)
        size = x.shape[1]
        affine = _random_harmonium(settings, family, codes, size, name, kind, model)
        direction = _normal(settings, "bent", name, kind, model, size=(len(codes), size))
        for bend in settings.bends:
            log_joint = _bent_joint(affine, x, bend * direction)
            by_affine = enumerated(log_joint, log_encoder(affine.encoder(x), codes))
            best = enumerated(log_joint, best_factorised(log_joint, bits))
            keys = {"family": name, "codes": kind, "model": model, "bend": bend}
            rows.append(
                keys | {"affine_gap": by_affine.gap.mean().item(), "best_gap": best.gap.mean().item()}
            )
    return rows


def _encoder(settings: Settings, run: Run) -> Rows:
    sizes, mixture = settings.encoders, Mixture()
    x, mass = mixture.lattice(sizes.spacing)
    decoders = {"ground_truth": mixture.means(), "elbo_optimum": best_means(mixture, x, mass)}
    means = torch.stack(list(decoders.values()))
    best = best_bound(mixture, x, means).gap @ mass
    members = list(itertools.product(range(len(means)), range(sizes.seeds)))
    identity = provenance.identity(__name__, settings, run)
    rows: Rows = []
    for width in sizes.widths:
        initial, shifts = (
            [partial(torch_generator, settings.seed, "efvae.theory", name, *member) for member in members]
            for name in ("initial", "shifts")
        )
        shifts = [partial(one, device=run.device) for one in shifts]
        of_members = means[[decoder for decoder, _ in members]]
        on_device = of_members.to(run.device)
        trained = fit(
            Population(mixture, on_device, sizes.train_spacing, sizes.steps, shifts, run.device),
            {"encoder": MLP.independent([2, width, width, BITS], "relu", [one() for one in initial])},
            epochs=1,
            learning_rate=sizes.learning_rate,
            final_share=sizes.final_share,
            record_epochs=1,
            work=Work.of(run, f"width-{width}", identity, settings.checkpoint_seconds),
            device=run.device,
        )
        log_q = measured(trained.networks["encoder"], x)
        gaps = enumerated(mixture.log_joint(x, of_members), log_q).gap @ mass
        rows += [
            {"decoder": list(decoders)[decoder], "width": width, "seed": seed}
            | {"gap": gap, "best_gap": best[decoder].item()}
            for (decoder, seed), gap in zip(members, gaps.tolist(), strict=True)
        ]
    return rows


def _affine(settings: Settings) -> Rows:
    linear = {"model": "linear Gaussian VAE", "prior": "standard Gaussian", "encoder": "affine"}
    return [linear | _linear_gaussian(settings), *_gaussian_bernoulli(settings)]


def _finding(elbo: Tensor, loglik: Tensor, best: Tensor) -> dict[str, object]:
    values = {"elbo": elbo, "loglik": loglik, "best_loglik": best}
    values |= {"gap": loglik - elbo, "approximation_error": best - loglik}
    return {name: value.item() for name, value in values.items()}


def _starts(settings: Settings, size: int, *purpose: str) -> Tensor:
    return _normal(settings, "starts", *purpose, size=(settings.starts, size))


def _best_end(value: Callable[[Tensor], Tensor], starts: Tensor) -> Tensor:
    """The best of several searches."""
    return max((maximise(value, start) for start in starts), key=lambda end: value(end).item())


def _linear_gaussian(settings: Settings) -> dict[str, object]:
    """p(x|z) = N(W z + m, s I), q(z|x) = N(V x + c, diag v): only two moments of the data matter."""
    variances = torch.tensor(VARIANCES, dtype=torch.float64)
    observed, latent = len(variances), LATENT
    turn = torch.linalg.qr(_normal(settings, "axes", size=(observed, observed)))[0]
    covariance = turn @ torch.diag(variances) @ turn.mT
    mean = _normal(settings, "mean", size=(observed,))
    sizes = [observed * latent, observed, 1, latent * observed, latent, latent]

    def parts(flat: Tensor) -> tuple[Tensor, ...]:
        w, m, log_s, v, c, log_v = flat.split(sizes)
        return w.view(observed, latent), m, log_s, v.view(latent, observed), c, log_v

    def elbo(flat: Tensor) -> Tensor:
        w, m, log_s, v, c, log_v = parts(flat)
        residual = torch.eye(observed, dtype=torch.float64) - w @ v  # of x - W E[z]
        error = (residual @ covariance * residual).sum() + (residual @ mean - w @ c - m).square().sum()
        error = error + (w.square() @ log_v.exp()).sum()
        reconstruction = -0.5 * (observed * (LOG_2PI + log_s) + error / log_s.exp()).sum()
        moments = (v @ covariance * v).sum() + (v @ mean + c).square().sum()
        return reconstruction - 0.5 * (moments + (log_v.exp() - 1 - log_v).sum())

    def likelihood(w: Tensor, m: Tensor, variance: Tensor) -> Tensor:
        """E log N(x; m, W W^T + s I)."""
        model = w @ w.mT + variance * torch.eye(observed, dtype=torch.float64)
        spread = covariance + torch.outer(mean - m, mean - m)
        fitted = torch.linalg.solve(model, spread).trace()
        return -0.5 * (observed * LOG_2PI + torch.logdet(model) + fitted)

    w, m, log_s, *_ = parts(end := _best_end(elbo, _starts(settings, sum(sizes), "linear")))
    kept, left = variances[:latent], variances[latent:].mean()  # Tipping and Bishop (1999)
    pca = turn[:, :latent] * (kept - left).sqrt()
    return _finding(elbo(end), likelihood(w, m, log_s.exp()), likelihood(pca, mean, left))


@dataclass(frozen=True)
class Parallelogram:
    """Data of four Gaussians, and Gaussian-Bernoulli models of them whose parameters are W, a, b, V and d.

    Decoders have means W z + a. The prior is that of the harmonium with W, a and b, or uniform. The affine
    encoder has logits V x + d.

    Attributes:
        mixture: whose deviation and lattice are used.
        x: nodes, `[N, 2]`.
        mass: of the data at each, `[N]`.
    """

    mixture: Mixture
    x: Tensor
    mass: Tensor

    @classmethod
    def on_lattice(cls, spacing: float) -> Self:
        """Data that the uniform prior can fit exactly."""
        shear = torch.tensor(SHEARED, dtype=torch.float64)
        mixture = Mixture(radius=shear.norm(dim=1).sum().item())  # the lattice reaches all means
        x, _ = mixture.lattice(spacing)
        log_p = mixture.log_joint(x, binary_codes(BITS, low=-1.0) @ shear).logsumexp(-1)
        return cls(mixture, x, log_p.exp() * spacing**2)

    def log_joint(self, prior: str, parameters: Tensor) -> Tensor:
        """log p(x, z), `[N, 4]`."""
        rbm = harmonium(self.mixture, parameters[:8])
        if prior == "harmonium":
            return rbm.log_joint(self.x)
        return self.mixture.log_joint(self.x, rbm.decoder())

    def likelihood(self, prior: str, parameters: Tensor) -> Tensor:
        """E log p(x)."""
        return self.mass @ self.log_joint(prior, parameters).logsumexp(-1)

    def elbo(self, prior: str, encoder: str, parameters: Tensor) -> Tensor:
        """The expected ELBO of the affine encoder or of the best factorised q of each x."""
        log_joint = self.log_joint(prior, parameters)
        if encoder == "affine":
            weight, bias = parameters[8:].split([2 * BITS, BITS])
            log_q = log_encoder(self.x @ weight.view(2, BITS) + bias, binary_codes(BITS))
        else:
            log_q = best_factorised(log_joint.detach(), binary_codes(BITS))
        return self.mass @ enumerated(log_joint, log_q).elbo


def _gaussian_bernoulli(settings: Settings) -> Rows:
    data = Parallelogram.on_lattice(settings.spacing)
    rows: Rows = []
    for prior in ("harmonium", "uniform"):
        likelihood = partial(data.likelihood, prior)
        best = _best_end(likelihood, _starts(settings, 8, "likelihood", prior))
        starts = _starts(settings, 14, "elbo", prior)
        for encoder in ("affine", "any factorised"):
            elbo = partial(data.elbo, prior, encoder)
            end = _best_end(elbo, starts)
            keys = {"model": "Gaussian-Bernoulli", "prior": prior, "encoder": encoder}
            rows.append(keys | _finding(elbo(end), likelihood(end), likelihood(best)))
            starts = torch.stack([end[:8], best])  # the search with any encoder begins at both optima
    return rows


def _flow(sharpness: float) -> dict[str, object]:
    """z in {-1, 1}^2 uniform, f(z) = s (z_1, z_1 z_2), g(x) = s (x_1, x_1 x_2); the map is restored."""
    points = binary_codes(2, low=-1.0)
    mapped = sharpness * torch.stack([points[:, 0], points.prod(1)], 1)
    log_joint = pairwise_log_density(Binary(-1.0), points, mapped) - math.log(len(points))
    log_q = log_encoder(mapped, points)
    bound = enumerated(log_joint, log_q)
    mass = bound.log_evidence.exp()
    nearness = _nearness(log_joint, log_q, points, points, mass)
    difference = (log_q - bound.log_posterior).abs().max().item()
    return {"sharpness": sharpness, "gap": (mass @ bound.gap).item(), "log_difference": difference} | nearness


def _nearness(
    log_joint: Tensor, log_q: Tensor, statistics: Tensor, codes: Tensor, mass: Tensor
) -> dict[str, object]:
    """The columns of `bound`; h = h' = 1."""
    found = enumerated(log_joint, log_q)
    alpha = torch.minimum(log_q, found.log_posterior).min().exp()
    epsilon = mass @ found.gap
    log_inverse = -alpha.log()
    constant = log_inverse.square() / (alpha * (log_inverse - 1 + alpha))
    mismatch = mass @ (log_q - found.log_posterior).square().sum(-1)
    with_one = (functional.pad(one, (0, 1), value=1.0) for one in (statistics, codes))
    design = torch.kron(*with_one)  # nu_i psi_j, nu_i, psi_j and 1 of each pair, x first
    scale = mass.sqrt().repeat_interleave(len(codes))
    fitted = torch.linalg.lstsq(
        design * scale[:, None], (log_joint.flatten() * scale)[:, None], driver="gelsd"
    ).solution
    distance = mass.repeat_interleave(len(codes)) @ (log_joint.flatten() - (design @ fitted)[:, 0]).square()
    values = {"alpha": alpha, "epsilon": epsilon, "distance": distance, "mismatch": mismatch}
    return {name: value.item() for name, value in (values | {"bound": constant * epsilon}).items()}


def _bound(settings: Settings) -> Rows:
    """Bernoulli x, random data distributions, the best factorised q of each x."""
    rows: Rows = []
    x, codes = binary_codes(4), binary_codes(2)
    for model in range(settings.models):
        affine = _random_harmonium(settings, Binary(), codes, 4, "bound", model)
        direction = _normal(settings, "bound bent", model, size=(4, 4))
        mass = _normal(settings, "data", model, size=(len(x),)).softmax(0)
        for bend in settings.bends:
            log_joint = _bent_joint(affine, x, bend * direction)
            log_q = best_factorised(log_joint, codes)
            rows.append({"model": model, "bend": bend} | _nearness(log_joint, log_q, x, codes, mass))
    return rows
