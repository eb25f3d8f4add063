"""Fits a network to an analytic decoder, which then is the ground truth (mapa, appendix C.1).

The document names three layers of 50 units and MSE < 1e-4, but no activation, optimiser or inputs. Here: tanh
(ReLU did not reach 1e-4 on Spiral-Dots), Adam, and the quantiles of the prior.
"""

import numpy as np
import torch
from tqdm import tqdm

from elbogap.data.synthetic import prior_quantiles, problem
from elbogap.errors import UserError
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.mapa.settings import Surrogate as Settings
from elbogap.runtime import Run, torch_generator
from elbogap.stopwatch import spending
from elbogap.training import descend


def run(settings: Settings, run: Run) -> dict[str, dict[str, np.ndarray]]:
    """Fit the surrogate of one problem (key `problem`).

    Returns:
        `surrogate`: a stored network `decoder`, and `mse`, the mean of (f(z) - f_theta(z))^2, z ~ N(0, 1);
        UserError if that is not below the target.
    """
    name = run.keys["problem"]
    target = problem(name)
    generator = torch_generator(settings.seed, "mapa surrogate", name)
    network = MLP(1, [1, *settings.hidden, 2], settings.activation, generator)
    nodes = prior_quantiles(settings.nodes)
    z = torch.from_numpy(nodes[None, :, None]).float()
    x = torch.from_numpy(target.decoder(nodes)[None]).float()
    scale = x.var()
    optimiser = torch.optim.Adam(network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, settings.learning_rate, total_steps=settings.steps, pct_start=0.05, final_div_factor=1e3
    )
    with spending("training"):
        for _ in tqdm(range(settings.steps), desc=name, mininterval=5):
            descend((network(z) - x).square().mean() / scale, optimiser)
            schedule.step()

    nodes = prior_quantiles(settings.check_nodes)
    with torch.no_grad():
        outputs = network.double()(torch.from_numpy(nodes[None, :, None]))[0].numpy()
    mse = np.mean((outputs - target.decoder(nodes)) ** 2)
    if not mse < settings.target_mse:
        raise UserError(
            f"the surrogate of {name} has MSE {mse:.2e}, not below {settings.target_mse:g}; "
            "raise mapa.surrogate.steps or nodes"
        )
    return {"surrogate": Stored({"decoder": network}, {"mse": np.array(mse)}).to_arrays()}
