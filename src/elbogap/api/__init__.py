"""Fit your own model: a log-density in, draws, tables and diagnostics out.

    from elbogap.api import compare, fit, hmc_reference

    found = fit(log_density, dim=4)                     # UIVI
    found.summary()
    compare(log_density, 4, reference="hmc")            # every method beside Hamiltonian Monte Carlo

The layers below, which the documents use, have the pieces: families, objectives, chains.
"""

from elbogap.api.comparison import compare
from elbogap.api.diagnostics import Diagnostics
from elbogap.api.fitting import fit
from elbogap.api.methods import METHODS, Method
from elbogap.api.reference import Reference, hmc_reference
from elbogap.api.result import Fit, FitWarning

__all__ = [
    "METHODS",
    "Diagnostics",
    "Fit",
    "FitWarning",
    "Method",
    "Reference",
    "compare",
    "fit",
    "hmc_reference",
]
