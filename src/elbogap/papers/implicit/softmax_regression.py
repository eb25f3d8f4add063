"""Bayesian softmax regression, and q of its weights by UIVI, SIVI and a Gaussian mean field.

Deviations: scales sigma are parametrised by their logarithm; rows are shuffled anew at each measurement.
All methods use that the mean of q is affine in its last hidden layer, which changes no value and no gradient,
but saves most of HMC's and of SIVI's time (:mod:`elbogap.inference.families.affine_mean`). The measured ELBO
takes the log joint of all training points, not of a minibatch: it has the same mean and less noise.
"""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from elbogap.data.loaders import Dataset
from elbogap.densities import log_mean_exp, standard_gaussian_log_density
from elbogap.ensemble import Fit, Monitor, Variational, fit, round_of_minibatches, step_decay
from elbogap.errors import refuse_too_large
from elbogap.inference.families.affine_mean import AffineMean
from elbogap.inference.families.base import LogJoint
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.methods import (
    DECAY,
    initial_networks,
    kernel_of,
    normal,
    objective_of,
    streams,
)
from elbogap.papers.implicit.names import Method
from elbogap.papers.implicit.settings import Points, SoftmaxTraining
from elbogap.runtime import numpy_generator
from elbogap.training import Work

FIRST_SCALE = 0.5  # of every weight at the beginning, given the noise


class Labelled(NamedTuple):
    """Points x `[N, F]`, with a 1 at the end, and their classes y in 0..K-1, `[N]`."""

    inputs: Tensor
    labels: Tensor


@dataclass(frozen=True)
class SoftmaxRegression:
    """p(z) = N(z; 0, I) and p(y|x, z) = softmax(Z x)_y, Z being z as a matrix `[K, F]`; B points per step."""

    train: Labelled
    test: Labelled
    classes: int
    batch: int

    @classmethod
    def of(cls, data: Dataset, points: Points, seed: int, device: str) -> Self:
        """The regression on the first of the data's shuffled points; a larger minibatch is a UserError."""

        def labelled(splits: Sequence[str], count: int) -> Labelled:
            inputs = np.concatenate([data.arrays[split] for split in splits])
            labels = np.concatenate([data.arrays[f"{split}_label"] for split in splits])
            random = numpy_generator(seed, "implicit.regression", data.name, splits[0])
            rows = random.permutation(len(labels))[:count]
            x = inputs[rows].astype(np.float32) / (255 if inputs.dtype == np.uint8 else 1)
            x, y = np.pad(x, ((0, 0), (0, 1)), constant_values=1), labels[rows].astype(np.int64)
            return Labelled(torch.from_numpy(x).to(device), torch.from_numpy(y).to(device))

        training = ("train", "valid") if "valid" in data.arrays else ("train",)
        train, test = labelled(training, points.train), labelled(("test",), points.test)
        refuse_too_large(points.batch, len(train.labels), "softmax regression", "training points")
        classes = 1 + max(int(data.arrays[f"{split}_label"].max()) for split in ("train", "test"))
        return cls(train, test, classes, points.batch)

    @property
    def dimensions(self) -> int:
        """D = K F of z."""
        return self.classes * self.train.inputs.shape[1]

    def log_likelihoods(self, z: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """log p(y_n|x_n, z_s) in nats of draws `[M, S, D]` at points `[M, N, F]`, `[M, N]`: `[M, N, S]`."""
        weights = z.unflatten(-1, (self.classes, -1)).flatten(1, 2)
        # this way round, as products with few columns are slow, forward and back
        logits = (weights @ inputs.mT).mT.unflatten(-1, (-1, self.classes))
        chosen = labels[..., None, None].expand(*logits.shape[:-1], 1)
        return logits.gather(-1, chosen).squeeze(-1) - logits.logsumexp(-1)

    def log_joint(self, rows: Tensor) -> LogJoint:
        """log p(z) + N / B sum_b log p(y_b|x_b, z) for minibatches of indices `[M, B]`: `[M, S]`."""
        inputs, labels = self.train.inputs[rows], self.train.labels[rows]
        scale = len(self.train.labels) / rows.shape[1]

        def of_draws(z: Tensor) -> Tensor:
            return scale * self.log_likelihoods(z, inputs, labels).sum(1) + standard_gaussian_log_density(z)

        return of_draws


def affine_mean(networks: Mapping[str, MLP]) -> AffineMean:
    """q(z) with the network `mean` of the noise e; `scale` is log sigma."""
    mean = networks["mean"]
    return AffineMean(mean.layers(), networks["scale"].biases[0], mean.sizes[0])


@dataclass(frozen=True)
class Inference:
    """q of the weights by one method, UIVI dropping so many `iterations` as it keeps; members are seeds."""

    settings: SoftmaxTraining
    regression: SoftmaxRegression
    method: Method
    iterations: int
    seeds: Sequence[int]

    def initial_networks(self) -> dict[str, MLP]:
        """The mean of q, of noise or constant, and the logarithm of its scale."""
        log_scale = torch.full((self.regression.dimensions,), FIRST_SCALE).log()
        generators = [stream() for stream in self._streams(self.method.name)]
        return initial_networks(self.method, self.settings, log_scale, generators)

    def variational(self) -> Variational:
        """What is maximised, with one draw of z per step."""
        settings, regression, steps = self.settings, self.regression, self.settings.measure_every
        kernel = kernel_of(settings, self.iterations, self.iterations)
        objective = objective_of(self.method, settings.sivi_samples, kernel, settings.step_size)
        mixing, count = settings.noise * self.method.mixing, len(regression.train.labels)
        return Variational(
            objective=objective,
            family=lambda networks, _: affine_mean(networks),
            log_joint=lambda _, batch: regression.log_joint(batch["rows"]),
            specs=objective.noise(1, dimensions=regression.dimensions, mixing=mixing),
            streams=self._streams("steps", self._device),
            steps=steps,
            rows=partial(round_of_minibatches, count, regression.batch, steps),
            state=objective.initial_state(len(self.seeds), self._device),
        )

    def train(self, rounds: int, work: Work, *, measured: bool = True) -> Fit:
        """Fit q for a number of rounds of `measure_every` steps."""
        settings, variational = self.settings, self.variational()
        measure = partial(self.estimates, num_test_draws=settings.test_draws)
        return fit(
            variational,
            self.initial_networks(),
            epochs=rounds,
            learning_rate=settings.learning_rate,
            schedule=step_decay(DECAY, settings.decay_every / (rounds * settings.measure_every)),
            record_epochs=rounds,
            monitor=Monitor(1, measure) if measured else None,
            damped={"mean": 1.0, "scale": settings.deviation_share},
            state=variational.state,
            work=work,
            device=self._device,
        )

    @torch.no_grad()
    def estimates(self, networks: Mapping[str, MLP], num_test_draws: int) -> dict[str, Tensor]:
        """Estimates of each member, `[M]` in nats, from the same draws at each call.

        `elbo` estimates log q(z) from fresh noises alone, as the document's code does, and is above the ELBO
        on average; `elbo_lower` has the noise that made z among them (SIVI's bound), and is below it.
        `test_loglik` is (1/N) log (1/T) sum_t prod_n p(y_n|x_n, z_t), the JOINT predictive per point, in
        which the best of the draws decides, and `test_loglik_marginal` the mean over n of
        log (1/T) sum_t p(y_n|x_n, z_t).
        """
        settings, regression = self.settings, self.regression
        q, mixing = affine_mean(networks), networks["mean"].sizes[0]
        normals = partial(normal, [stream() for stream in self._streams("measure", self._device)])

        def noise(count: int) -> dict[str, Tensor]:
            return {"mixing": normals(count, mixing), "normal": normals(count, regression.dimensions)}

        exact = affine_mean({name: copy.deepcopy(network).double() for name, network in networks.items()})
        own = noise(settings.elbo_draws)
        in_double = {name: value.double() for name, value in own.items()}
        ratios = exact.log_ratios(in_double)(normals(settings.elbo_noises, mixing).double())
        ratios_with_own = torch.cat([torch.zeros_like(ratios[..., :1]), ratios], -1)
        z = q.rsample(own)
        likelihoods = [
            regression.log_likelihoods(some, *(part[None] for part in regression.train)).double().sum(1)
            for some in z.split(settings.draws_at_once, 1)
        ]
        joint = torch.cat(likelihoods, -1) + standard_gaussian_log_density(z.double())
        gap = joint - exact.conditional_log_prob(in_double)
        together, apart = [], []
        for first in range(0, num_test_draws, settings.draws_at_once):
            z = q.rsample(noise(min(settings.draws_at_once, num_test_draws - first)))
            values = regression.log_likelihoods(z, *(part[None] for part in regression.test))
            together.append(values.double().sum(1))
            apart.append(values.logsumexp(-1).double())
        marginal = torch.stack(apart, -1).logsumexp(-1).mean(-1) - np.log(num_test_draws)
        return {
            "elbo": (gap - log_mean_exp(ratios, -1)).mean(-1),
            "elbo_lower": (gap - log_mean_exp(ratios_with_own, -1)).mean(-1),
            "test_loglik": log_mean_exp(torch.cat(together, -1), -1) / len(regression.test.labels),
            "test_loglik_marginal": marginal,
        }

    @property
    def _device(self) -> str:
        return self.regression.train.inputs.device.type

    def _streams(self, purpose: str, device: str = "cpu") -> list[partial[torch.Generator]]:
        return streams(self.settings.seed, "implicit.regression", purpose, members=self.seeds, device=device)
