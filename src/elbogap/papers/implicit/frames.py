"""Tables of document implicit: keys before values, rows by seed and time, and means over both."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd


def keyed(table: pd.DataFrame, **keys: Any) -> pd.DataFrame:
    """The table behind the document's name and further keys, constants or columns."""
    return pd.concat([pd.DataFrame({"document": "implicit", **keys}, index=table.index), table], axis=1)


def by_seed(values: Mapping[str, np.ndarray], **times: Iterable[int]) -> pd.DataFrame:
    """A row per seed of values `[M]`; of values `[M, R]` one per seed and time, which has a name."""
    seeds = len(next(iter(values.values())))
    index = pd.MultiIndex.from_product([range(seeds), *times.values()], names=["seed", *times])
    return pd.DataFrame({name: value.ravel() for name, value in values.items()}, index=index).reset_index()


def last(
    curves: pd.DataFrame, keys: Sequence[str], fraction: float = 0.2, time: str = "iteration"
) -> pd.DataFrame:
    """Means of all estimates over the last fraction of the training, and `*_time_sd`, their spread.

    A fifth is what was digitised of the document's curves.
    """
    late = curves[time] > (1 - fraction) * curves[time].max()
    groups = curves[late].drop(columns=time).groupby(list(keys), sort=False)
    return groups.mean().join(groups.std().add_suffix("_time_sd")).reset_index()


def over_seeds(rows: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Means of every column over `seeds`, and `*_seed_sd`, their spread, where there are several seeds."""
    groups = rows.drop(columns="seed").groupby(list(keys), sort=False)
    spread = groups.std().filter(regex="^(?!.*_(time_sd|se)$)").add_suffix("_seed_sd")
    return groups.mean().join(spread).assign(seeds=groups.size()).reset_index()
