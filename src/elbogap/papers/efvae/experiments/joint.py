"""Decoder and encoder trained by the ELBO, from the ground truth on (efvae, section 4.2)."""

import numpy as np
import pandas as pd
from torch import Tensor

from elbogap.nn import store
from elbogap.nn.dcgan import Encoder
from elbogap.papers.efvae.celeba import Decoder, elbo_terms, maximise
from elbogap.papers.efvae.settings import CelebaTraining as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Maximise the ELBO on images of the input `ground_truth`, starting there and at the input `encoder`.

    The key `sigma` says whether the scale of the decoder's image noise stays `fixed` or is `learned`; the
    images' own noise stays in both.

    Returns `model`: decoder and encoder; `training`: per record `elbo`, `log_likelihood` and `kl`, in nats
    per image, and `sigma`.
    """
    variant = run.keys["sigma"]
    arrays = read_arrays(run.inputs["ground_truth"])
    truth, decoder = (Decoder.from_arrays(arrays).to(run.device) for _ in range(2))
    decoder.log_sigma.requires_grad_(variant == "learned")
    encoder = Encoder.from_arrays(store.part("encoder", read_arrays(run.inputs["encoder"]))).to(run.device)

    def objective(i: int) -> list[Tensor]:
        random = torch_generator(settings.seed, "efvae.joint", i, device=run.device)
        _, x = truth.draw(settings.batch, random)
        log_likelihood, kl = elbo_terms(decoder, encoder, x, random).mean(1)
        return [log_likelihood - kl, log_likelihood, kl, decoder.log_sigma.exp()]

    columns = ["elbo", "log_likelihood", "kl", "sigma"]
    work = Work.in_module(__name__, settings, run, f"celeba-{variant}")
    training = maximise(objective, columns, {"decoder": decoder, "encoder": encoder}, settings, work)
    key = {"document": "efvae", "data": str(arrays["data"]), "model": f"elbo_{variant}"}
    return {
        "model": {"data": arrays["data"], **decoder.to_arrays(), **store.joined({"encoder": encoder})},
        "training": pd.DataFrame({**key, **training}),
    }
