"""The commands `python -m elbogap data record | status | fetch | table`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from elbogap.data.sources import SOURCES
from elbogap.errors import UserError


def register(commands: Any) -> None:
    """Add `data` and its subcommands to the command line."""
    parser = commands.add_parser("data", help="where the data sets are, and getting them")
    actions = parser.add_subparsers(required=True, metavar="ACTION")

    record = actions.add_parser("record", help="write the record of a data set for one scale")
    record.add_argument("dataset", choices=SOURCES)
    record.add_argument("--stand-ins", required=True, choices=("always", "if-unavailable", "never"))
    record.add_argument("--state", default="settled", help="stored in the record, see the rule")
    record.add_argument("--outputs", nargs=1, required=True, metavar="record=FILE")
    record.set_defaults(call=_record)

    status = actions.add_parser("status", help="where each data set is found, without network")
    status.set_defaults(call=_status)

    table = actions.add_parser("table", help="print the table of sources and licences as Markdown")
    table.set_defaults(call=_table)

    fetch = actions.add_parser("fetch", help="bring data sets into the cache")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="data sets; all if none is named")
    fetch.set_defaults(call=_fetch)


def _record(options: argparse.Namespace) -> None:
    from elbogap import tables
    from elbogap.data import records

    name, _, path = options.outputs[0].partition("=")
    if name != "record" or not path:
        raise UserError(f"--outputs: '{options.outputs[0]}' is not of the form record=FILE")
    record = records.make(options.dataset, options.stand_ins, options.state)
    same = Path(path).is_file() and json.loads(Path(path).read_text(encoding="utf-8")) == record
    if not same:  # a new date on an old record would rebuild what rests on it
        tables.write(record, Path(path))
    print(f"{options.dataset}: {record['kind']}, {record['note']}")


def _status(options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from elbogap.data import fetch

    table = Table("data set", "found", "verified by", "licence", title="Data sets on this machine")
    for name, source in SOURCES.items():
        unread: list[str] = []
        found = fetch.local(name, blocked=unread.append)
        if found is None and unread:
            table.add_row(name, "; ".join(unread), "-", source.licence)
        elif found is None:
            ways = dict.fromkeys(way for variant in source.variants for way in variant.ways)
            where = "not here: would come from " + (" or ".join(ways) or f"a mirror only, see {source.page}")
            table.add_row(name, where, "-", source.licence)
        else:
            table.add_row(name, f"{found.origin} ({found.variant.name})", found.verdict, source.licence)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _table(options: argparse.Namespace) -> None:
    from elbogap.data import overview

    print(f"{overview.table()}\n\n{overview.licences()}")


def _fetch(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from elbogap.data.fetch import NotServed, obtain

    failed = 0
    for name in tqdm(options.names or list(SOURCES), desc="data sets", disable=not sys.stderr.isatty()):
        try:
            found = obtain(name, say=lambda line: tqdm.write(f"data: {line}", file=sys.stderr))
            tqdm.write(f"{name}: from {found.origin} ({found.variant.name}), verified by {found.verdict}")
        except NotServed as error:
            failed += 1
            tqdm.write(f"FAILED {error}", file=sys.stderr)
    return 1 if failed else 0
