"""Bayesian softmax regression, and q of its weights by UIVI, SIVI and a Gaussian mean field.

Deviations: scales sigma are parametrised by their logarithm; rows are shuffled anew at each measurement.
All methods use that the mean of q is affine in its last hidden layer, which changes no value and no gradient,
but saves most of HMC's and of SIVI's time (:mod:`elbogap.inference.families.affine_mean`). The measured ELBO
takes the log joint of all training points, not of a minibatch: it has the same mean and less noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from elbogap.data.loaders import Dataset
from elbogap.densities import log_mean_exp, standard_gaussian_log_density
from elbogap.ensemble import Fit, Monitor, Variational, fit, round_of_minibatches, stairs
from elbogap.errors import UserError
from elbogap.inference import hmc
from elbogap.inference.families.base import LogJoint
from elbogap.inference.objectives.elbo import SIVI
from elbogap.inference.objectives.uivi import UIVI
from elbogap.nn.mlp import MLP
from elbogap.papers.implicit.families import affine_mean
from elbogap.papers.implicit.settings import Points, SoftmaxTraining
from elbogap.runtime import numpy_generator, torch_generator
from elbogap.training import Work

METHODS = ("explicit", "sivi", "uivi")
FIRST_DEVIATION = 0.5
"""Standard deviation of every weight at the beginning, given the noise."""
DECAY = 0.9


@dataclass(frozen=True)
class Labelled:
    """Points with their classes.

    Attributes:
        inputs: x with a 1 at the end, `[N, F]`.
        labels: y in 0..K-1, `[N]`.
    """

    inputs: Tensor
    labels: Tensor

    def __len__(self) -> int:
        """N."""
        return len(self.labels)


@dataclass(frozen=True)
class SoftmaxRegression:
    """p(z) = N(z; 0, I) and p(y|x, z) = softmax(Z x)_y, where Z is z as a matrix `[K, F]`.

    Attributes:
        train: training points.
        test: test points.
        classes: K.
    """

    train: Labelled
    test: Labelled
    classes: int

    @property
    def dimensions(self) -> int:
        """D = K F of z."""
        return self.classes * self.train.inputs.shape[1]

    def log_likelihoods(self, z: Tensor, inputs: Tensor, labels: Tensor) -> Tensor:
        """log p(y_n|x_n, z_s) in nats of draws `[M, S, D]` at points `[M, N, F]`, `[M, N]`: `[M, N, S]`."""
        weights = z.unflatten(-1, (self.classes, -1)).flatten(1, 2)
        logits = (inputs @ weights.mT).unflatten(-1, (-1, self.classes))
        chosen = labels[..., None, None].expand(*logits.shape[:-1], 1)
        return logits.gather(-1, chosen).squeeze(-1) - logits.logsumexp(-1)

    def log_joint(self, rows: Tensor) -> LogJoint:
        """log p(z) + N / B sum_b log p(y_b|x_b, z) for minibatches of indices `[M, B]`: `[M, S]`."""
        inputs, labels = self.train.inputs[rows], self.train.labels[rows]
        scale = len(self.train) / rows.shape[1]

        def of_draws(z: Tensor) -> Tensor:
            likelihood = self.log_likelihoods(z, inputs, labels).sum(1)
            return standard_gaussian_log_density(z) + scale * likelihood

        return of_draws


def model(data: Dataset, points: Points, seed: int, device: str) -> SoftmaxRegression:
    """The regression on the first of the data's shuffled points.

    Raises:
        UserError: a minibatch larger than the training set.
    """

    def labelled(splits: Sequence[str], count: int) -> Labelled:
        inputs = np.concatenate([data.arrays[split] for split in splits])
        labels = np.concatenate([data.arrays[f"{split}_label"] for split in splits])
        random = numpy_generator(seed, "implicit.regression", data.name, splits[0])
        rows = random.permutation(len(labels))[:count]
        x = inputs[rows].astype(np.float32) / (255 if inputs.dtype == np.uint8 else 1)
        with_one = np.concatenate([x, np.ones_like(x[:, :1])], 1)
        return Labelled(
            torch.from_numpy(with_one).to(device), torch.from_numpy(labels[rows].astype(np.int64)).to(device)
        )

    training = ("train", "valid") if "valid" in data.arrays else ("train",)
    train, test = labelled(training, points.train), labelled(("test",), points.test)
    if points.batch > len(train):
        raise UserError(f"softmax regression: batch {points.batch} exceeds the {len(train)} training points")
    classes = 1 + max(int(data.arrays[f"{split}_label"].max()) for split in ("train", "test"))
    return SoftmaxRegression(train, test, classes)


def initial_networks(
    training: SoftmaxTraining, method: str, dimensions: int, seeds: Sequence[int]
) -> dict[str, MLP]:
    """The mean of q, of noise or constant, and the logarithm of its deviation."""
    generators = [torch_generator(training.seed, "implicit.regression", method, seed) for seed in seeds]
    if method == "explicit":  # as the last biases of the other methods' networks
        mean = MLP.constant(torch.stack([torch.randn(dimensions, generator=one) for one in generators]))
    else:
        sizes = [training.noise, *training.hidden, dimensions]
        mean = MLP.independent(sizes, "relu", generators, "wide")
    logarithm = torch.full((len(seeds), dimensions), FIRST_DEVIATION).log()
    return {"mean": mean, "deviation": MLP.constant(logarithm)}


def objective_of(training: SoftmaxTraining, method: str, iterations: int) -> SIVI | UIVI:
    """SIVI, UIVI with as many iterations of HMC kept as dropped, or a Gaussian's ELBO: SIVI without noise."""
    if method != "uivi":
        return SIVI(training.sivi_samples if method == "sivi" else 0)
    adaptation = hmc.Adaptation(target=training.target_acceptance)
    return UIVI(
        hmc.Kernel(2 * iterations, training.leapfrog_steps, iterations, adaptation), training.step_size
    )


def variational(
    training: SoftmaxTraining,
    regression: SoftmaxRegression,
    points: Points,
    method: str,
    iterations: int,
    seeds: Sequence[int],
) -> Variational:
    """What a method maximises, with one draw of z per step; members are seeds."""
    device = regression.train.inputs.device.type
    objective = objective_of(training, method, iterations)
    steps = training.measure_every
    return Variational(
        objective=objective,
        family=lambda networks, _: affine_mean(networks),
        log_joint=lambda _, batch: regression.log_joint(batch["rows"]),
        specs=objective.noise(
            1, dimensions=regression.dimensions, mixing=0 if method == "explicit" else training.noise
        ),
        streams=[
            partial(torch_generator, training.seed, "implicit.regression", "steps", seed, device=device)
            for seed in seeds
        ],
        steps=steps,
        rows=partial(round_of_minibatches, len(regression.train), points.batch, steps),
        state=objective.initial_state(len(seeds), device),
    )


def train(
    training: SoftmaxTraining,
    regression: SoftmaxRegression,
    points: Points,
    method: str,
    iterations: int,
    seeds: Sequence[int],
    rounds: int,
    work: Work,
    measured: bool = True,
) -> Fit:
    """Fit q for a number of rounds of `measure_every` steps; `iterations` of HMC, which UIVI alone has.

    Raises:
        UserError: the checkpoint is damaged, or all members diverged.
        OutOfTime: the deadline has passed.
    """
    what = variational(training, regression, points, method, iterations, seeds)
    measure = partial(estimates, training, regression, seeds=seeds, test_draws=training.test_draws)
    return fit(
        what,
        initial_networks(training, method, regression.dimensions, seeds),
        epochs=rounds,
        learning_rate=training.learning_rate,
        schedule=stairs(DECAY, training.decay_every / (rounds * training.measure_every)),
        record_epochs=rounds,
        monitor=Monitor(1, measure) if measured else None,
        damped={"mean": 1.0, "deviation": training.deviation_share},
        state=what.state,
        work=work,
        device=regression.train.inputs.device.type,
    )


@torch.no_grad()
def estimates(
    training: SoftmaxTraining,
    regression: SoftmaxRegression,
    networks: Mapping[str, MLP],
    *,
    seeds: Sequence[int],
    test_draws: int,
) -> dict[str, Tensor]:
    """Estimates of each member, `[M]`, from the same draws at each call.

    `elbo` estimates log q(z) from fresh noises alone, as the document's code does, and is above the ELBO on
    average; `elbo_lower` has the noise that made z among them (SIVI's bound), and is below it. `test_loglik`
    is (1/N) log (1/T) sum_t prod_n p(y_n|x_n, z_t), the JOINT predictive per point, in which the best of the
    draws decides, and `test_loglik_marginal` the mean over n of log (1/T) sum_t p(y_n|x_n, z_t). In nats.
    """
    device = regression.train.inputs.device.type
    generators = [
        torch_generator(training.seed, "implicit.regression", "measure", seed, device=device)
        for seed in seeds
    ]

    def normal(*shape: int) -> Tensor:
        return torch.stack([_normal(one, *shape) for one in generators])

    q, exact = affine_mean(networks), affine_mean(networks, torch.Tensor.double)
    size, mixing = regression.dimensions, networks["mean"].sizes[0]
    own = {"mixing": normal(training.elbo_draws, mixing), "normal": normal(training.elbo_draws, size)}
    in_double = {name: value.double() for name, value in own.items()}
    conditional = exact.conditional_log_prob(in_double)
    ratios = exact.log_ratios(in_double)(normal(training.elbo_noises, mixing).double())
    ratio_to_own = torch.zeros_like(ratios[..., :1])
    joint = _sum_over_points(training, regression, q.rsample(own))
    found = {
        "elbo": joint - conditional - log_mean_exp(ratios, -1),
        "elbo_lower": joint - conditional - log_mean_exp(torch.cat([ratio_to_own, ratios], -1), -1),
    }
    test = regression.test
    together, apart = [], []
    for first in range(0, test_draws, training.draws_at_once):
        count = min(training.draws_at_once, test_draws - first)
        z = q.rsample({"mixing": normal(count, mixing), "normal": normal(count, size)})
        values = regression.log_likelihoods(z, test.inputs[None], test.labels[None])
        together.append(values.double().sum(1))
        apart.append(values.logsumexp(-1).double())
    joint_predictive = log_mean_exp(torch.cat(together, -1), -1) / len(test)
    marginal = torch.stack(apart, -1).logsumexp(-1).mean(-1) - np.log(test_draws)
    return {name: value.mean(-1) for name, value in found.items()} | {
        "test_loglik": joint_predictive,
        "test_loglik_marginal": marginal,
    }


def last(curves: pd.DataFrame, keys: Sequence[str], share: float) -> pd.DataFrame:
    """Means of all estimates over the last share of the iterations, and `*_time_sd`, their spread there."""
    rows = curves[curves["iteration"] > (1 - share) * curves["iteration"].max()].drop(columns="iteration")
    groups = rows.groupby(list(keys), sort=False)
    return groups.mean().join(groups.std().add_suffix("_time_sd")).reset_index()


def over_seeds(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Means of every column over `seeds`, and `*_seed_sd`, their deviations where there are several seeds."""
    groups = rows.drop(columns="seed").groupby(list(keys), sort=False)
    spread = groups.std().filter(regex="^(?!.*_time_sd$)").add_suffix("_seed_sd")
    return groups.mean().join(spread).assign(seeds=groups.size()).reset_index()


def _sum_over_points(training: SoftmaxTraining, regression: SoftmaxRegression, z: Tensor) -> Tensor:
    """The log joint of all training points at draws `[M, S, D]`: `[M, S]`, in float64."""
    train = regression.train
    sums = [
        regression.log_likelihoods(some, train.inputs[None], train.labels[None]).double().sum(1)
        for some in z.split(training.draws_at_once, 1)
    ]
    return torch.cat(sums, -1) + standard_gaussian_log_density(z.double())


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, device=generator.device)
