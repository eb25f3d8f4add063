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
    report.add_argument("--scale", type=scale_name, required=True)
    report.add_argument("--outputs", nargs=1, required=True, metavar="pdf=FILE")
    report.set_defaults(call=_report)

    reference = commands.add_parser(
        "reference", help="record a finished run in results/ and figures/reference"
    )
    reference.add_argument("--scale", type=scale_name, required=True)
    reference.add_argument("--costs-only", action="store_true", help="record the costs, not the results")
    reference.add_argument(
        "--add", action="store_true", help="the run lacks targets: keep what is recorded of those"
    )
    reference.set_defaults(call=_reference)

    pages = commands.add_parser("pages", help="refresh the generated parts of the pages in docs/")
    pages.add_argument("--check", action="store_true", help="change nothing; fail if a part is stale")
    pages.set_defaults(call=_pages)

    for parser in (report, reference, pages):
        parser.add_argument("--project", type=Path, help="the checkout; default: the one of this package")


def _report(options: argparse.Namespace) -> None:
    from elbogap import provenance
    from elbogap.places import Places
    from elbogap.report.gather import gather
    from elbogap.report.pdf import typeset

    (output,), places = words.outputs(options.outputs, "pdf"), Places.here(options.project)
    report = gather(options.scale, places)
    pages = typeset(report, places.paper, places.work)
    source = provenance.source("elbogap.report.commands")
    record = provenance.collect(source=source, scale=options.scale, inputs=report["inputs"])
    provenance.publish(record, {output: lambda path: path.write_bytes(pages[0])})


def _reference(options: argparse.Namespace) -> None:
    from elbogap.places import Places
    from elbogap.report.reference import record, record_costs
    from elbogap.writer import sole

    places = Places.here(options.project)
    with sole([places.recorded_costs]):  # every recording changes the costs
        if options.costs_only:
            record_costs(options.scale, places, add=options.add)
            return
        count = record(options.scale, places, add=options.add)
    print(f"recorded {count} files of scale {options.scale}; now refresh the pages: python -m elbogap pages")


def _pages(options: argparse.Namespace) -> int:
    from elbogap.places import Places
    from elbogap.report import pages

    places = Places.here(options.project)
    stale = {page: parts for page in pages.listed(places) if (parts := pages.stale(page, places))}
    for page, parts in stale.items():
        if options.check:
            print(
                f"{page}: generated parts are stale: {', '.join(parts)}; run: python -m elbogap pages",
                file=sys.stderr,
            )
        else:
            pages.refresh(page, places)
            print(f"{page}: refreshed {', '.join(parts)}")
    return 1 if options.check and stale else 0
