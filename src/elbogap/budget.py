"""The option --time-budget of all long commands."""

import argparse
import math
import os
import time

VARIABLE = "ELBOGAP_TIME_BUDGET"


def add_time_budget(parser: argparse.ArgumentParser) -> None:
    """Add the option, whose default is the environment's."""
    parser.add_argument(
        "--time-budget", type=_seconds, metavar="SECONDS", default=os.environ.get(VARIABLE),
        help="when they have passed, save what is done and stop with status 75; the same command goes on; "
        f"default: the environment's {VARIABLE}",
    )  # fmt: skip


def deadline_of(seconds: float | None) -> float:
    """When a budget that begins now ends, on the clock of `time.monotonic()`."""
    return math.inf if seconds is None else time.monotonic() + seconds


def _seconds(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise ValueError(text)
    return value
