"""The subcommands `report`, `reference` and `pages`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from elbogap import words
from elbogap.config.scale import scale_name


def register(commands: Any) -> None:
    """Add the subcommands to the command line."""
    report = commands.add_parser("report", help="typeset the replication report of a scale")
    report.add_argument("--outputs", nargs=1, required=True, metavar="pdf=FILE")

    help = "record a finished run in results/ and figures/reference"
    reference = commands.add_parser("reference", help=help)
    reference.add_argument("--costs-only", action="store_true", help="record the costs, not the results")
    help = "the run lacks targets: keep what is recorded of those"
    reference.add_argument("--add", action="store_true", help=help)

    pages = commands.add_parser("pages", help="refresh the generated parts of the pages in docs/")
    pages.add_argument("--check", action="store_true", help="change nothing; fail if a part is stale")

    for parser, call in ((report, _report), (reference, _reference), (pages, _pages)):
        if parser is not pages:
            parser.add_argument("--scale", type=scale_name, required=True)
        parser.add_argument("--project", type=Path, help="the checkout; default: the one of this package")
        parser.set_defaults(call=call)


def _report(options: argparse.Namespace) -> None:
    from elbogap import provenance
    from elbogap.places import Places
    from elbogap.report.gather import gather
    from elbogap.report.pdf import typeset

    output, places = words.outputs(options.outputs, "pdf")["pdf"], Places.here(options.project)
    report = gather(options.scale, places)
    (pdf,) = typeset(report, places.paper, places.work)
    source = provenance.source(__name__)
    record = provenance.collect(source=source, scale=options.scale, inputs=report["inputs"])
    provenance.publish(record, {output: lambda path: path.write_bytes(pdf)})


def _reference(options: argparse.Namespace) -> None:
    from elbogap.places import Places
    from elbogap.report.reference import record, record_costs
    from elbogap.writer import sole

    scale, places = options.scale, Places.here(options.project)
    with sole([places.recorded_costs]):  # every recording changes the costs
        if options.costs_only:
            record_costs(scale, places, add=options.add)
        else:
            count = record(scale, places, add=options.add)
            print(f"recorded {count} files of scale {scale}; now refresh the pages: python -m elbogap pages")


def _pages(options: argparse.Namespace) -> int:
    from elbogap.places import Places
    from elbogap.report import pages

    places, status = Places.here(options.project), 0
    for page in pages.listed(places):
        parts = ", ".join(pages.refresh(page, places, check=options.check))
        if parts and options.check:
            message = f"{page}: generated parts are stale: {parts}; run: python -m elbogap pages"
            print(message, file=sys.stderr)
            status = 1
        elif parts:
            print(f"{page}: refreshed {parts}")
    return status
