"""A latent-variable model of one's own data by MAPA: there is no approximate posterior to choose."""

import torch
from sklearn.datasets import make_moons
from torch import Tensor, nn

from elbogap.mapa.kernels import Gaussian, choose_scale
from elbogap.mapa.model import Mapa

VARIANCE = 0.01  # of the noise, which MAPA takes as known


def moons(count: int, seed: int) -> Tensor:
    """Two half circles with noise, `[N, 2]`."""
    return torch.from_numpy(make_moons(count, noise=VARIANCE**0.5, random_state=seed)[0]).float()


def network(inputs: int, outputs: int) -> nn.Sequential:
    """Any module does, for the encoder as for the decoder."""
    return nn.Sequential(
        nn.Linear(inputs, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, outputs)
    )


def main(points: int = 2000, epochs: int = 150) -> tuple[float, Tensor]:
    """Fit, score new observations and draw new ones."""
    torch.manual_seed(0)
    x, new = moons(points, 0), moons(500, 1)
    kernel = choose_scale(Gaussian(VARIANCE), x, [1, 2, 4, 8])
    model = Mapa(network(2, 1), network(1, 2), kernel, code_scale=0.05)
    model.fit(x, epochs=epochs, learning_rate=1e-2)
    likelihood, drawn = float(model.log_prob(new).mean()), model.sample(1000)
    codes = model.posterior(new[:1]).sample(3, torch.Generator()).flatten().tolist()
    print(f"test log-likelihood {likelihood:.2f} nats; codes of the first new point {codes}")
    return likelihood, drawn


if __name__ == "__main__":
    main()
