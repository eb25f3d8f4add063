"""The commands `claims`, `claims-check` and `verify`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from elbogap import words
from elbogap.config.scale import scale_name


def register(commands: Any) -> None:
    """Add the subcommands to the parser of `python -m elbogap`."""
    decide = commands.add_parser("claims", help="decide every claim of the documents at one scale")
    add = decide.add_argument
    add("--scale", type=scale_name, required=True)
    add("--results", type=Path, default=Path("results"), help="folder of results (results)")
    add("--paper", type=Path, default=Path("paper"), help="folder of the documents' texts (paper)")
    add("--partial", action="store_true", help="a claim whose table is not made yet is not assessed")
    add("--outputs", nargs=3, required=True, metavar=("csv=FILE", "effects=FILE", "html=FILE"))
    decide.set_defaults(call=_claims)

    help = "end with status 1 if a required claim is contradicted"
    check = commands.add_parser("claims-check", help=help)
    check.add_argument("file", type=Path, help="the table that the claims command wrote")
    check.set_defaults(call=_check)

    help = "decide all claims again from the recorded tables, and compare with the recorded verdicts"
    verify = commands.add_parser("verify", help=help)
    verify.add_argument("--project", type=Path, help="the checkout; default: the one of this package")
    verify.add_argument("--failed", action="store_true", help="list the claims that are contradicted")
    verify.set_defaults(call=_verify)


def _claims(options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from elbogap.claims.decide import decide

    outputs = words.outputs(options.outputs, "csv", "effects", "html")
    verdicts = decide(options.scale, options.results, options.paper, outputs, partial=options.partial)
    colours = {"reproduced": "blue", "contradicted": "bold red", "undecided": "yellow", "not assessed": "dim"}
    columns = ["id", "verdict", "criterion", "measured", "published"]
    table = Table(*columns, title=f"Claims at scale {options.scale}")
    for row in verdicts[columns].itertuples(index=False):
        table.add_row(*map(escape, row), style=colours[row.verdict])
    Console(width=None if sys.stdout.isatty() else 140).print(table)


def _check(options: argparse.Namespace) -> int:
    from elbogap import provenance
    from elbogap.claims import engine

    failed = engine.failures(engine.read_verdicts(options.file))
    provenance.verify(options.file)
    return _problems(failed)


def _verify(options: argparse.Namespace) -> int:
    from elbogap.claims.decide import verify
    from elbogap.claims.intervals import CONTRADICTED
    from elbogap.places import Places

    def say(line: str, verdicts: Any) -> None:
        print(line)
        for row in verdicts.itertuples():
            if options.failed and row.verdict == CONTRADICTED:
                print(f"  {row.id}: {row.statement}")
                print(f"    {row.criterion}; measured {row.measured} ({row.detail})")

    return _problems(verify(Places.here(options.project), say))


def _problems(lines: list[str]) -> int:
    """Print problems, each in one line; the exit status."""
    for line in lines:
        print(" ".join(line.splitlines()), file=sys.stderr)
    return 1 if lines else 0
