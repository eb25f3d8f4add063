"""Which VAEs are consistent (Theorems 1, 2, Corollaries 1, 2, Example A.1), on models that can be enumerated.

Deviation: the constants of Theorem 2's bound are lost; the table has the quantities on its two sides.
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
REPETITIONS = (1, 2, 4)  # of a document
INTERACTIONS = (0.0, 0.25, 0.5, 1.0)  # factors of W; a model with 0 is collapsed
SHEARED = ((1.5, 1.0), (0.0, 1.5))  # half the difference that each bit makes to the mean: not orthogonal
VARIANCES = (4.0, 2.0, 0.7, 0.4, 0.3)  # of the linear Gaussian VAE's data along their principal axes
LATENT = 2
Row = dict[str, Any]


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Measure every statement: gaps, ELBOs and likelihoods in nats, averages over the data, sums over codes.

    Returns `consistent` (Theorem 1) and `bound` (Theorem 2), by `bend`, the multiple of a random part of f(z)
    beside the affine one; `encoder` (Corollary 1), of encoders 2-width-width-2 trained at decoders of the
    toy; `affine` (Corollary 2), the optimum of the ELBO over affine decoders; `flow` (Example A.1);
    `documents` (Section 3.1, eq. 15), of models affine in z, the least gaps of all factorised q(z|x), and of
    those that are a function of the word frequencies, where these occur in documents of several lengths.
    """
    tables = {
        "consistent": _consistent(settings),
        "encoder": _encoder(settings, run),
        "affine": [
            _linear_gaussian(settings),
            _gaussian_bernoulli(settings, "harmonium"),
            _gaussian_bernoulli(settings, "uniform"),
        ],
        "flow": [_flow(sharpness) for sharpness in settings.sharpness],
        "bound": _bound(settings),
        "documents": _documents(settings),
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


def _word_counts() -> Tensor:
    """All documents of `DRAWS` words of three, as counts."""
    words = torch.combinations(torch.arange(3), DRAWS, with_replacement=True)
    return functional.one_hot(words, 3).sum(1).double()


def _documents(settings: Settings) -> list[Row]:
    """Each document beside its repetitions, which have the same frequencies."""
    rows, bits, family = [], ef.binary_codes(CODE_BITS), ef.Multinomial()
    x = torch.stack([repetitions * _word_counts() for repetitions in REPETITIONS])
    for model, interaction in product(range(settings.models), INTERACTIONS):
        *w, a, b = _normal(settings, "documents", model, size=(5, CODE_BITS))
        harmonium = ef.Harmonium(family, bits, interaction * torch.stack(w), a, b)
        uniform = ef.pairwise_log_density(family, x, harmonium.decoder()) - math.log(len(bits))
        for prior, log_joint in (("harmonium", harmonium.log_joint(x)), ("uniform", uniform)):
            key = {"model": model, "prior": prior, "interaction": interaction}
            log_q = {  # sum_l KL(q || p_l) is least where KL(q || geometric mean of the p_l) is
                "counts": ef.best_factorised(log_joint, bits),
                "frequencies": ef.best_factorised(log_joint.log_softmax(-1).mean(0), bits).expand_as(
                    log_joint
                ),
            }
            gaps = {f"{name}_gap": ef.enumerated(log_joint, q).gap.mean() for name, q in log_q.items()}
            rows.append(key | gaps)
    return rows


def _consistent(settings: Settings) -> list[Row]:
    observations: dict[str, tuple[ef.ExponentialFamily, Tensor]] = {  # all x of a finite space, or some
        "gaussian": (ef.Gaussian(1.0), _normal(settings, "observations", size=(50, 4))),
        "bernoulli": (ef.Binary(), ef.binary_codes(4)),
        "categorical": (ef.Multinomial(), torch.eye(5, dtype=torch.float64)),
        "multinomial": (ef.Multinomial(), _word_counts()),
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
    values = {"elbo": elbo, "loglik": loglik, "best_loglik": best}
    return values | {"gap": loglik - elbo, "approximation_error": best - loglik}


def _linear_gaussian(settings: Settings) -> Row:
    """p(x|z) = N(W z, s I). The best N(V x, diag v) has the posterior's mean and 1 / v = diag(I + W^T W / s).

    Its gap, the same for all x, is half of sum_l log (1 / v_l) - log det(I + W^T W / s).
    """
    variances = torch.tensor(VARIANCES, dtype=torch.float64)
    zero, identity = torch.zeros_like(variances), torch.eye(len(variances), dtype=torch.float64)
    data = MultivariateNormal(zero, variances.diag())

    def likelihood(w: Tensor, variance: Tensor) -> Tensor:
        """E log N(x; 0, W W^T + s I)."""
        return -kl_divergence(data, MultivariateNormal(zero, w @ w.mT + variance * identity)) - data.entropy()

    def decoder(flat: Tensor) -> tuple[Tensor, Tensor]:
        return flat[1:].view(len(variances), LATENT), flat[0].exp()

    def elbo(flat: Tensor) -> Tensor:
        w, variance = decoder(flat)
        precision = torch.eye(LATENT, dtype=torch.float64) + w.mT @ w / variance
        return likelihood(w, variance) - 0.5 * (precision.diagonal().log().sum() - precision.logdet())

    size = (settings.starts, 1 + len(variances) * LATENT)
    end = maximise(elbo, *_normal(settings, "starts", "linear", size=size))
    left = variances[LATENT:].mean()  # Tipping and Bishop (1999)
    pca = (variances - left).clamp(min=0).sqrt().diag()[:, :LATENT]
    key = {"model": "linear Gaussian VAE", "prior": "standard Gaussian", "encoder": "affine"}
    return key | _optimum(elbo(end), likelihood(*decoder(end)), likelihood(pca, left))


def _gaussian_bernoulli(settings: Settings, prior: str) -> Row:
    """Means W z + a with the harmonium's prior of W, a and b, or a uniform one, and the best factorised q.

    The data are four Gaussians that the uniform prior can fit exactly.
    """
    shear, codes = torch.tensor(SHEARED, dtype=torch.float64), ef.binary_codes(BITS)
    means, radius = ef.binary_codes(BITS, low=-1.0) @ shear, shear.norm(dim=1).sum().item()
    data = Data.on_lattice(settings.spacing, means, radius)

    def log_joint(parameters: Tensor) -> Tensor:
        rbm = toy_model.harmonium(parameters)
        return rbm.log_joint(data.x) if prior == "harmonium" else toy_model.log_joint(data.x, rbm.decoder())

    def likelihood(parameters: Tensor) -> Tensor:
        return data.mass @ log_joint(parameters).logsumexp(-1)

    def elbo(parameters: Tensor) -> Tensor:
        joint = log_joint(parameters)
        return data.mass @ ef.enumerated(joint, ef.best_factorised(joint.detach(), codes)).elbo

    starts = _normal(settings, "starts", "likelihood", prior, size=(settings.starts, 8))
    best = maximise(likelihood, *starts)
    end = maximise(elbo, best, *starts)
    key = {"model": "Gaussian-Bernoulli", "prior": prior, "encoder": "any factorised"}
    found = _optimum(elbo(end), likelihood(end), likelihood(best))
    return key | found | {"elbo_at_best": elbo(best)}


def _flow(sharpness: float) -> Row:
    """z in {-1, 1}^2 uniform, f(z) = s (z_1, z_1 z_2), g(x) = s (x_1, x_1 x_2); the map is restored."""
    points = ef.binary_codes(2, low=-1.0)
    mapped = sharpness * torch.stack([points[:, 0], points.prod(1)], 1)
    log_joint = ef.pairwise_log_density(ef.Binary(-1.0), points, mapped) - math.log(len(points))
    log_q = ef.log_encoder(mapped, points)
    bound = ef.enumerated(log_joint, log_q)
    mass = bound.log_evidence.exp()
    return {
        "sharpness": sharpness,
        "gap": mass @ bound.gap,
        **_nearness(log_joint, log_q, points, points, mass),
    }


def _nearness(log_joint: Tensor, log_q: Tensor, statistics: Tensor, codes: Tensor, mass: Tensor) -> Row:
    """The columns of `bound`; h = h' = 1."""
    bound = ef.enumerated(log_joint, log_q)
    alpha = torch.minimum(log_q, bound.log_posterior).min().exp()
    epsilon = mass @ bound.gap
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
    }


def _bound(settings: Settings) -> list[Row]:
    """Bernoulli x, random data distributions, the best factorised q of each x."""
    rows, x, codes = [], ef.binary_codes(4), ef.binary_codes(2)
    for key, _, log_joint in _bent_models(settings, ef.Binary(), codes, x, ["bound"], ["bound bent"]):
        mass = _normal(settings, "data", key["model"], size=(len(x),)).softmax(0)
        rows.append(key | _nearness(log_joint, ef.best_factorised(log_joint, codes), x, codes, mass))
    return rows
