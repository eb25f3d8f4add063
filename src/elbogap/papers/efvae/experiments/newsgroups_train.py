"""Train the text VAEs of one group of cells by ARM (efvae, Table 2 and appendix C.2).

Deviations: learning rate and minibatch size are lost in the document; they are the replication's (Kyrylov,
Bedi and Zang 2023). The last incomplete minibatch of each epoch is dropped.
"""

from collections.abc import Mapping
from functools import lru_cache, partial
from itertools import product
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.ensemble import minibatches
from elbogap.errors import named, refuse_too_large
from elbogap.inference.families.bernoulli import BernoulliCodes
from elbogap.inference.noise import draw
from elbogap.inference.objectives.codes import ARM
from elbogap.papers.efvae.settings import NewsgroupsTrain as Settings
from elbogap.papers.efvae.text_vae import Counts, TextVae
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_arrays
from elbogap.training import Part, Work, descend, train


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train the cells named `cells` (key) on the input `documents`.

    Returns `curves`: per cell, measured epoch and part, in nats per document, `nll`, minus log-likelihood at
    a code drawn from q(z|x), without the base measure, and `kl`, of q(z|x) from the uniform p(z); `codes`:
    the most probable code of each document at the end, bits packed by rows, `<cell>_<part>`. UserError for a
    minibatch larger than the training set, or an unknown name.
    """
    name = run.keys["cells"]
    group = named(settings.cells, name, "efvae.newsgroups_train: no cells")
    arrays = read_arrays(run.inputs["documents"])
    parts = {part: Counts.of(arrays, part, run.device) for part in ("train", "test")}
    refuse_too_large(settings.batch, len(parts["train"]), "efvae.newsgroups_train", "documents")
    frequencies = torch.from_numpy(arrays["frequencies"]).float()
    curves, codes = [], {}
    for encoder, bits, hidden in product(group.encoders, group.bits, group.hidden):
        cell = f"{encoder}_{bits}_{hidden}"
        generator = torch_generator(settings.seed, "efvae.newsgroups", cell)
        vae = TextVae(encoder, bits, hidden, settings.width, frequencies, generator).to(run.device)
        key = {"data": str(arrays["data"]), "encoder": encoder, "bits": bits, "hidden": hidden}
        curves += [{"document": "efvae"} | key | row for row in _train(settings, run, cell, vae, parts)]
        for part, counts in parts.items():
            with torch.no_grad():
                logits = torch.cat([vae.logits(batch) for batch in counts.split(settings.batch)])
            codes[f"{cell}_{part}"] = np.packbits((logits > 0).cpu().numpy(), axis=1)
    return {"curves": pd.DataFrame(curves), "codes": codes}


def _train(
    settings: Settings, run: Run, cell: str, vae: TextVae, parts: Mapping[str, Counts]
) -> list[dict[str, Any]]:
    """Train a model in place; what was measured, per epoch and part."""
    documents = parts["train"]
    optimiser = torch.optim.Adam(vae.parameters(), lr=settings.learning_rate, fused=True)
    measured: list[dict[str, Any]] = []
    samples = [phase.samples for phase in settings.phases for _ in range(phase.epochs)]
    steps = len(documents) // settings.batch
    stream = partial(torch_generator, settings.seed, "efvae.newsgroups", device=run.device)

    @lru_cache(maxsize=1)
    def batches(epoch: int) -> list[tuple[Counts, Tensor]]:
        """Minibatches of an epoch, from 0, each with its uniform noise `[S, B, L]`."""
        random = stream(cell, epoch)
        order = minibatches(len(documents), settings.batch, random)
        shape = (steps, samples[epoch], settings.batch, vae.bits)
        uniforms = torch.rand(shape, generator=random, device=run.device)
        return list(zip(map(documents.take, order), uniforms, strict=True))

    def step(i: int) -> Tensor:
        epoch, k = divmod(i - 1, steps)
        counts, uniforms = batches(epoch)[k]
        q, nll_of = BernoulliCodes(vae.logits(counts)), vae.nll(counts)
        elbo = ARM().estimate(q, lambda codes: -nll_of(codes), {"uniform": uniforms}).mean().mean()
        descend(-elbo, optimiser)
        done = epoch + 1
        if k == steps - 1 and (done % settings.measure_epochs == 0 or done == len(samples)):
            for part, of_part in parts.items():
                nll, kl = measure(vae, of_part, settings.batch, stream("measure", part))
                measured.append({"epoch": done, "part": part, "nll": nll, "kl": kl})
        return elbo.detach()

    state: dict[str, Part] = {"model": vae, "optimiser": optimiser, "measured": measured}
    work = Work.in_module(__name__, settings, run, f"newsgroups-{cell}")
    train(step, steps=len(samples) * steps, record_every=steps, parts=state, work=work)
    return measured


@torch.no_grad()
def measure(vae: TextVae, documents: Counts, batch: int, generator: torch.Generator) -> list[float]:
    """Means over documents of the NLL at a code drawn from q(z|x), and of KL(q || p), in nats."""
    total = torch.zeros(2, dtype=torch.float64, device=documents.words.device)
    for counts in documents.split(batch):
        q = BernoulliCodes(vae.logits(counts))
        nll = vae.nll(counts)(q.sample(draw(q.noise(len(counts)), generator)))
        total += torch.stack([nll.double().sum(), q.kl_to_uniform().double().sum()])
    return (total / len(documents)).tolist()
