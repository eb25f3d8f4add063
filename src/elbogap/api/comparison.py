"""Several methods on one posterior, side by side."""

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

from torch import Tensor

from elbogap.api.ascent import Steps
from elbogap.api.fitting import fit
from elbogap.api.methods import METHODS, Method
from elbogap.api.reference import Reference, hmc_reference
from elbogap.api.result import Fit
from elbogap.api.space import Dim, Support, Values

if TYPE_CHECKING:
    import pandas as pd

DRAWS = 10_000


def compare(
    log_density: Callable[[Any], Tensor],
    dim: Dim,
    methods: Iterable[str | Method] | None = None,
    *,
    reference: Reference | Values | Literal["hmc"] | None = None,
    seed: int = 0,
    steps: Steps = "auto",
    device: str = "cpu",
    progress: bool = True,
    support: Support = None,
) -> "pd.DataFrame":
    """A table with one row per method, all of `METHODS` if not given; the rest is that of `fit`.

    Its columns are `method`, `elbo` and `elbo_error` (nats), `k_hat`, `relative_ess`, `gradient_evaluations`,
    `seconds` and `converged`; given reference draws, a :class:`.Reference`, or "hmc" to make one, also
    `bias_mean` and `bias_sd`: of all numbers the largest |mean - reference| and |sd - reference|, in standard
    deviations of the reference. UserError as from `fit`.
    """
    import pandas as pd  # commands without tables start earlier

    if isinstance(reference, str):
        reference = hmc_reference(log_density, dim, support=support, seed=seed, device=device)
    draws = reference.sample() if isinstance(reference, Reference) else reference
    rows = []
    for method in METHODS if methods is None else methods:
        found = fit(
            log_density,
            dim,
            method,
            seed=seed,
            steps=steps,
            device=device,
            progress=progress,
            support=support,
        )
        rows.append(_row(found) | ({} if draws is None else bias(found, draws)))
    return pd.DataFrame(rows)


def bias(found: Fit, reference: Values, num_samples: int = DRAWS) -> dict[str, float]:
    """`bias_mean` and `bias_sd`, see :func:`compare`, of draws of a fit against those of a reference."""
    space = found.target.space
    ours, theirs = space.flatten(found.sample(num_samples)), space.flatten(reference).to(found.target.device)
    scale = theirs.std(0)
    of_mean, of_sd = (ours.mean(0) - theirs.mean(0)) / scale, ours.std(0) / scale - 1
    return {"bias_mean": float(of_mean.abs().max()), "bias_sd": float(of_sd.abs().max())}


def _row(found: Fit) -> dict[str, Any]:
    told = found.diagnostics
    return {
        "method": found.method,
        "elbo": found.elbo.value,
        "elbo_error": found.elbo.standard_error,
        "k_hat": told.k_hat,
        "relative_ess": told.relative_ess,
        "gradient_evaluations": found.gradient_evaluations,
        "seconds": found.seconds,
        "converged": told.converged,
    }
