"""Test likelihoods of one trained cell by two estimators (implicit, Tables 1 and 2, Figure 6).

`test_loglik` is neutral: one proposal for all methods, from Markov chains on p(z|x); it is the estimator of
the VCD paper. `test_loglik_q` importance-samples from the method's own q, the estimator of the UIVI paper. A
semi-implicit q is itself estimated there, without bias, and E log(1 / q^) >= log(1 / q) pushes that estimate
up, by an amount that falls with the number of noises, while few samples push both estimates down.

Deviation: the authors' chains go on with the step size of training, which only methods with chains have. Here
each chain starts with the same step, whatever the latent dimensions, and adapts it faster than in training.
"""

import math
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.densities import log_mean_exp, pairwise_gaussian_log_density
from elbogap.evaluation.iw_svi import estimate
from elbogap.inference import hmc
from elbogap.inference.families.base import LogJoint
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import draw
from elbogap.models.image_vae import log_joint, unpacked
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.implicit.names import OF_VAE, Method
from elbogap.papers.implicit.settings import VaeEvaluate as Settings
from elbogap.papers.implicit.vae import GAUSSIAN_FLOOR, posterior
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays, read_table
from elbogap.training import Work, tabulate

STEP_SIZE = 0.25  # first leapfrog step of the proposal's chains; steps shrink nine times as fast as they grow
ADAPTATION = hmc.Adaptation(rate=0.03)


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """Evaluate the input `models`, whose training was `curves`, on the test images of the input `images`.

    Returns `evaluation`: a row per seed, in nats per image, with the mean `acceptance` of the chains.
    """
    images = unpacked(read_arrays(run.inputs["images"]), "test", run.device)
    trained, curves = Stored.load(run.inputs["models"]), read_table(run.inputs["curves"])
    method, members = OF_VAE[curves["method"].iloc[0]], trained.networks["decoder"].members
    blocks = images.split(max(1, settings.rows // max(settings.own_noises, settings.own_samples)))

    def row(i: int) -> Tensor:
        member, block = divmod(i, len(blocks))
        own, x = trained.member(member, run.device), blocks[block][None]
        generator = torch_generator(settings.seed, "implicit.vae_evaluate", block, device=run.device)
        found = torch.full((3, len(blocks[0])), math.nan)
        found[:, : x.shape[1]] = _measured(settings, method, own, x, generator).cpu()
        return found

    label = f"{run.keys['dataset']}-{run.keys['cell']}-evaluation"
    work = Work.in_module(__name__, settings, run, label)
    values = tabulate(row, rows=members * len(blocks), work=work)
    by_member = values.unflatten(0, (members, len(blocks))).permute(2, 0, 1, 3).flatten(2)
    neutral, with_q, acceptance = by_member[:, :, ~by_member[0, 0].isnan()].numpy()
    table = curves.drop(columns=["step", "bound"]).drop_duplicates(ignore_index=True)
    table["test_images"] = len(images)
    for name, loglik in (("test_loglik", neutral), ("test_loglik_q", with_q)):
        table[name] = loglik.mean(1)
        table[f"{name}_se"] = loglik.std(1, ddof=1) / np.sqrt(len(images))
    table["difference"] = (with_q - neutral).mean(1)
    table["acceptance"] = acceptance.mean(1)
    return {"evaluation": table}


def _measured(
    settings: Settings, method: Method, networks: dict[str, MLP], x: Tensor, generator: torch.Generator
) -> Tensor:
    """Both estimates for images `[1, B, 784]` in nats, and the acceptance of their chains, `[3, B]`."""
    joint = log_joint(networks["decoder"], x.unsqueeze(1)).detach()
    estimated = partial(estimate, joint, at_once=max(1, settings.rows // x.shape[1]), generator=generator)
    with torch.no_grad():
        q = posterior(networks, method, x)
        if isinstance(q, SemiImplicit):
            mixing = {"mixing": q.noise(settings.own_noises, x.shape[1])["mixing"]}
            means = q.mean(draw(mixing, generator, 1)["mixing"])
            start = means.mean(1)
            z = q.rsample(draw(q.noise(settings.own_samples, x.shape[1]), generator, 1))
            scale = q.log_scale.exp().unsqueeze(-2)
            values, centres = (points.transpose(1, 2) / scale for points in (z, means))
            # log (1/T) sum_t q(z_s|e_t), `[1, S, B]`
            log_q = log_mean_exp(pairwise_gaussian_log_density(values, centres, variance=1.0), -1)
            log_q = (log_q - q.log_scale.sum(-1, keepdim=True)).mT
            with_q = log_mean_exp(joint(z) - log_q, -2)
        else:
            start = q.mean
            of_draws = DiagonalGaussian(q.mean.unsqueeze(-3), q.log_variance.unsqueeze(-3))
            with_q = estimated(of_draws, samples=settings.own_samples)
    fitted, acceptance = proposal(settings, joint, start, generator)
    return torch.cat([estimated(fitted, samples=settings.samples), with_q, acceptance[0]])


def proposal(
    settings: Settings, joint: LogJoint, start: Tensor, generator: torch.Generator
) -> tuple[DiagonalGaussian, Tensor]:
    """N(m, diag (w s)^2) with mean m and scale s of the states of chains after burn-in, `[..., 1, B, D]`.

    It depends on q only through where the chains start, `[..., B, D]`. Each adapts its own step size during
    the burn-in. Also the mean acceptance after it, `[..., 1, B]`.
    """
    chains, adapting = start.detach().unsqueeze(-3), settings.burn_in
    noise = hmc.draw_noise(adapting + settings.kept, chains, generator)
    step_size = chains.new_full(chains.shape[:-1], STEP_SIZE)
    found = hmc.sample(joint, chains, noise, step_size=step_size, adapting=adapting, adaptation=ADAPTATION)
    states = found.draws[adapting:]
    scale = states.std(0).clamp(min=GAUSSIAN_FLOOR) * settings.widening
    return DiagonalGaussian(states.mean(0), 2 * scale.log()), found.acceptance[adapting:].mean(0)
