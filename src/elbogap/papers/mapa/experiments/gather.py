"""One table of document mapa from a table per problem."""

import pandas as pd

from elbogap.config.base import Section as Settings
from elbogap.errors import UserError
from elbogap.runtime import Run
from elbogap.tables import read_table


def run(settings: Settings, run: Run) -> dict[str, pd.DataFrame]:
    """All rows of the inputs, as `table`; UserError if one is not of its problem, or has other columns."""
    tables = {name: read_table(path) for name, path in run.inputs.items()}
    columns = list(next(iter(tables.values())).columns)
    for name, table in tables.items():
        if list(table.columns) != columns or set(table["problem"]) != {name}:
            raise UserError(f"{run.inputs[name]} is no table of {name} like the others; rebuild it")
    return {"table": pd.concat(tables.values(), ignore_index=True)}
