"""An encoder fitted to the CelebA ground truth by conditional likelihood (efvae, section 4.2)."""

import numpy as np
import pandas as pd
from torch import Tensor

from elbogap.densities import LOG_2PI, gaussian_log_density
from elbogap.nn import store
from elbogap.nn.dcgan import Encoder
from elbogap.papers.efvae.celeba import Decoder, maximise
from elbogap.papers.efvae.settings import Pretrain as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Maximise E log q(z|x) over fresh pairs (x, z) of the input `ground_truth`, the forward KL.

    Returns `encoder`; `training`: per record `log_q` and the `entropy` of q(z|x), in nats per image.
    """
    arrays = read_arrays(run.inputs["ground_truth"])
    truth = Decoder.from_arrays(arrays).to(run.device)
    latent, _, side = truth.generator.sizes
    weights = torch_generator(settings.seed, "efvae.pretrain", "weights")
    encoder = Encoder(latent, settings.width, side, weights).to(run.device)

    def objective(i: int) -> list[Tensor]:
        random = torch_generator(settings.seed, "efvae.pretrain", i, device=run.device)
        z, x = truth.draw(settings.batch, random)
        mean, log_scale = encoder.moments(x)
        return [gaussian_log_density(z, mean, 2 * log_scale).mean(), log_scale.sum(-1).mean()]

    work = Work.in_module(__name__, settings, run, "celeba-encoder")
    training = maximise(objective, ["log_q", "entropy"], {"encoder": encoder}, settings, work)
    training["entropy"] += 0.5 * latent * (LOG_2PI + 1)
    return {
        "encoder": {"data": arrays["data"], **store.joined({"encoder": encoder})},
        "training": pd.DataFrame({"document": "efvae", "data": str(arrays["data"]), **training}),
    }
