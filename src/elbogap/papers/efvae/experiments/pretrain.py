"""An encoder fitted to the CelebA ground truth by conditional likelihood (efvae, section 4.2)."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.densities import LOG_2PI, gaussian_log_density
from elbogap.nn.dcgan import Encoder
from elbogap.papers.efvae.celeba import load_decoder, stored_encoder
from elbogap.papers.efvae.settings import Pretrain as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work, train


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Maximise E log q(z|x) over fresh pairs (x, z) of the input `ground_truth`, the forward KL.

    Returns:
        `encoder`; `training`: per record `log_q` and the `entropy` of q(z|x), in nats per image.

    Raises:
        UserError: the training diverged.
        OutOfTime: the time budget is spent.
    """
    arrays = read_arrays(run.inputs["ground_truth"])
    truth = load_decoder(arrays).to(run.device)
    latent, _, side = truth.generator.sizes
    weights = torch_generator(settings.seed, "efvae.pretrain", "weights")
    encoder = Encoder(latent, settings.width, side, weights).to(run.device)
    optimiser = torch.optim.Adam(
        encoder.parameters(), lr=settings.learning_rate, betas=(settings.beta1, 0.999)
    )

    def step(i: int) -> Tensor:
        random = torch_generator(settings.seed, "efvae.pretrain", i, device=run.device)
        z, x = truth.draw(settings.batch, random)
        mean, log_deviation = encoder.moments(x)
        log_q = gaussian_log_density(z, mean, 2 * log_deviation).mean()
        optimiser.zero_grad()
        (-log_q).backward()
        optimiser.step()
        return torch.stack([log_q.detach(), log_deviation.detach().sum(-1).mean()])[:, None]

    records = train(
        step,
        steps=settings.steps,
        record_every=settings.record_steps,
        parts={"encoder": encoder, "optimiser": optimiser},
        work=Work.of(
            run, "celeba-encoder", provenance.identity(__name__, settings, run), settings.checkpoint_seconds
        ),
    )
    done = np.minimum(np.arange(1, len(records) + 1) * settings.record_steps, settings.steps)
    key = {"document": "efvae", "data": str(arrays["data"])}
    records = records.squeeze(-1)
    entropy = records[:, 1] + 0.5 * latent * (LOG_2PI + 1)
    curve = pd.DataFrame({**key, "step": done, "log_q": records[:, 0], "entropy": entropy})
    return {"encoder": {"data": arrays["data"], **stored_encoder(encoder.cpu())}, "training": curve}
