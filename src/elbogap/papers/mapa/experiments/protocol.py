"""How biased the document's estimate of the likelihood is (mapa, section 6; the comparison is ours).

The document fits a mixture encoder q(z|x) to the fixed model with IWAE and reports the bound with many more
samples. It does not say how the draws choose their component: here they are stratified over the components
(:mod:`elbogap.inference.families.mixture`). The encoder's widths are not stated either; its log-variances and
weights are free, and it is fitted anew for every model, the ground truth included. MAPA's models have their
prior recovered by the exact quantile map, so that the estimate and quadrature are of one and the same model.
"""

import math
import time
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap import provenance
from elbogap.ensemble import fit, in_chunks
from elbogap.errors import UserError
from elbogap.inference import noise
from elbogap.inference.families.mixture import GaussianMixture
from elbogap.inference.objectives.elbo import IWAE
from elbogap.nn.mlp import MLP, Network
from elbogap.papers.mapa.model import GroundTruth, Model, load, of_the_same_data, selected
from elbogap.papers.mapa.settings import Protocol as Settings
from elbogap.papers.mapa.training import TrainingSets, variational
from elbogap.runtime import Run, torch_generator
from elbogap.tables import read_table
from elbogap.training import Work, tabulate

GROUND_TRUTH = "ground_truth"
CHECKPOINT_SECONDS = 30.0
ROWS = {"cpu": 2**17, "cuda": 2**23}  # network rows of the models that are fitted together in one step
TERMS = {"cpu": 2**18, "cuda": 2**26}  # draws times components held in memory at once


class Case(NamedTuple):
    """A model whose likelihood is estimated, its columns from `cell` to `restart`, and its `[N, 2]` data."""

    model: Model
    columns: dict[str, Any]
    train: Tensor
    test: Tensor

    @property
    def key(self) -> tuple[str, int]:
        """Its cell or :data:`GROUND_TRUTH`, and its data set."""
        return self.columns["cell"], self.columns["draw"]


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame | dict[str, object]]:
    """Estimate the likelihood of the selected models of the problem `problem`, and of the ground truth.

    The inputs are `surrogate`, `density` (the table that selects restarts), and models by cell.

    Returns:
        `protocol`: one row per cell and data draw, in nats, means over `points` test observations: log p(x),
        and log p_GT(x) - log p(x), by the protocol and by quadrature, with their differences `bias`
        (`bias_se` is its standard error over observations) and `kl_difference`.
        `timing`: per model, wall seconds of the protocol, `fit_s` and `bound_s`, and `quadrature_s`; models
        of one cell are fitted together, and divide that time. `fit_s` is null where an earlier, stopped run
        did part of the work. `ratio` is protocol over quadrature.

    Raises:
        UserError: sizes that do not fit together, or no selected model of a cell and draw.
        OutOfTime: the time budget is spent.
    """
    truth = GroundTruth.load(run.keys["problem"], run.inputs["surrogate"])
    of_cells = cases(settings, run, truth)
    size = max(1, ROWS[run.device] // (settings.samples * settings.batch))
    chunks = [in_chunks(of_cell, size, partial(_fit, settings, run, truth)) for of_cell in of_cells]
    every = [case for of_cell in of_cells for case in of_cell]
    encoded = [fitted for of_cell in chunks for chunk in of_cell for fitted in chunk]

    def row(i: int) -> Tensor:
        """Bound and exact value of log p(x) of every test observation, and their seconds, `[2 T + 2]`."""
        key = (settings.seed, "mapa.protocol", "bound", truth.problem, *every[i].key)
        generator, start = torch_generator(*key, device=run.device), time.perf_counter()
        bound = bound_of(settings, every[i].model, every[i].test, encoded[i][0], generator)
        middle = time.perf_counter()
        exact = every[i].model.log_evidence(every[i].test)
        seconds = torch.tensor([middle - start, time.perf_counter() - middle], dtype=torch.float64)
        return torch.cat([bound, exact, seconds])

    work = Work.of(run, f"{truth.problem}-bounds", provenance.identity(__name__, settings, run))
    values = tabulate(row, rows=len(every), work=work).numpy()
    count = settings.test_points
    bounds, exact, seconds = np.split(values, [count, 2 * count], axis=1)
    bias = bounds - exact
    true = [case.columns["draw"] for case in every]  # rows of the ground truth: they come first, by draw
    table = pd.DataFrame([{**truth.key(), **case.columns, "points": count} for case in every]).assign(
        loglik_protocol=bounds.mean(1),
        loglik_quadrature=exact.mean(1),
        bias=bias.mean(1),
        bias_se=bias.std(1, ddof=1) / math.sqrt(count) if count > 1 else math.nan,
        kl_protocol=(bounds[true] - bounds).mean(1),
        kl_quadrature=(exact[true] - exact).mean(1),
        kl_difference=lambda own: own["kl_protocol"] - own["kl_quadrature"],
    )
    timings = []
    for case, (_, fit_s), (bound_s, quadrature_s) in zip(every, encoded, seconds.tolist(), strict=True):
        times = {"fit_s": fit_s, "bound_s": bound_s, "quadrature_s": quadrature_s}
        times["ratio"] = (fit_s + bound_s) / quadrature_s
        known = {name: None if math.isnan(value) else value for name, value in times.items()}
        timings.append({"cell": case.key[0], "draw": case.key[1], **known})
    return {
        "protocol": table.astype({"S": "Int64", "k_share": "Float64", "restart": "Int64"}),
        "timing": {"problem": truth.problem, "models": timings},
    }


def cases(settings: Settings, run: Run, truth: GroundTruth) -> list[list[Case]]:
    """The ground truth and the selected models of each cell, on each data set.

    Raises:
        UserError: see :func:`run`.
    """
    density = read_table(run.inputs["density"])
    cells = [load(truth, name, run.inputs[name]) for name in settings.cells]
    any_model = of_the_same_data("protocol", [model for models in cells for model in models])
    if settings.batch > any_model.points:
        raise UserError(
            f"mapa.protocol: batch {settings.batch} exceeds the {any_model.points} training points"
        )

    def case(model: Model, columns: dict[str, Any]) -> Case:
        _, x = truth.data_set(any_model.points, any_model.seed, columns["draw"])
        _, test = truth.data_set(settings.test_points, any_model.seed, columns["draw"], "test")
        return Case(model, columns, x, test)

    draws = range(settings.draws)
    of_truth = {"cell": GROUND_TRUTH, "method": GROUND_TRUTH, "S": None, "k_share": None}
    return [
        [case(truth, {**of_truth, "draw": draw, "restart": None}) for draw in draws],
        *([case(model, model.key()) for model in selected(density, models, draws)] for models in cells),
    ]


def means(models: Sequence[Model], device: str) -> Network:
    """z to f(h(z)) of M models, `[M, ..., 1]` to `[M, ..., 2]` in float32, differentiable in z alone."""
    decoders = MLP.joined([model.decoder for model in models]).to(device, torch.float32).requires_grad_(False)
    laws = [None if model.law is None else model.law.to(device) for model in models]

    def of_models(z: Tensor) -> Tensor:
        codes = [own if law is None else law(own).to(z) for own, law in zip(z, laws, strict=True)]
        return decoders(torch.stack(codes))

    return of_models


def _fit(settings: Settings, run: Run, truth: GroundTruth, cases: Sequence[Case]) -> list[tuple[MLP, float]]:
    """The mixture encoders of some cases of a cell, each with its part of the fit's wall time in seconds.

    The time is NaN where an earlier run did part of the fit.
    """
    keys = [(truth.problem, *case.key) for case in cases]
    streams = [
        partial(torch_generator, settings.seed, "mapa.protocol", "epoch", *key, device=run.device)
        for key in keys
    ]
    weights = [torch_generator(settings.seed, "mapa.protocol", "weights", *key) for key in keys]
    x, models = torch.stack([case.train.float() for case in cases]), [case.model for case in cases]
    sets = TrainingSets(x.to(run.device), truth.noise_variance, settings.batch, streams)
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
    """log p^(x) with `bound_samples` draws of each observation, `[T, 2]` to `[T]`, in nats and float64.

    The work is done on the device of the generator; the result is on the CPU.
    """
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
