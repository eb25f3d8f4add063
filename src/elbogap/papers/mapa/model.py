"""The models of document mapa, x = f(h(z)) + e with z ~ N(0, 1), e ~ N(0, sigma^2 I) and x in the plane."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from elbogap.data import synthetic
from elbogap.densities import isotropic_gaussian_log_density, pairwise_gaussian_log_density
from elbogap.errors import UserError
from elbogap.evaluation.pushforward import log_evidence
from elbogap.evaluation.quadrature import PairwiseLogLikelihood
from elbogap.inference.objectives.base import StandardNormalPrior
from elbogap.inference.prior_recovery import MonotoneMap, quantile_map, smoothed
from elbogap.nn.mlp import MLP
from elbogap.nn.store import Stored
from elbogap.papers.mapa.methods import QUANTILE_MAP, SMOOTHED_MAP, STANDARD, Cell
from elbogap.runtime import Run, numpy_generator
from elbogap.tables import read_table

Part = Literal["train", "valid", "test"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Model:
    """A decoder f, one network, with its noise and the law h of its codes, in float64; None is h(z) = z."""

    decoder: MLP
    noise_variance: float
    law: MonotoneMap | None = None

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """f(c), `[..., 1]` to `[..., 2]`, on the device of the codes."""
        return self.decoder.to(codes.device)(codes[None])[0]

    def mean(self, z: Tensor) -> Tensor:
        """f(h(z)), `[..., 1]` to `[..., 2]`."""
        return self.decode(z if self.law is None else self.law.to(z.device)(z))

    def log_joint(self, x: Tensor) -> StandardNormalPrior:
        """log p(x_b, z) in nats of draws z `[..., B, 1]`, for x `[B, 2]`: `[..., B]`, without gradient."""
        variance = self.noise_variance
        return StandardNormalPrior(lambda z: isotropic_gaussian_log_density(x, self.mean(z), variance))

    @property
    def log_likelihood(self) -> PairwiseLogLikelihood:
        """log p(x_b|f_q) of all pairs; with observations in place of f_q it is MAPA's kernel k(x_b|x_q)."""
        return partial(pairwise_gaussian_log_density, variance=self.noise_variance)

    def log_evidence(self, x: Tensor, tolerance: float = 1e-8) -> Tensor:
        """log p(x) by quadrature, `[N, 2]` to `[N]`, in nats, on the CPU; may raise Unresolved."""
        return log_evidence(self.decode, self.log_likelihood, x, self.law, tolerance=tolerance).cpu()


@dataclass(frozen=True, eq=False, kw_only=True)
class GroundTruth(Model):
    """The surrogate of a problem's decoder, as experiment `mapa.surrogate` stored it."""

    problem: str

    @classmethod
    def load(cls, name: str, path: Path) -> Self:
        """The ground truth of problem `name`."""
        decoder = Stored.load(path).networks["decoder"].double()
        return cls(problem=name, decoder=decoder, noise_variance=synthetic.problem(name).noise_variance)

    def key(self) -> dict[str, Any]:
        """Columns `document`, `problem`."""
        return {"document": "mapa", "problem": self.problem}

    def data_set(self, points: int, seed: int, draw: int, part: Part = "train") -> tuple[Tensor, Tensor]:
        """Latent values z `[N, 1]` and observations x `[N, 2]` of a draw; draws and parts are independent."""
        keys = () if part == "train" else (part,)
        generator = numpy_generator(seed, "mapa data set", self.problem, draw, *keys)
        z = torch.from_numpy(generator.standard_normal((points, 1)))
        noise = torch.from_numpy(generator.standard_normal((points, 2)))
        return z, self.decode(z) + np.sqrt(self.noise_variance) * noise


@dataclass(frozen=True, eq=False, kw_only=True)
class Trained(Model):
    """A model that experiment `mapa.train` made."""

    truth: GroundTruth  # what made its data
    cell: Cell
    draw: int  # number of its data set
    restart: int
    encoder: MLP  # of x: one network, whose outputs are the heads of q(z|x), or the code g(x) for MAPA
    prior: str | None  # how it came by its standard normal prior; None before, where z is a code of the data
    bound: float  # last recorded mean of the training objective, in nats
    drift: float  # what it rose by from the third to the last quarter of training
    passes: float  # decoder evaluations per training step, over the batch size
    points: int  # size N of its training set
    batch: int  # observations per step of its training
    seed: int  # base seed of its data sets

    @property
    def name(self) -> str:
        """For messages, e.g. `vae-1.0`: its cell, draw and restart."""
        return f"{self.cell.name}-{self.draw}.{self.restart}"

    @torch.no_grad()
    def encode(self, x: Tensor) -> Tensor:
        """The heads of q(z|x), or g(x) `[..., 1]`, of x `[..., 2]`."""
        return self.encoder(x[None])[0]

    def key(self) -> dict[str, Any]:
        """Columns `cell`, `method`, `S`, `k_share`, `draw`, `restart`."""
        return {"cell": self.cell.name, **self.cell.key(), "draw": self.draw, "restart": self.restart}

    def data_set(self, part: Part = "train", points: int | None = None) -> tuple[Tensor, Tensor]:
        """Latent values z `[N, 1]` and observations x `[N, 2]`: its training set, or others of its draw."""
        return self.truth.data_set(points or self.points, self.seed, self.draw, part)

    def recovered(self, width: float = 0.0) -> Self:
        """The same with the quantile map of its training set's codes as h, unless its prior is standard.

        With a width, the map is :func:`smoothed`.
        """
        if self.prior is not None:
            return self
        exact = quantile_map(self.encode(self.data_set()[1])[:, 0])
        if width:
            return replace(self, law=smoothed(exact, width), prior=SMOOTHED_MAP)
        return replace(self, law=exact, prior=QUANTILE_MAP)

    def diverged(self) -> bool:
        """Whether a weight, or a reconstruction of its training set, is not finite in single precision."""
        values: list[Tensor] = [*self.decoder.parameters(), *self.encoder.parameters()]
        if self.prior is None:
            codes = self.encode(self.data_set()[1])
            values += [codes, self.decode(codes)]
        return not all(value.float().isfinite().all() for value in values)


def drift(bounds: np.ndarray) -> float:
    """The rise of recorded means of the objective `[K]` from the third to the last quarter; NaN for K = 1."""
    quarter = max(1, len(bounds) // 4)
    return (
        float(bounds[-quarter:].mean() - bounds[-2 * quarter : -quarter].mean())
        if bounds[1:].size
        else np.nan
    )


def load(truth: GroundTruth, name: str, path: Path) -> list[Trained]:
    """The models of cell `name`, ordered by draw, then restart."""
    stored, cell = Stored.load(path), Cell.parse(name)
    values = stored.values
    decoder, encoder = (stored.networks[part].double() for part in ("decoder", "encoder"))
    return [
        Trained(
            decoder=decoder.select([m]),
            encoder=encoder.select([m]),
            noise_variance=truth.noise_variance,
            truth=truth,
            cell=cell,
            draw=draw,
            restart=restart,
            prior=STANDARD if cell.method.posterior else None,
            bound=float(values["bound"][m, -1]),
            drift=drift(values["bound"][m]),
            passes=float(values["passes"][m]),
            points=int(values["points"]),
            batch=int(values["batch"]),
            seed=int(values["seed"]),
        )
        for m, (draw, restart) in enumerate(np.stack([values["draw"], values["restart"]], 1).tolist())
    ]


def of_the_same_data(experiment: str, models: Sequence[Trained]) -> Trained:
    """Any of the models; raises UserError unless all have the same data sets."""
    if len({(model.points, model.seed) for model in models}) != 1:
        raise UserError(f"mapa.{experiment}: the cells are of different data sets; rebuild their models")
    return models[0]


def selected(
    truth: GroundTruth, run: Run, cells: Sequence[str], draws: Iterable[int] | None = None
) -> list[list[Trained]]:
    """Each cell's best models by validation likelihood, with a prior, for each of the data draws, or for all.

    The inputs of the run are the table `density` of experiment `mapa.density`, and models by cell; UserError
    if the table has no selected model of a cell and draw, or names a model that there is not.
    """
    density, chosen = read_table(run.inputs["density"]), []
    for name in cells:
        prior = STANDARD if Cell.parse(name).method.posterior else QUANTILE_MAP
        members = {(model.draw, model.restart): model for model in load(truth, name, run.inputs[name])}
        ours = (density["cell"] == name) & (density["prior"] == prior)
        restarts = density[ours & density["selected"]].set_index("draw")["restart"]
        keys = [(draw, restarts.get(draw)) for draw in draws or sorted({draw for draw, _ in members})]
        if lost := [draw for draw, restart in keys if (draw, restart) not in members]:
            raise UserError(
                f"no selected model of {name} on data set {lost[0]} of {truth.problem}; rebuild the table of "
                "densities, or ask for fewer draws"
            )
        chosen.append([members[key].recovered() for key in keys])
    return chosen
