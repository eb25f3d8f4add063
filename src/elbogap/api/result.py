"""A fitted approximation: draws, densities, tables, diagnostics, and what improves it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import torch
from torch import Tensor
from torch.distributions import constraints

from elbogap.api.approximations import Approximation, Setup
from elbogap.api.ascent import Trace
from elbogap.api.diagnostics import Diagnostics, arviz, pareto_k, relative_ess
from elbogap.api.methods import Method, method_of
from elbogap.api.space import Space, Values
from elbogap.api.target import Target
from elbogap.api.whitening import Affine
from elbogap.errors import UserError, shortened
from elbogap.files import writing
from elbogap.inference import bounds, importance
from elbogap.inference.dual_averaging import DualAveraging, iterate
from elbogap.inference.families.base import Family, LogJoint
from elbogap.inference.noise import draw

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 4000
TUNING = 50  # iterations in which chains of :meth:`Fit.refine` find their step size


def table(space: Space, draws: Values, level: float = 0.9) -> "pd.DataFrame":
    """Mean, standard deviation and central interval of each number over draws `[S, ...]`, by its label."""
    import pandas as pd  # as for arviz

    flat = space.flatten(draws).cpu()
    bounds = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=flat.dtype)
    lower, upper = flat.quantile(bounds, 0)
    columns = {"mean": flat.mean(0), "sd": flat.std(0), "lower": lower, "upper": upper}
    return pd.DataFrame({name: value.numpy() for name, value in columns.items()}, index=space.labels)


class FitWarning(UserWarning):
    """A fit, or a reference, is not to be trusted as it is."""


class Mean(NamedTuple):
    """A mean over draws, in nats, and its standard error."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Fit:
    """A distribution q that approximates a posterior, made by `fit`. Draws are in the user's space.

    What draws takes a seed, and gives the same numbers for the same one. `gradient_evaluations` counts the
    draws at which the gradient of the log-density was computed, `seconds` are those of the whole fit.
    """

    method: str
    recipe: Method
    target: Target
    whitening: Affine
    q: Approximation
    trace: Trace
    step_size: float | None  # of the method's chains
    acceptance: float | None
    gradient_evaluations: int
    seconds: float

    def sample(self, num_samples: int, seed: int = 0) -> Values:
        """Draws `[S, D]`, or tensors `[S, *shape]` by name."""
        return self._values(self._draws(num_samples, self._generator(seed)))

    @property
    def log_prob_is_exact(self) -> bool:
        """Whether :meth:`log_prob` is exact, or an estimate from random numbers."""
        return self.q.exact and self.recipe.improved is None

    @torch.no_grad()
    def log_prob(self, z: Values, seed: int = 0) -> Tensor:
        """log q(z) in nats of draws `[S, D]`, or of tensors by name: `[S]`.

        Where it is not exact, it is below log q(z) on average; that of a density ratio has no known bias.
        """
        u = self.target.space.unconstrain(z)
        v, log_det = self.whitening.inverse(u), self.target.space.constrain(u)[1]
        generator = self._generator(seed)
        improved = self._improved
        if improved:
            noise = draw(improved.log_prob_noise(len(v)), generator, dtype=v.dtype)
            log_q = improved.log_prob(v, noise)
        else:
            log_q = self.q.log_prob(v, generator)
        return log_q - self.whitening.log_det - log_det

    @property
    def elbo(self) -> Mean:
        """E[log p - log q], z ~ q, in nats, from 4,000 draws of q before it is improved; for IWAE its bound.

        For a semi-implicit q it is SIVI's bound with 1,000 further noises, below the ELBO on average; for a
        density ratio an estimate.
        """
        k = self.recipe.batch[-2] if len(self.recipe.batch) > 1 else 1
        log_weights = bounds.iwae(self.log_weights.view(k, -1))
        return Mean(float(log_weights.mean()), float(log_weights.std()) / len(log_weights) ** 0.5)

    def summary(self, num_samples: int = DRAWS, level: float = 0.9, seed: int = 0) -> "pd.DataFrame":
        """Mean, standard deviation and central interval of each number, by its label."""
        return table(self.target.space, self.sample(num_samples, seed), level)

    @cached_property
    def diagnostics(self) -> Diagnostics:
        """What tells whether the fit is good."""
        log_weights = self.log_weights
        return Diagnostics(
            torch.tensor(self.trace.values, dtype=torch.float64),
            self.trace.converged,
            self.trace.reason,
            self.trace.undefined,
            self.acceptance,
            pareto_k(log_weights),
            float(log_weights.std()),
            relative_ess(log_weights),
        )

    def resample(self, num_samples: int, k: int, seed: int = 0) -> Values:
        """Draws of q_IW (Cremer et al. 2017): one of k draws of q each, chosen by its weight p / q.

        UserError if all weights of a draw are 0.
        """
        generator = self._generator(seed)
        v, log_q = self.q.sample_and_log_prob(k * num_samples, generator)
        log_weights = self._log_joint(v) - log_q
        v, log_weights = v.view(k, num_samples, -1), log_weights.view(k, num_samples)
        return self._values(importance.resample(v, log_weights, generator))

    def refine(self, t: int, num_samples: int, seed: int = 0) -> Values:
        """Draws of q after t iterations of Hamiltonian Monte Carlo, whose step size is found beforehand."""
        generator = self._generator(seed)
        start = self._draws(num_samples, generator)
        rule = DualAveraging(self.step_size or 0.5)
        iterate(self._log_joint, start[:100], TUNING, generator, rule)
        return self._values(iterate(self._log_joint, start, t, generator, rule.average).last)

    def to_arviz(self, num_samples: int = DRAWS, seed: int = 0) -> Any:
        """Draws as ArviZ's InferenceData, in one chain."""
        space, draws = self.target.space, self.sample(num_samples, seed)
        by_name = draws if isinstance(draws, dict) else {space.parameters[0].name: draws}
        return arviz().from_dict({name: value.cpu().numpy()[None] for name, value in by_name.items()})

    def save(self, path: str | Path) -> None:
        """Write all but the log-density to a file."""
        space = self.target.space
        content = {
            "method": self.method, "dim": space.dim, "support": space.support,
            "whitening": (self.whitening.mean, self.whitening.scale_tril), "q": self.q.state_dict(),
            "trace": vars(self.trace), "step_size": self.step_size, "acceptance": self.acceptance,
            "gradient_evaluations": self.gradient_evaluations, "seconds": self.seconds,
        }  # fmt: skip
        with writing(Path(path)) as temporary:
            torch.save(content, temporary)

    @classmethod
    def load(
        cls,
        path: str | Path,
        log_density: Callable[[Any], Tensor],
        method: Method | None = None,
        device: str = "cpu",
    ) -> Self:
        """What :meth:`save` wrote, for the same log-density; a method of one's own is given again.

        UserError if the file is missing or holds something else.
        """
        known: list[Any] = [one for one in vars(constraints).values() if isinstance(one, type)]
        try:
            with torch.serialization.safe_globals(known):
                saved = torch.load(path, weights_only=True, map_location=device)
            name, recipe = method_of(method or saved["method"])
            whitening = Affine(*saved["whitening"])
            q = recipe.approximation(Setup(whitening.scale_tril, torch.Generator(device)))
            q.load_state_dict(saved["q"])
            trace = Trace(**saved["trace"])
            target = Target(log_density, Space.of(saved["dim"], saved["support"]), device)
            numbers = (saved[key] for key in ("step_size", "acceptance", "gradient_evaluations", "seconds"))
            return cls(name, recipe, target, whitening, q, trace, *numbers)
        except Exception as error:  # torch tells of a file that is none of its own in many ways
            raise UserError(
                f"{path}: no fit can be read from it ({shortened(error, 120)}); save it again"
            ) from error

    def _generator(self, seed: int) -> torch.Generator:
        return torch.Generator(self.target.device).manual_seed(seed)

    @property
    def _log_joint(self) -> LogJoint:
        return self.whitening.pull(self.target)

    @cached_property
    def log_weights(self) -> Tensor:
        """log p - log q at 4,000 draws of q, before it is improved, in nats."""
        v, log_q = self.q.sample_and_log_prob(DRAWS, self._generator(0))
        with torch.no_grad():
            return self._log_joint(v) - log_q

    @property
    def _improved(self) -> Family | None:
        make = self.recipe.improved
        return make and make(self.q.family().detach(), self._log_joint, self.step_size or 0.0)

    def _draws(self, num_samples: int, generator: torch.Generator) -> Tensor:
        """Draws v."""
        improved = self._improved
        if improved is None:
            return self.q.sample(num_samples, generator)
        return improved.sample(draw(improved.noise(num_samples), generator, dtype=self.whitening.mean.dtype))

    @torch.no_grad()
    def _values(self, v: Tensor) -> Values:
        return self.target.space.constrain(self.whitening(v))[0]
