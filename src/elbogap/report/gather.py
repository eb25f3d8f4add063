"""All that the report of a scale says, as plain data: read from a run's files, not computed again."""

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from elbogap import provenance, tables
from elbogap.claims.engine import VERDICTS, read_verdicts
from elbogap.errors import UserError, did_you_mean
from elbogap.places import Places
from elbogap.provenance import SUFFIX
from elbogap.report import catalogue, costs
from elbogap.report.catalogue import Document, Target
from elbogap.report.lineage import Lineage
from elbogap.report.numbers import cell

SITE_ONLY = ("Second reading", "Roadmap", "Cost")  # sections of notes that the report leaves out
WRITTEN = ("statement", "item", "criterion", "note", "source")  # columns of a claims table that people wrote


def gather(scale: str, places: Places) -> dict[str, Any]:
    """All that `paper/report.typ` prints for one scale.

    UserError if the scale has no results, or a file of the run or of `paper/` cannot be read.
    """
    results = places.results(scale)
    if not results.is_dir():
        hint = did_you_mean(scale, (path.name for path in places.results("").glob("*/")))
        raise UserError(
            f"no results at scale '{scale}'{hint}; build them first: "
            f"snakemake --cores 2 --config scale={scale} -- all"
        )
    lineage, verdicts = Lineage(places, scale), claims(results / "claims.csv")
    shown, later = [], []
    for document in catalogue.documents(places.paper):
        drawn = places.figures(scale).glob(f"{document.key}/fig*.p[dn][fg]")
        made = [*drawn, *results.glob(f"{document.key}/tab*.csv")]
        if targets := catalogue.targets(places.paper, document.key, made):
            own = [verdict for verdict in verdicts if verdict["document"] == document.key]
            shown.append(_document(document, targets, lineage, own))
        else:
            later.append(document.model_dump())
    products = [product for d in shown for target in d["targets"] for product in target["products"]]
    verdicts_file = f"results/{scale}/claims.csv"
    inputs = [*products, verdicts_file] if verdicts else products
    data = [path for path in sorted(results.glob("data/*.json")) if SUFFIX not in path.name]
    for path in data:
        provenance.verify(path)
    records = [lineage.record(product) for product in lineage.upstream(products)]
    return {
        "scale": scale,
        "inputs": {name: provenance.verify(places.work / name) for name in inputs},
        "documents": shown,
        "later": later,
        "cost": costs.total(lineage.costs([*products, verdicts_file])),
        "data": [tables.read_json(path) for path in data],
        "environment": _environment(records),
    }


def claims(path: Path) -> list[dict[str, str]]:
    """The rows of a claims table as text for readers; none where there is no table yet."""
    if not path.is_file():
        return []
    frame = read_verdicts(path)
    provenance.verify(path)
    return [
        {str(name): value if name in WRITTEN and value else cell(value) for name, value in row.items()}
        for row in frame.to_dict("records")
    ]


def markdown_tree(text: str) -> dict[str, Any]:
    """A CommonMark text with tables, without HTML, as `{kind, level, text, link, align, children}`.

    `paper/markdown.typ` turns it into content. The words travel as strings, never as Typst source, so nothing
    in them needs escaping.
    """
    return _node(SyntaxTreeNode(MarkdownIt("commonmark", {"html": False}).enable("table").parse(text)))


def _node(node: SyntaxTreeNode) -> dict[str, Any]:
    result: dict[str, Any] = {"kind": node.type, "children": [_node(child) for child in node.children]}
    if node.type in ("text", "code_inline", "code_block", "fence"):
        result["text"] = node.content.rstrip("\n")
    elif node.type == "heading":
        result["level"] = int(node.tag[1:])
    elif node.type == "link":
        result["link"] = str(node.attrs["href"])
    elif node.type in ("th", "td"):
        result["align"] = str(node.attrs.get("style", "text-align:left")).removeprefix("text-align:")
    return result


def _document(
    document: Document, targets: Iterable[Target], lineage: Lineage, verdicts: list[dict[str, str]]
) -> dict[str, Any]:
    notes = lineage.places.paper / document.key / "notes.md"
    findings = [row for row in verdicts if is_finding(row)]
    others = [row for row in verdicts if row not in findings]
    return {
        **document.model_dump(),
        "notes": _printed(markdown_tree(notes.read_text(encoding="utf-8"))) if notes.is_file() else None,
        "targets": [_target(target, lineage) for target in targets],
        "findings": findings,
        "others": others,
        # how many findings of the document have each, and how many other claims hold
        "verdicts": [sum(row["verdict"] == word for row in findings) for word in VERDICTS],
        "holding": sum(row["verdict"] == VERDICTS[0] for row in others),
    }


def is_finding(claim: Mapping[str, str]) -> bool:
    """Whether a row of a claims table is what the document found: it could have come out otherwise."""
    return (claim["nature"], claim["origin"]) == ("finding", "document")


def _printed(notes: dict[str, Any]) -> dict[str, Any]:
    """Notes without the sections that the site alone shows."""
    shown, kept = True, []
    for node in notes["children"]:
        if node.get("level") == 2:
            shown = node["children"][0]["children"][0]["text"] not in SITE_ONLY
        if shown:
            kept.append(node)
    return {**notes, "children": kept}


def _target(target: Target, lineage: Lineage) -> dict[str, Any]:
    work = lineage.places.work
    products = [name for name in target.files(lineage.scale) if (work / name).is_file()]
    stand_in = lineage.rests_on_stand_in(products)
    if products and target.kind == "table":
        stand_in |= tables.rests_on_stand_in(tables.read_table(work / products[0]))
    return {**dataclasses.asdict(target), "products": products, "stand_in": stand_in}


def _environment(records: Iterable[Mapping[str, Any]]) -> list[list[str]]:
    """What made the products: each property with all the values that their records name."""
    found: dict[str, set[str]] = {}
    for record in records:
        git, run = record.get("git", {}), record.get("run", {})
        values = {
            "commit": git.get("commit") or git.get("why"),
            "uncommitted changes": {True: "yes", False: "no"}.get(git.get("dirty")),
            "device": run.get("device_name") or run.get("device"),
            "threads": run.get("threads"),
            **record.get("platform", {}),
            **record.get("versions", {}),
        }
        for name, value in values.items():
            if value is not None:
                found.setdefault(name, set()).add(str(value))
    return [[name, ", ".join(sorted(values))] for name, values in found.items()]
