"""The table of paces: how fast the long work of jobs is, and how busy it keeps the device."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from elbogap import provenance, tables
from elbogap.errors import UserError
from elbogap.report.lineage import label

COLUMNS = [
    "scale", "rule", "device", "threads", "work", "unit", "steps", "members", "steps_per_s",
    "model_steps_per_s", "piece_hours", "gflop_per_step", "gflops", "peak_gflops", "peak_share", "busy_share",
    "kernels_per_step", "launches_per_step", "syncs_per_step", "max_rss_mib", "max_gpu_mib", "dearest",
    "commit", "torch",
]  # fmt: skip
"""See :class:`~elbogap.profiling.Piece`; `piece_hours` are those of all steps of the piece at this pace."""

KEY = ["scale", "rule", "work", "device", "threads"]
"""The columns that identify a row."""


def row(
    experiment: str, keys: Mapping[str, str], piece: Mapping[str, Any], peak_gflops: float, **where: Any
) -> dict[str, Any]:
    """The row of a :class:`~elbogap.profiling.Piece` of an experiment's cell, made on a device (`where`)."""
    pace = piece["steps_per_s"]
    gflops = piece["gflop_per_step"] * pace
    return {
        **piece,
        **where,
        "rule": label(experiment.replace(".", "_"), keys),
        "work": piece["label"],
        "model_steps_per_s": pace * piece["members"],
        "piece_hours": piece["steps"] / pace / 3600,
        "gflops": gflops,
        "peak_gflops": peak_gflops,
        "peak_share": gflops / peak_gflops,
        "commit": provenance.git_state()["commit"],
        "torch": provenance.versions().get("torch"),
    }


def read(path: Path) -> list[dict[str, Any]]:
    """The rows of a table of paces, none if there is no file yet; a UserError if it is something else."""
    if path.suffix != ".csv":
        raise UserError(f"{path}: paces go into a table; name a file that ends in .csv")
    if not path.is_file():
        return []
    table = tables.read_table(path)
    if list(table.columns) != COLUMNS:
        raise UserError(f"{path}: not a table of paces; name another file")
    return table.to_dict("records")


def write(rows: Iterable[Mapping[str, Any]], path: Path) -> None:
    """Write a table of paces; of several rows with the same `KEY` the last is kept."""
    table = pd.DataFrame(rows, columns=COLUMNS).drop_duplicates(KEY, keep="last")
    tables.write(table.sort_values(KEY, ignore_index=True), path)
