"""The commands `python -m elbogap data record | status | fetch`."""

import argparse
import sys
from functools import partial
from typing import Any

from elbogap import words
from elbogap.data.sources import SOURCES, source
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
    fetch = actions.add_parser("fetch", help="bring data sets into the cache")
    fetch.add_argument("names", nargs="*", metavar="NAME", help="data sets; all if none is named")
    fetch.set_defaults(call=_fetch)


def _record(options: argparse.Namespace) -> None:
    from elbogap import provenance, tables
    from elbogap.data import records

    path = words.outputs(options.outputs, "record")["record"]
    record = records.make(options.dataset, options.stand_ins, options.state)
    try:
        provenance.verify(path)
        unchanged = tables.read_json(path) == record
    except UserError:  # it is missing or damaged
        unchanged = False
    if not unchanged:  # a new date on an old record would rebuild what rests on it
        made_by = provenance.collect(
            source=provenance.source("elbogap.data.records"),
            settings={name: getattr(options, name) for name in ("dataset", "stand_ins", "state")},
        )
        provenance.publish(made_by, {path: partial(tables.save, record)})
    print(f"{options.dataset}: {record['kind']}, {record['note']}")


def _status(options: argparse.Namespace) -> None:
    from rich.console import Console
    from rich.table import Table

    from elbogap.data import fetch

    table = Table("data set", "found", "verified by", "licence", title="Data sets on this machine")
    for name, origin in SOURCES.items():
        unread: list[str] = []
        if found := fetch.local(name, blocked=unread.append):
            where = f"{found.origin} ({found.variant.name})"
        elif unread:
            where = "; ".join(unread)
        else:
            ways = dict.fromkeys(way for variant in origin.variants for way in variant.ways)
            where = "not here: would come from " + (" or ".join(ways) or f"a mirror only, see {origin.page}")
        table.add_row(name, where, found.verdict if found else "-", origin.licence)
    Console(width=None if sys.stdout.isatty() else 160).print(table)


def _fetch(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from elbogap.data.fetch import obtain

    failed = 0
    names = [source(name).name for name in options.names or SOURCES]
    for name in tqdm(names, desc="data sets", disable=not sys.stderr.isatty()):
        try:
            found = obtain(name, say=lambda line: tqdm.write(f"data: {line}", file=sys.stderr))
            tqdm.write(f"{name}: from {found.origin} ({found.variant.name}), verified by {found.verdict}")
        except UserError as error:
            failed += 1
            tqdm.write(f"FAILED {error}", file=sys.stderr)
    return 1 if failed else 0
