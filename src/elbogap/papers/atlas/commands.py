"""The command `python -m elbogap atlas`: a user's own method on problems with known answers."""

import argparse
import pkgutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from elbogap.errors import UserError, shortened, shown

DEFAULT_PROBLEMS = ("gaussian_10", "banana", "multimodal", "logistic")
COLUMNS = {
    "problem": "problem",
    "method": "method",
    "sliced_wasserstein": "distance / sd",
    "mean_bias": "mean / sd",
    "sd_bias": "sd / sd",
    "gap": "gap / nats",
    "evaluations": "evaluations",
    "cpu_s": "CPU s",
    "failure": "failure",
}


def register(commands: Any) -> None:
    """Add `atlas` to the command line."""
    parser = commands.add_parser(
        "atlas", help="score a method, perhaps your own, on problems with known answers"
    )
    add = parser.add_argument
    add(
        "--method", nargs="+", required=True, metavar="NAME", dest="methods",
        help="the atlas's, such as uivi, or your own, my.module:MyMethod, called as "
        'method(log_density, dim, seed=0, steps="auto"), whose result has sample(num_samples, seed)',
    )  # fmt: skip
    add(
        "--problem", nargs="+", default=DEFAULT_PROBLEMS, metavar="NAME", dest="problems",
        help=f"the atlas's or your own, my.module:problem, a function that returns a Problem; default: "
        f"{' '.join(DEFAULT_PROBLEMS)}",
    )  # fmt: skip
    add("--seeds", type=_positive, default=1, help="fits of each method to each problem (1)")
    add("--steps", type=_steps, default="auto", help="of a fit; the default asks its stopping rule")
    add("--samples", type=_positive, default=2000, help="draws that are compared with the answer (2000)")
    add("--table", type=Path, metavar="FILE", help="write all scores into a table (CSV)")
    parser.set_defaults(call=_atlas)


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise ValueError(text)
    return value


def _steps(text: str) -> int | str:
    return text if text == "auto" else _positive(text)


def _atlas(options: argparse.Namespace) -> None:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table
    from tqdm import tqdm

    from elbogap import tables
    from elbogap.papers.atlas import scoring
    from elbogap.papers.atlas.methods import method
    from elbogap.papers.atlas.problems.registry import POSTERIORS, problem

    methods = {name: own(name) if ":" in name else method(name) for name in options.methods}
    data = _posteriordb() if set(options.problems) & set(POSTERIORS) else None
    rows: list[dict[str, Any]] = []
    for name in tqdm(options.problems, desc="problems", disable=not sys.stderr.isatty()):
        counts = {"seeds": options.seeds, "steps": options.steps, "num_samples": options.samples}
        given = own(name)() if ":" in name else problem(name, data)
        rows += scoring.rows(name, given, methods, ks=(), seed=0, **counts)
    scores = pd.DataFrame(rows)
    if options.table:
        tables.write(scores, options.table)
    shown = scores.reindex(columns=[*COLUMNS]).groupby(["problem", "method"], sort=False, as_index=False)
    numbers = shown.mean(numeric_only=True).merge(shown["failure"].max())
    table = Table(*COLUMNS.values(), title="Means over seeds")
    for row in numbers[[*COLUMNS]].itertuples(index=False):
        table.add_row(*(f"{value:.3g}" if isinstance(value, float) else str(value) for value in row))
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def own(name: str) -> Callable[..., Any]:
    """A user's own function or class `module:name`, of a module that Python finds in the working folder, too.

    UserError if there is none.
    """
    sys.path.insert(0, str(Path.cwd()))
    try:
        found = pkgutil.resolve_name(name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"{name}: {shortened(error, 200)}; run it from the folder of that module") from error
    finally:
        sys.path.remove(str(Path.cwd()))
    if not callable(found):
        raise UserError(f"{name} is no function or class but {shown(found)}")
    return found


def _posteriordb() -> Any:
    """The data set, which is fetched if it is not here."""
    import tempfile

    from elbogap import tables
    from elbogap.data import loaders, records

    with tempfile.TemporaryDirectory() as folder:
        record = Path(folder) / "posteriordb.json"
        tables.write(records.make("posteriordb", "never", "settled"), record)
        return loaders.load(record)
