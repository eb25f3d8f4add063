"""How biased the document's estimate of the likelihood is (mapa, section 6; the comparison is ours).

The document fits a mixture encoder q(z|x) to the fixed model with IWAE and reports the bound with many more
samples. Not stated, and ours: draws are stratified over the components, log-variances and weights are free.
MAPA's models have their prior recovered by the exact quantile map.
"""

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.ensemble import fit, in_chunks
from elbogap.errors import refuse_too_large
from elbogap.inference import noise
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.objectives.elbo import IWAE
from elbogap.nn.mlp import MLP, Network
from elbogap.papers.mapa.model import GroundTruth, Model, of_the_same_data, selected
from elbogap.papers.mapa.settings import Protocol as Settings
from elbogap.papers.mapa.training import TrainingSets, variational
from elbogap.runtime import Run, torch_generator
from elbogap.training import Work, tabulate

GROUND_TRUTH = "ground_truth"
CHECKPOINT_SECONDS = 30.0
ROWS = {"cpu": 2**17, "cuda": 2**23}  # network rows of the models that are fitted together in one step
TERMS = {"cpu": 2**18, "cuda": 2**26}  # draws times components held in memory at once

Case = tuple[Model, dict[str, Any]]
"""A model whose likelihood is estimated, and its columns: `cell`, or :data:`GROUND_TRUTH`, to `restart`."""


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, object]]:
    """Estimate the likelihood of the selected models of the problem `problem`, and of the ground truth.

    The inputs are `surrogate`, `density` (the table that selects restarts), and models by cell.

    Returns:
        `protocol`: one row per cell and data draw, in nats, means over test observations of log p(x), and of
        log p_GT(x) - log p(x), by the protocol and by quadrature, with their differences.
        `timing`: wall seconds per model, and the `ratio` of protocol to quadrature. Models of one cell are
        fitted together, and divide that time, which is null where an earlier, stopped run did part of it.

    UserError for sizes that do not fit together, or a cell and draw without a selected model.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    draws, count = range(settings.draws), settings.test_points
    cells = selected(truth, run, settings.cells, draws)
    trained = of_the_same_data("protocol", [model for models in cells for model in models])
    refuse_too_large(settings.batch, trained.points, "mapa.protocol", "training points")
    x = [truth.data_set(trained.points, trained.seed, draw)[1] for draw in draws]
    test = [truth.data_set(count, trained.seed, draw, "test")[1] for draw in draws]
    of_truth = {"cell": GROUND_TRUTH, "method": GROUND_TRUTH, "S": None, "k_share": None}
    of_cells: list[Sequence[Case]] = [
        [(truth, {**of_truth, "draw": draw, "restart": None}) for draw in draws],
        *([(model, model.key()) for model in models] for models in cells),
    ]
    cases = [case for of_cell in of_cells for case in of_cell]
    size = max(1, ROWS[run.device] // (settings.samples * settings.batch))
    chunks = [in_chunks(of_cell, size, partial(_fit, settings, run, truth, x)) for of_cell in of_cells]
    encoded = [fitted for of_cell in chunks for chunk in of_cell for fitted in chunk]

    def row(i: int) -> Tensor:
        """Bound and exact value of log p(x) of every test observation, and their seconds, `[2 T + 2]`."""
        (model, columns), (encoder, _) = cases[i], encoded[i]
        key = (settings.seed, "mapa.protocol", "bound", truth.problem, columns["cell"], columns["draw"])
        start, held_out = time.perf_counter(), test[columns["draw"]]
        bound = bound_of(settings, model, held_out, encoder, torch_generator(*key, device=run.device))
        middle = time.perf_counter()
        exact = model.log_evidence(held_out)
        seconds = torch.tensor([middle - start, time.perf_counter() - middle], dtype=torch.float64)
        return torch.cat([bound, exact, seconds])

    work = Work.of(run, f"{truth.problem}-bounds", provenance.identity(__name__, settings, run))
    values = tabulate(row, rows=len(cases), work=work).numpy()
    bounds, exact, seconds = np.split(values, [count, 2 * count], axis=1)
    bias = bounds - exact
    table = pd.DataFrame([{**truth.key(), **columns, "points": count} for _, columns in cases])
    true = table["draw"].to_numpy()  # the row of each case's ground truth: these come first, by draw
    table = table.assign(
        loglik_protocol=bounds.mean(1),
        loglik_quadrature=exact.mean(1),
        bias=bias.mean(1),
        bias_se=bias.std(1, ddof=1) / math.sqrt(count) if count > 1 else math.nan,
        kl_protocol=(bounds[true] - bounds).mean(1),
        kl_quadrature=(exact[true] - exact).mean(1),
        kl_difference=lambda own: own["kl_protocol"] - own["kl_quadrature"],
    )
    times = pd.DataFrame(seconds, columns=["bound_s", "quadrature_s"]).assign(
        fit_s=[fit_s for _, fit_s in encoded],
        ratio=lambda own: (own["fit_s"] + own["bound_s"]) / own["quadrature_s"],
    )
    timings = table[["cell", "draw"]].join(times).astype(object)
    timings = timings.where(timings.notna(), None)
    return {
        "protocol": table.astype({"S": "Int64", "k_share": "Float64", "restart": "Int64"}),
        "timing": {"problem": truth.problem, "models": timings.to_dict("records")},
    }


def means(models: Sequence[Model], device: str) -> Network:
    """z to f(h(z)) of M models, `[M, ..., 1]` to `[M, ..., 2]` in float32, differentiable in z alone."""
    decoders = MLP.joined([model.decoder for model in models]).to(device, torch.float32).requires_grad_(False)
    laws = [None if model.law is None else model.law.to(device) for model in models]

    def of_models(z: Tensor) -> Tensor:
        codes = [own if law is None else law(own).to(z) for own, law in zip(z, laws, strict=True)]
        return decoders(torch.stack(codes))

    return of_models


def _fit(
    settings: Settings, run: Run, truth: GroundTruth, x: Sequence[Tensor], cases: Sequence[Case]
) -> list[tuple[MLP, float]]:
    """The mixture encoders of some cases, each with its part of the fit's seconds, NaN if it was resumed."""
    models = [model for model, _ in cases]
    keys = [(truth.problem, columns["cell"], columns["draw"]) for _, columns in cases]
    seeded = partial(torch_generator, settings.seed, "mapa.protocol")
    streams = [partial(seeded, "epoch", *key, device=run.device) for key in keys]
    weights = [seeded("weights", *key) for key in keys]
    data = torch.stack([x[columns["draw"]].float() for _, columns in cases]).to(run.device)
    sets = TrainingSets(data, truth.noise_variance, settings.batch, streams)
    family, decoder = partial(GaussianMixture.from_heads, dimensions=1), means(models, run.device)
    sizes = [2, *settings.hidden, 3 * settings.components]
    label = "-".join(map(str, (*keys[0], len(cases))))
    work = Work.of(run, label, provenance.identity(__name__, settings, run), CHECKPOINT_SECONDS)
    whole, start = not work.checkpoint.exists(), time.perf_counter()
    encoder = fit(
        variational(IWAE(), family, settings.samples, sets, lambda networks: decoder),
        {"encoder": MLP.independent(sizes, models[0].decoder.activation, weights)},
        epochs=settings.epochs,
        learning_rate=settings.learning_rate,
        record_epochs=settings.epochs,
        work=work,
        device=run.device,
    ).networks["encoder"]
    seconds = (time.perf_counter() - start) / len(cases) if whole else math.nan
    return [(encoder.select([m]), seconds) for m in range(len(cases))]


@torch.no_grad()
def bound_of(settings: Settings, model: Model, x: Tensor, encoder: MLP, generator: torch.Generator) -> Tensor:
    """log p^(x) with `bound_samples` draws of each observation, `[T, 2]` to `[T]` on the CPU, in nats."""
    device = generator.device.type
    encoder, components, most = encoder.to(device, torch.float64), settings.components, TERMS[device]
    per_component = settings.bound_samples // components
    at_once = min(per_component, max(1, most // components**2))
    bounds = []
    for rows in x.to(device).split(max(1, most // (components**2 * at_once))):
        q, parts = GaussianMixture.from_heads(encoder(rows[None])[0], 1), []
        for start in range(0, per_component, at_once):
            count = min(at_once, per_component - start)
            drawn = noise.draw(q.noise(components * count, len(rows)), generator, dtype=torch.float64)
            of_draws = IWAE().estimate(q, model.log_joint(rows), drawn).value
            parts.append(of_draws + math.log(count / per_component))
        bounds.append(torch.logsumexp(torch.stack(parts), 0))
    return torch.cat(bounds).cpu()
