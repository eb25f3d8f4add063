"""Train the text VAEs of one group of cells by ARM (efvae, Table 2 and appendix C.2).

Deviations: learning rate and minibatch size are lost in the document; they are the replication's (Kyrylov,
Bedi and Zang 2023). The last incomplete minibatch of each epoch is dropped.
"""

import math
from collections.abc import Mapping
from functools import partial
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

ENUMERATED = 8  # the longest codes whose posterior is computed from all codes


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, np.ndarray]]:
    """Train the cells named `cells` (key) on the input `documents`.

    Returns `curves`: per cell, seed, measured epoch and part, in nats per document, `nll`, minus
    log-likelihood at a code drawn from q(z|x), without the base measure, `kl`, of q(z|x) from the uniform
    p(z), and `gap`, of q(z|x) from p(z|x) if codes are short; `codes`: the most probable code of each
    document at the end, bits packed by rows, `<encoder>_<bits>_<hidden>_<seed>_<part>`. UserError for a
    minibatch larger than the training set, or an unknown name.
    """
    name = run.keys["cells"]
    group = named(settings.cells, name, "efvae.newsgroups_train: no cells")
    arrays = read_arrays(run.inputs["documents"])
    parts = {part: Counts.of(arrays, part, run.device) for part in ("train", "test")}
    refuse_too_large(settings.batch, len(parts["train"]), "efvae.newsgroups_train", "documents")
    frequencies = torch.from_numpy(arrays["frequencies"]).float()
    curves, codes = [], {}
    data = {"document": "efvae", "data": str(arrays["data"])}
    for encoder, bits, hidden, seed in product(group.encoders, group.bits, group.hidden, range(group.seeds)):
        cell = f"{encoder}_{bits}_{hidden}_{seed}"
        generator = torch_generator(settings.seed, "efvae.newsgroups", cell)
        kind, scale = encoder[:2], settings.frequency_scale if encoder.endswith("scaled") else 1.0
        vae = TextVae(kind, bits, hidden, settings.width, frequencies, generator, scale).to(run.device)
        key = data | {"encoder": encoder, "bits": bits, "hidden": hidden, "seed": seed}
        curves += [key | row for row in _train(settings, run, cell, vae, parts)]
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

    def step(i: int) -> Tensor:
        epoch, k = divmod(i - 1, steps)
        counts = documents.take(minibatches(len(documents), settings.batch, stream(cell, "order", epoch))[k])
        shape = (samples[epoch], settings.batch, vae.bits)
        uniforms = torch.rand(shape, generator=stream(cell, "noise", i), device=run.device)
        q, nll_of = BernoulliCodes(vae.logits(counts)), vae.nll(counts)
        elbo = ARM().estimate(q, lambda codes: -nll_of(codes), {"uniform": uniforms}).mean().mean()
        descend(-elbo, optimiser)
        done = epoch + 1
        if k == steps - 1 and (done % settings.measure_epochs == 0 or done == len(samples)):
            for part, of_part in parts.items():
                values = measure(vae, of_part, settings.batch, stream("measure", part))
                measured.append({"epoch": done, "part": part, **values})
        return elbo.detach()

    state: dict[str, Part] = {"model": vae, "optimiser": optimiser, "measured": measured}
    work = Work.in_module(__name__, settings, run, f"newsgroups-{cell}")
    train(step, steps=len(samples) * steps, record_every=steps, parts=state, work=work)
    return measured


@torch.no_grad()
def measure(vae: TextVae, documents: Counts, batch: int, generator: torch.Generator) -> dict[str, float]:
    """The columns of the curves, means over documents; `gap` is NaN for long codes."""
    total = torch.zeros(3, dtype=torch.float64, device=documents.words.device)
    for counts in documents.split(batch):
        q = BernoulliCodes(vae.logits(counts))
        nll = vae.nll(counts)(q.sample(draw(q.noise(len(counts)), generator)))
        kl = q.kl_to_uniform()
        gap = vae.bound(counts).gap if vae.bits <= ENUMERATED else torch.full_like(kl, math.nan)
        total += torch.stack([nll, kl, gap]).double().sum(-1)
    return dict(zip(("nll", "kl", "gap"), (total / len(documents)).tolist(), strict=True))
