"""How the image networks are trained: Adam, and a table of what is maximised."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from elbogap.papers.efvae.settings import CelebaTraining, ImageTraining
from elbogap.training import Part, Work, descend, train


def adam(settings: ImageTraining, *networks: nn.Module) -> torch.optim.Adam:
    """The optimiser of all parameters that are to be trained."""
    parameters = [value for network in networks for value in network.parameters() if value.requires_grad]
    return torch.optim.Adam(parameters, lr=settings.learning_rate, betas=(settings.beta1, 0.999))


def curve(settings: ImageTraining, steps: int, records: Tensor, columns: Sequence[str]) -> pd.DataFrame:
    """The last `step` of each of the records `[R, C, 1]`, and means of the C columns over it."""
    done = np.minimum(np.arange(1, len(records) + 1) * settings.record_steps, steps)
    return pd.DataFrame({"step": done}).join(pd.DataFrame(records.squeeze(-1).numpy(), columns=columns))


def maximise(
    objective: Callable[[int], Sequence[Tensor]],
    columns: Sequence[str],
    networks: Mapping[str, nn.Module],
    settings: CelebaTraining,
    work: Work,
) -> pd.DataFrame:
    """Train networks in place; :func:`curve` of what the objective gave.

    Args:
        objective: of step i a scalar to maximise, and others that are recorded beside it.
        columns: names of these scalars.
        networks: by name; parameters that require no gradient stay as they are.
        settings: of the training, all but the minibatch.
        work: what this is called, where its checkpoint lies, and when to stop.
    """
    optimiser = adam(settings, *networks.values())

    def step(i: int) -> Tensor:
        values = objective(i)
        descend(-values[0], optimiser)
        return torch.stack([value.detach() for value in values])[:, None]

    parts: dict[str, Part] = {**networks, "optimiser": optimiser}
    records = train(step, steps=settings.steps, record_every=settings.record_steps, parts=parts, work=work)
    return curve(settings, settings.steps, records, columns)
