"""Numbers as people read them: sensible digits, one form in the report and on the pages in docs."""

import math
import re
from typing import Any

import numpy as np
import pandas as pd

DASH = "–"
_SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_LONG_NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+(?:[eE][-+]?\d+)?|[eE][-+]?\d+)(?![\w.]*\w)")


def number(value: float, digits: int = 4) -> str:
    """A number to `digits` significant digits: `0.4449`, `12.3`, `1.2 × 10⁻⁵`, whole numbers in full."""
    if pd.isna(value):
        return DASH
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    if float(value).is_integer() and abs(value) < 1e9:
        text = f"{int(value):,}".replace(",", "\u202f") if abs(value) >= 10_000 else str(int(value))
    elif 1e-3 <= abs(value) < 1e6:
        text = f"{value:.{digits}g}"
        if "e" in text:
            text = f"{value:,.0f}".replace(",", "\u202f")
    else:
        mantissa, _, exponent = f"{value:.{digits - 2}e}".partition("e")
        text = f"{mantissa.rstrip('0').rstrip('.')} × 10{str(int(exponent)).translate(_SUPERSCRIPT)}"
    return text.replace("-", "−")


def cell(value: Any) -> str:
    """Any value of a table: numbers by :func:`number`, words as they are, a dash where it is missing."""
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if value is None or value == "":
        return DASH
    if isinstance(value, str):
        return _LONG_NUMBER.sub(lambda match: number(float(match[0])), value)
    return number(value)


def duration(seconds: float) -> str:
    """Seconds as `0.4 s`, `12 s`, `3.4 min` or `1.2 h`."""
    if pd.isna(seconds):
        return DASH
    if seconds < 100:
        return f"{seconds:.2g} s"
    return f"{seconds / 60:.3g} min" if seconds < 6000 else f"{seconds / 3600:.3g} h"


def memory(mebibytes: float) -> str:
    """Mebibytes as `85 MiB` or `1.2 GiB`."""
    if pd.isna(mebibytes):
        return DASH
    return f"{mebibytes:.0f} MiB" if mebibytes < 1000 else f"{mebibytes / 1024:.2g} GiB"
