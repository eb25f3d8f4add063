"""Train the text VAEs of one group of cells by ARM (efvae, Table 2 and appendix C.2).

Deviations: Adam's rate and the size of minibatches are lost in the document, and those of the replication by
Kyrylov, Bedi and Zang (2023) are taken. The last incomplete minibatch of each epoch is dropped.
"""

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.ensemble import minibatches
from elbogap.errors import UserError
from elbogap.inference.families.bernoulli import BernoulliCodes
from elbogap.inference.noise import draw
from elbogap.inference.objectives.codes import ARM
from elbogap.papers.efvae.documents import Counts
from elbogap.papers.efvae.settings import NewsgroupsTrain as Settings
from elbogap.papers.efvae.text_vae import TextVae
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Work, train

PARTS = ("train", "test")


@dataclass(frozen=True)
class Cell:
    """One model of Table 2."""

    encoder: str
    bits: int
    hidden: int

    def __str__(self) -> str:
        """Its name in files."""
        return f"{self.encoder}_{self.bits}_{self.hidden}"


@dataclass
class Measurements:
    """What was measured so far; a part of the training."""

    rows: list[dict[str, Any]] = field(default_factory=list)

    def state_dict(self) -> dict[str, Any]:
        """All rows."""
        return {"rows": self.rows}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what :meth:`state_dict` gave."""
        self.rows = list(state["rows"])


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train the cells named `cells` (key) on the input `documents`.

    Returns:
        `curves`: per cell, measured epoch and part, in nats per document, `nll`, minus log-likelihood at a
        code drawn from q(z|x), without the base measure, and `kl`, of q(z|x) from the uniform p(z); `codes`:
        the most probable code of each document at the end, bits packed by rows, `<cell>_<part>`.

    Raises:
        UserError: a minibatch larger than the training set, or an unknown name.
        OutOfTime: the time budget is spent.
    """
    name = run.keys["cells"]
    if name not in settings.cells:
        raise UserError(
            f"efvae.newsgroups_train: no cells '{name}'; the settings have {', '.join(settings.cells)}"
        )
    group = settings.cells[name]
    arrays = read_arrays(run.inputs["documents"])
    parts = {part: Counts.of(arrays, part, run.device) for part in PARTS}
    if settings.batch > len(parts["train"]):
        raise UserError(
            f"efvae.newsgroups_train: batch {settings.batch} exceeds the {len(parts['train'])} documents"
        )
    frequencies = torch.from_numpy(arrays["frequencies"]).float()
    rows: list[dict[str, Any]] = []
    codes = {}
    for one in product(group.encoders, group.bits, group.hidden):
        cell = Cell(*one)
        generator = torch_generator(settings.seed, "efvae.newsgroups", str(cell))
        vae = TextVae(*one, settings.width, frequencies, generator).to(run.device)
        work = Work.of(
            run,
            f"newsgroups-{cell}",
            provenance.identity(__name__, settings, run),
            settings.checkpoint_seconds,
        )
        key = {"document": "efvae", "data": str(arrays["data"]), **asdict(cell)}
        rows += [key | row for row in _train(settings, cell, vae, parts, work)]
        for part, counts in parts.items():
            with torch.no_grad():
                logits = torch.cat([vae.logits(batch) for batch in counts.split(settings.batch)])
            codes[f"{cell}_{part}"] = np.packbits((logits > 0).cpu().numpy(), axis=1)
    return {"curves": pd.DataFrame(rows), "codes": codes}


def _train(
    settings: Settings, cell: Cell, vae: TextVae, parts: Mapping[str, Counts], work: Work
) -> list[dict[str, Any]]:
    """Train a model in place; what was measured, per epoch and part."""
    documents = parts["train"]
    device = documents.words.device.type
    optimiser = torch.optim.Adam(vae.parameters(), lr=settings.learning_rate, fused=True)
    measured = Measurements()
    samples = [phase.samples for phase in settings.phases for _ in range(phase.epochs)]
    steps = len(documents) // settings.batch
    epoch_of = _epochs(settings, cell, documents, samples)

    def step(i: int) -> Tensor:
        epoch, k = divmod(i - 1, steps)
        counts, uniforms = epoch_of(epoch)[k]
        q, nll_of = BernoulliCodes(vae.logits(counts)), vae.nll(counts)
        elbo = ARM().estimate(q, lambda codes: -nll_of(codes), {"uniform": uniforms}).mean().mean()
        optimiser.zero_grad(set_to_none=True)
        (-elbo).backward()
        optimiser.step()
        done = epoch + 1
        if k == steps - 1 and (done % settings.measure_epochs == 0 or done == len(samples)):
            for part, of_part in parts.items():
                generator = torch_generator(settings.seed, "efvae.newsgroups", "measure", part, device=device)
                nll, kl = measure(vae, of_part, settings.batch, generator)
                measured.rows.append({"epoch": done, "part": part, "nll": nll, "kl": kl})
        return elbo.detach()

    train(
        step,
        steps=len(samples) * steps,
        record_every=steps,
        parts={"model": vae, "optimiser": optimiser, "measured": measured},
        work=work,
    )
    return measured.rows


@torch.no_grad()
def measure(vae: TextVae, documents: Counts, batch: int, generator: torch.Generator) -> tuple[float, float]:
    """Means over documents of the NLL at a code drawn from q(z|x), and of KL(q || p), in nats."""
    total = torch.zeros(2, dtype=torch.float64, device=documents.words.device)
    for counts in documents.split(batch):
        q = BernoulliCodes(vae.logits(counts))
        nll = vae.nll(counts)(q.sample(draw(q.noise(len(counts)), generator)))
        total += torch.stack([nll.double().sum(), q.kl_to_uniform().double().sum()])
    nll_mean, kl_mean = (total / len(documents)).tolist()
    return nll_mean, kl_mean


def _epochs(
    settings: Settings, cell: Cell, documents: Counts, samples: list[int]
) -> Callable[[int], list[tuple[Counts, Tensor]]]:
    """Minibatches of an epoch, from 0, each with its uniform noise `[S, B, L]`; the last epoch is kept."""
    kept: dict[int, list[tuple[Counts, Tensor]]] = {}
    device = documents.words.device

    def of_epoch(epoch: int) -> list[tuple[Counts, Tensor]]:
        if epoch not in kept:
            kept.clear()
            generator = torch_generator(
                settings.seed, "efvae.newsgroups", str(cell), epoch, device=device.type
            )
            order = minibatches(len(documents), settings.batch, generator)
            shape = (len(order), samples[epoch], settings.batch, cell.bits)
            uniforms = torch.rand(shape, generator=generator, device=device)
            kept[epoch] = list(
                zip(documents.take(order.flatten()).split(settings.batch), uniforms, strict=True)
            )
        return kept[epoch]

    return of_epoch
