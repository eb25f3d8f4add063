"""How close a Monte-Carlo estimate must be to the truth: within its standard error and a little."""

from typing import Any

import numpy as np

FLOOR = 1e-6
"""Where a standard error vanishes, rounding is left, and it differs from processor to processor."""


def within(difference: Any, standard_error: Any, times: float = 4.0, floor: float = FLOOR) -> bool:
    """Whether `|difference| <= times standard_error + floor`, for every element."""
    allowed = times * np.asarray(standard_error) + floor
    return bool(np.all(np.abs(np.asarray(difference)) <= allowed))
