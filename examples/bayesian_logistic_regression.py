"""A user's own Bayesian logistic regression by mean field, VCD, SIVI and UIVI, with HMC as the reference.

The features are correlated, so the posterior is, and the factorised q of least KL(q || p) has standard
deviations that are too small. The table has those of each weight by method.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from elbogap.densities import (
    bernoulli_log_likelihood,
    gaussian_log_density,
    isotropic_gaussian_log_density,
)
from elbogap.inference import hmc
from elbogap.inference.contrastive import vcd_objective
from elbogap.inference.semi_implicit import SemiImplicit, sivi_bound, uivi_gradient
from elbogap.nn.mlp import MLP

random = torch.Generator().manual_seed(0)
STEP = torch.tensor(0.2)  # of the leapfrog integrator


def normal(*shape: int) -> Tensor:
    """Standard normal draws."""
    return torch.randn(*shape, generator=random)


X = torch.cat([normal(80, 1) + 0.4 * normal(80, 3), torch.ones(80, 1)], 1)  # three alike and a constant
Y = torch.bernoulli((X @ torch.tensor([1.0, -0.5, 1.5, 0.5])).sigmoid(), generator=random)


def log_joint(w: Tensor) -> Tensor:
    """y ~ Bernoulli(sigmoid(X w)), w ~ N(0, 4 I); draws `[..., 4]` to `[...]`."""
    return bernoulli_log_likelihood(Y, w @ X.T) + isotropic_gaussian_log_density(w, torch.zeros(4), 4.0)


def maximise(objective: Callable[[], Tensor], parameters: list[Tensor], steps: int = 600) -> None:
    """Adam, with a learning rate that falls to 0."""
    optimiser = torch.optim.Adam(parameters, lr=0.03)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        (-objective().mean()).backward()
        optimiser.step()
        schedule.step()


def gaussian(method: str) -> Tensor:
    """A factorised Gaussian, by the ELBO or by VCD with 3 iterations; draws `[S, 4]`."""
    mean, log_deviation = torch.zeros(4, requires_grad=True), torch.zeros(4, requires_grad=True)
    baseline = torch.zeros(())

    def log_q(w: Tensor) -> Tensor:
        return gaussian_log_density(w, mean, 2 * log_deviation)

    def objective() -> Tensor:
        start = mean + log_deviation.exp() * normal(64, 4)
        if method == "mean field":
            return log_joint(start) - log_q(start)
        end = hmc.sample(log_joint, start, hmc.Noise.draw(3, start, random), step_size=STEP).last
        divergence = vcd_objective(log_joint, log_q, start, end, baseline)
        baseline.lerp_(divergence.refined.mean(), 0.1)
        return -divergence.surrogate

    maximise(objective, [mean, log_deviation])
    return mean + log_deviation.exp() * normal(20_000, 4)


def semi_implicit(method: str) -> Tensor:
    """Gaussians mixed by a network of 4 noises, by SIVI with L = 50 or by UIVI; draws `[S, 4]`."""
    network, log_deviation = MLP(1, [4, 32, 4], "tanh", random), torch.full((4,), -1.0, requires_grad=True)
    q = SemiImplicit(network, log_deviation)

    def objective() -> Tensor:
        noise, draws = normal(1, 64, 4), normal(1, 64, 4)
        if method == "SIVI":
            return sivi_bound(log_joint, q, noise, draws, normal(1, 50, 64, 4))
        chain = hmc.Noise.draw(4, noise, random)
        return uivi_gradient(log_joint, q, q, noise, draws, chain, step_size=STEP, burn_in=2).surrogate

    maximise(objective, [*network.parameters(), log_deviation])
    return q.place(normal(1, 20_000, 4), normal(1, 20_000, 4))[0]


def reference() -> Tensor:
    """The posterior itself, by 100 chains; draws `[S, 4]`."""
    start = torch.zeros(100, 4)
    chains = hmc.sample(log_joint, start, hmc.Noise.draw(500, start, random), step_size=STEP)
    return chains.draws[100:].flatten(0, 1)


def main() -> None:
    """Fit and print."""
    fits = {"HMC": reference()}
    fits |= {method: gaussian(method) for method in ("mean field", "VCD")}
    fits |= {method: semi_implicit(method) for method in ("SIVI", "UIVI")}
    print("standard deviation of   w1    w2    w3    w4")
    for name, draws in fits.items():
        print(f"{name:20}", *(f"{one:5.2f}" for one in draws.detach().std(0).tolist()))


if __name__ == "__main__":
    main()
