"""Exact divergences of q_IW from the posterior of the autoencoder of Figure 2, by quadrature (qiw; ours).

Two latent dimensions allow what the document only says: log p(x) is an integral over the prior's plane, and
q_IW one over the part of it where q has mass, since q_IW <= k q.
"""

from collections.abc import Sequence

import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from elbogap.data.loaders import load
from elbogap.densities import standard_gaussian_log_density
from elbogap.errors import UserError
from elbogap.inference import exact_importance
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.models.image_vae import posterior
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.qiw.settings import MnistKL as Settings
from elbogap.runtime import Run, numpy_generator

ROWS = 2**14  # decoder evaluations held at once
SCALES = 7.0  # q has less than 1e-11 of its mass beyond
SPAN = 700.0  # of log w, in nats; float64 holds no more


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Measure test images under the inputs `parameters` and `data`; UserError unless z has two dimensions.

    Returns:
        `kl`: per image and number k of draws, `kl_q_iw_to_p` = log p(x) - L_VAE[q_IW] with the marginal q_IW,
        and `bound_gap` = log p(x) - L_k, which is at least that, in nats; `coarse_kl` and `coarse_log_p`, the
        first and log p(x) with half the nodes per axis, and `left_out`, the mass of q where w is more than
        `SPAN` nats below its largest value, tell how exact they are.
    """
    networks = Stored.load(run.inputs["parameters"]).member(0)
    encoder, decoder = (networks[name].double() for name in ("encoder", "decoder"))
    if decoder.sizes[0] != 2:
        raise UserError("qiw.mnist_kl integrates over two latent dimensions; set qiw.mnist_train.latent to 2")
    data = load(run.inputs["data"])
    order = numpy_generator(settings.seed, "qiw.mnist_kl").permutation(len(data.arrays["test"]))
    images = torch.from_numpy(data.arrays["test"][order[: settings.images]]).double()
    with torch.no_grad():
        q = posterior(encoder, images[None, None])
        mean, log_variance = q.mean.view(-1, 2), q.log_variance.view(-1, 2)
        log_p = torch.stack([_log_evidence(decoder, images, settings, part) for part in (1, 2)], -1)
        rows = []
        for i in tqdm(range(len(images)), desc="images", unit="image", mininterval=5):
            own = DiagonalGaussian(mean[i], log_variance[i])
            (fine, left_out), (coarse, _) = (
                _bounds(decoder, images[i], own, settings.local_points // part, settings.ks)
                for part in (1, 2)
            )
            gaps = torch.cat([log_p[i, :1, None] - fine, log_p[i, :1, None] - coarse[:, :1]], -1)
            rows += [
                (i, k, *log_p[i].tolist(), *gap, left_out)
                for k, gap in zip(settings.ks, gaps.tolist(), strict=True)
            ]
    columns = ["image", "k", "log_p", "coarse_log_p", "kl_q_iw_to_p", "bound_gap", "coarse_kl", "left_out"]
    kind = "real" if data.kind == "real" else "stand-in"
    keys = {"document": "qiw", "dataset": data.name, "data": kind}
    return {"kl": pd.DataFrame(keys | dict(pd.DataFrame(rows, columns=columns)))}


def _log_likelihood(decoder: MLP, z: Tensor, images: Tensor) -> Tensor:
    """log p(x_b | z_q) `[Q, B]` of codes `[Q, 2]` and images `[B, 784]`."""
    logits = decoder(z[None])[0]
    return logits @ images.T - torch.nn.functional.softplus(logits).sum(-1, keepdim=True)


def _log_evidence(decoder: MLP, images: Tensor, settings: Settings, part: int) -> Tensor:
    """log p(x) `[B]`, with every node of the settings' axes or one in so many."""
    half_width = settings.half_width
    axis = torch.linspace(-half_width, half_width, settings.points // part, dtype=torch.float64)
    blocks = torch.cartesian_prod(axis, axis).split(ROWS)
    parts = [
        torch.logsumexp(_log_likelihood(decoder, z, images) + standard_gaussian_log_density(z)[:, None], 0)
        for z in blocks
    ]
    return torch.logsumexp(torch.stack(parts), 0) + 2 * (axis[1] - axis[0]).log()


def _bounds(
    decoder: MLP, x: Tensor, q: DiagonalGaussian, points: int, ks: Sequence[int]
) -> tuple[Tensor, float]:
    """L_VAE of the marginal q_IW, and L_k, of each k `[K, 2]`; so many nodes per axis around q's mean.

    Also the mass of q that is left out, see :data:`SPAN`.
    """
    axis = torch.linspace(-SCALES, SCALES, points, dtype=torch.float64)
    u = torch.cartesian_prod(axis, axis)
    z = q.mean + (0.5 * q.log_variance).exp() * u
    log_q, mass = q.log_prob(z), standard_gaussian_log_density(u).exp() * (axis[1] - axis[0]) ** 2
    log_joint = _log_likelihood(decoder, z, x[None])[:, 0] + standard_gaussian_log_density(z)
    log_weights, whole = log_joint - log_q, mass.sum()
    inside = log_weights > log_weights.max() - SPAN
    mass, log_q, log_joint, log_weights = (of[inside] for of in (mass, log_q, log_joint, log_weights))
    transform, found = exact_importance.weight_transform(mass, log_weights), []
    for k in ks:
        log_q_iw = exact_importance.log_marginal(transform, log_q, log_weights, k)
        q_iw = mass * (log_q_iw - log_q).exp()
        l_vae = (q_iw * (log_joint - log_q_iw)).sum() / q_iw.sum()
        found.append(torch.stack([l_vae, exact_importance.iwae(transform, k)]))
    return torch.stack(found), float(1 - mass.sum() / whole)
