"""Encoders of the CelebA ground truth, alone and together with a decoder (efvae, section 4.2)."""

from torch import Tensor

from elbogap.densities import gaussian_log_density
from elbogap.nn import store
from elbogap.nn.dcgan import Encoder
from elbogap.papers.efvae.celeba import Decoder, elbo_terms, maximise
from elbogap.papers.efvae.settings import CelebaTraining as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.tables import Arrays, read_arrays
from elbogap.training import Work


def run(settings: Settings, run: Run) -> dict[str, Arrays]:
    """Train on fresh pairs (z, x) of the decoder in the input `start`, and return the `model`.

    Without the key `sigma` a new encoder maximises E log q(z|x), the forward KL. With it, decoder and encoder
    maximise the ELBO from where both start; it says whether the scale of the decoder's image noise stays
    `fixed` or is `learned`. The images' own noise stays in both.
    """
    variant = run.keys.get("sigma")
    arrays = read_arrays(run.inputs["start"])
    truth, decoder = (Decoder.from_arrays(arrays).to(run.device) for _ in range(2))
    decoder.log_sigma.requires_grad_(variant == "learned")
    if variant:
        encoder = Encoder.from_arrays(store.part("encoder", arrays)).to(run.device)
    else:
        weights = torch_generator(settings.seed, "efvae.pretrain", "weights")
        encoder = Encoder(*truth.generator.sizes, weights).to(run.device)
    name = "joint" if variant else "pretrain"

    def objective(i: int) -> Tensor:
        random = torch_generator(settings.seed, f"efvae.{name}", i, device=run.device)
        z, x = truth.draw(settings.batch, random)
        if variant:
            log_likelihood, kl = elbo_terms(decoder, encoder, x, random).mean(1)
            return log_likelihood - kl
        mean, log_scale = encoder.moments(x)
        return gaussian_log_density(z, mean, 2 * log_scale).mean()

    networks = {"encoder": encoder} | ({"decoder": decoder} if variant else {})
    maximise(
        objective, networks, settings, Work.in_module(__name__, settings, run, f"celeba-{variant or name}")
    )
    return {"model": {"data": arrays["data"], **decoder.to_arrays(), **store.joined({"encoder": encoder})}}
