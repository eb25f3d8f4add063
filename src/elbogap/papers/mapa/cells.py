"""The cells of the density grid: a method with its budget, read from the name that configurations use."""

import re
from dataclasses import dataclass

from elbogap.errors import UserError
from elbogap.inference.empirical import Reading
from elbogap.papers.mapa.settings import CELL

ENCODER_METHODS = ("vae", "iwae", "iwae_plain")
"""Methods with q(z|x); `iwae` has doubly reparameterised gradients, `iwae_plain` the plain ones."""


@dataclass(frozen=True)
class Cell:
    """One method with its budget.

    Attributes:
        method: vae, iwae, iwae_plain, mapa, mapa_beyond (k counts beyond S), mapa_gt, mapa_naive, mapa_exact.
        samples: S; 1 for the VAE, and None for `mapa_exact`, which takes k = N.
        share: k / S, for MAPA with a budget.
    """

    method: str
    samples: int | None = None
    share: float | None = None

    @classmethod
    def parse(cls, name: str) -> "Cell":
        """Read e.g. `mapa_S50_k10`: method `mapa`, S = 50, k = 10 % of S.

        Raises:
            UserError: the name has another form.
        """
        match = re.fullmatch(CELL, name)
        if match is None:
            raise UserError(f"no cell '{name}'; write e.g. vae, iwae_S50 or mapa_S50_k10")
        method, samples = match[1] or match[2] or match[4], match[3] or match[5]
        return cls(
            method,
            int(samples) if samples else 1 if method == "vae" else None,
            int(match[6]) / 100 if match[6] else None,
        )

    @property
    def has_encoder(self) -> bool:
        """Whether the model has q(z|x), and its prior is the standard normal by construction."""
        return self.method in ENCODER_METHODS

    @property
    def reading(self) -> Reading:
        """How k counts: within S, or beyond it."""
        return "beyond" if self.method == "mapa_beyond" else "within"

    def key(self) -> dict[str, object]:
        """Key columns `method`, `S`, `k_share`."""
        return {"method": self.method, "S": self.samples, "k_share": self.share}
