"""The methods of document mapa, each named once, and the cells of its grid: a method with its budget.

What a method is made of is named here and built in :mod:`elbogap.papers.mapa.training`: settings, rules and
figures read names, budgets and labels from here, without torch.
"""

import re
from dataclasses import dataclass
from typing import Any, Literal

from elbogap.errors import UserError

STANDARD, QUANTILE_MAP, SMOOTHED_MAP, NETWORK = "standard", "quantile map", "smoothed map", "network"
"""How a model came by its standard normal prior, column `prior`: by its training, by the exact monotone map
from N(0, 1) to its codes, by that map smoothed, or by a network distilled from it and the decoder (C.3)."""
RECOVERIES = (SMOOTHED_MAP, QUANTILE_MAP, NETWORK)

Reading = Literal["within", "beyond"]
"""Whether the k certain terms come beyond the budget S, as eq. 10 has it, where k terms and S samples are
added (k = 1 and S = 0 is the autoencoder), or count within it (S - k are drawn), so that S terms remain."""

Budget = Literal["none", "S", "S and k"]


@dataclass(frozen=True)
class Method:
    """What is maximised over which approximate posterior."""

    name: str  # column `method`, and the beginning of the names of cells
    label: str  # in figures
    budget: Budget  # what it takes; MAPA without a budget has k = N
    posterior: str | None = None  # q(z|x), one of `training.POSTERIORS`; None for MAPA
    objective: str = ""  # one of `training.OBJECTIVES`, for methods with q(z|x)
    proposal: str = ""  # q(i|n), one of `training.PROPOSALS`, for MAPA
    reading: Reading = "beyond"  # how k counts

    @property
    def pattern(self) -> str:
        """The names of its cells, with groups for S and k in percent of S."""
        samples, certain = "_S([1-9][0-9]*)", "_k([1-9][0-9]?)"
        return self.name + {"none": "", "S": samples, "S and k": samples + certain}[self.budget]

    @property
    def priors(self) -> tuple[str, ...]:
        """The ways to a standard normal prior of its models."""
        return (STANDARD,) if self.posterior else RECOVERIES


METHODS = {
    method.name: method
    for method in (
        Method("vae", "VAE", "none", posterior="gaussian", objective="elbo"),
        Method("iwae", "IWAE", "S", posterior="gaussian", objective="iwae"),
        Method("iwae_plain", "IWAE, plain", "S", posterior="gaussian", objective="iwae_plain"),
        Method("mapa", "MAPA", "S and k", proposal="kernel"),
        Method("mapa_within", "MAPA, $k$ within $S$", "S and k", proposal="kernel", reading="within"),
        Method("mapa_gt", "MAPA-GT", "S and k", proposal="ground_truth"),
        Method("mapa_naive", "MAPA-naive", "S and k", proposal="uniform"),
        Method("mapa_exact", "MAPA, $k = N$", "none", proposal="kernel"),
    )
}
CELL = "|".join(method.pattern for method in METHODS.values())
"""The names of cells."""


def split(samples: int, fraction: float, reading: Reading) -> tuple[int, int]:
    """The number k of certain terms, a fraction of the budget S but at least 1, and that of drawn terms."""
    k = max(1, round(fraction * samples))
    return k, samples - k if reading == "within" else samples


@dataclass(frozen=True)
class Cell:
    """A method with its budget, e.g. `mapa_S50_k10`: S = 50, k = 10 % of S."""

    name: str  # in settings and in names of files
    method: Method
    samples: int | None  # S; 1 for the VAE, None for MAPA with k = N
    fraction: float | None  # k / S, for MAPA with a budget

    @classmethod
    def parse(cls, name: str) -> "Cell":
        """The cell of a name; raises UserError if there is none."""
        for method in METHODS.values():
            if match := re.fullmatch(method.pattern, name):
                numbers = [int(number) for number in match.groups()]
                samples = numbers[0] if numbers else 1 if method.posterior else None
                return cls(name, method, samples, numbers[1] / 100 if len(numbers) > 1 else None)
        raise UserError(f"no cell '{name}'; write e.g. vae, iwae_S50 or mapa_S50_k10")

    def key(self) -> dict[str, Any]:
        """Columns `method`, `S`, `k_share`."""
        return {"method": self.method.name, "S": self.samples, "k_share": self.fraction}

    def terms(self, count: int) -> tuple[int, int]:
        """The numbers of certain and of drawn terms, of N in all."""
        if self.samples is None or self.fraction is None:
            return count, 0
        return split(self.samples, self.fraction, self.method.reading)
