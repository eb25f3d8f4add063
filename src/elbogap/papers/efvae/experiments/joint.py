"""Decoder and encoder trained by the ELBO, from the ground truth on (efvae, section 4.2)."""

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.papers.efvae.celeba import (
    elbo_terms,
    load_decoder,
    load_encoder,
    stored_decoder,
    stored_encoder,
)
from elbogap.papers.efvae.settings import Joint as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work, train


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Maximise the ELBO on images of the input `ground_truth`, starting there and at the input `encoder`.

    The key `sigma` says whether the deviation of the decoder's image noise stays `fixed` or is `learned`; the
    images' own noise stays in both.

    Returns:
        `model`: decoder and encoder; `training`: per record `elbo`, `log_likelihood` and `kl`, in nats per
        image, and `sigma`.

    Raises:
        UserError: the training diverged.
        OutOfTime: the time budget is spent.
    """
    variant = run.keys["sigma"]
    arrays = read_arrays(run.inputs["ground_truth"])
    truth = load_decoder(arrays).to(run.device)
    decoder = load_decoder(arrays).to(run.device)
    decoder.log_sigma.requires_grad_(variant == "learned")
    encoder = load_encoder(read_arrays(run.inputs["encoder"])).to(run.device)
    parameters = [one for network in (decoder, encoder) for one in network.parameters() if one.requires_grad]
    optimiser = torch.optim.Adam(parameters, lr=settings.learning_rate, betas=(settings.beta1, 0.999))

    def step(i: int) -> Tensor:
        random = torch_generator(settings.seed, "efvae.joint", i, device=run.device)
        _, x = truth.draw(settings.batch, random)
        log_likelihood, kl = elbo_terms(decoder, encoder, x, random).mean(1)
        elbo = log_likelihood - kl
        sigma = decoder.log_sigma.detach().exp()
        optimiser.zero_grad()
        (-elbo).backward()
        optimiser.step()
        return torch.stack([elbo.detach(), log_likelihood.detach(), kl.detach(), sigma])[:, None]

    records = train(
        step,
        steps=settings.steps,
        record_every=settings.record_steps,
        parts={"decoder": decoder, "encoder": encoder, "optimiser": optimiser},
        work=Work.of(
            run,
            f"celeba-{variant}",
            provenance.identity(__name__, settings, run),
            settings.checkpoint_seconds,
        ),
    )
    done = np.minimum(np.arange(1, len(records) + 1) * settings.record_steps, settings.steps)
    key = {"document": "efvae", "data": str(arrays["data"]), "model": f"elbo_{variant}"}
    values = pd.DataFrame(records.squeeze(-1).numpy(), columns=["elbo", "log_likelihood", "kl", "sigma"])
    model = {"data": arrays["data"], **stored_decoder(decoder.cpu()), **stored_encoder(encoder.cpu())}
    return {"model": model, "training": pd.DataFrame({**key, "step": done}).join(values)}
