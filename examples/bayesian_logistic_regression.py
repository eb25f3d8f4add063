"""A user's own Bayesian logistic regression by five methods, with HMC as the reference.

The features are correlated, so the posterior is, and the factorised q of least KL(q || p) has standard
deviations that are too small. The table has those of each weight by method.
"""

import torch
import zuko
from torch import Tensor

from elbogap.densities import bernoulli_log_likelihood, isotropic_gaussian_log_density
from elbogap.inference import hmc
from elbogap.inference.families.base import Family
from elbogap.inference.families.flow import Flow
from elbogap.inference.families.gaussian import DiagonalGaussian
from elbogap.inference.families.semi_implicit import SemiImplicit
from elbogap.inference.noise import draw
from elbogap.inference.objectives.base import Objective
from elbogap.inference.objectives.contrastive import VCD
from elbogap.inference.objectives.elbo import ELBO, SIVI
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import MLP

torch.manual_seed(0)
random = torch.Generator().manual_seed(0)
STEPS = 600


def normal(*shape: int) -> Tensor:
    """Standard normal draws."""
    return torch.randn(*shape, generator=random)


X = torch.cat([normal(80, 1) + 0.4 * normal(80, 3), torch.ones(80, 1)], 1)  # three alike and a constant
Y = torch.bernoulli((X @ torch.tensor([1.0, -0.5, 1.5, 0.5])).sigmoid(), generator=random)


def log_joint(w: Tensor) -> Tensor:
    """y ~ Bernoulli(sigmoid(X w)), w ~ N(0, 4 I); draws `[..., 4]` to `[...]`."""
    return bernoulli_log_likelihood(Y, w @ X.T) + isotropic_gaussian_log_density(w, torch.zeros(4), 4.0)


def gaussian() -> tuple[Family, list[Tensor]]:
    """The mean field and its parameters."""
    mean, log_variance = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    return DiagonalGaussian(mean, log_variance), [mean, log_variance]


def semi_implicit() -> tuple[Family, list[Tensor]]:
    """Gaussians mixed by a network of 4 noises."""
    network, log_scale = MLP(1, [4, 32, 4], "tanh", random), torch.full((4,), -1.0, requires_grad=True)
    return SemiImplicit(network.layers(), log_scale, mixing=4), [*network.parameters(), log_scale]


def flow() -> tuple[Family, list[Tensor]]:
    """Any normalising flow of the package zuko."""
    network = zuko.flows.MAF(features=4, transforms=2, hidden_features=(32,))
    return Flow(network), list(network.parameters())


def maximise(
    objective: Objective, q: Family, parameters: list[Tensor], mixing: int, steps: int = 600
) -> None:
    """Adam with 64 draws of q per step, and a learning rate that falls to 0."""
    optimiser = torch.optim.Adam(parameters, lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    specs, state = objective.noise(64, dimensions=4, mixing=mixing), objective.initial_state()
    for _ in range(STEPS):
        loss = -objective.estimate(q, log_joint, draw(specs, random), state).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()


METHODS = {
    "mean field": (ELBO(), gaussian, 0),
    "VCD": (VCD(hmc.Kernel(3), step_size=0.2), gaussian, 0),
    "flow": (ELBO(), flow, 0),
    "SIVI": (SIVI(num_mixing=50), semi_implicit, 4),
    "UIVI": (UIVI(hmc.Kernel(4, burn_in=2), step_size=0.2), semi_implicit, 4),
}


def main() -> None:
    """Fit and print."""
    start = torch.zeros(100, 4)
    chains = hmc.sample(log_joint, start, hmc.draw_noise(500, start, random), step_size=0.2)
    draws = {"HMC": chains.draws[100:].flatten(0, 1)}
    for name, (objective, family, mixing) in METHODS.items():
        q, parameters = family()
        maximise(objective, q, parameters, mixing)
        draws[name] = q.sample(draw(q.noise(20_000), random))
    print("standard deviation of   w1    w2    w3    w4")
    for name, w in draws.items():
        print(f"{name:20}", *(f"{scale:5.2f}" for scale in w.std(0).tolist()))


if __name__ == "__main__":
    main()
