"""All that the report of a scale says, as plain data: read from a run's files, not computed again."""

import dataclasses
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode

from elbogap import provenance, tables
from elbogap.claims import specification
from elbogap.claims.engine import VERDICTS, read_verdicts
from elbogap.errors import UserError, did_you_mean
from elbogap.places import Places
from elbogap.provenance import SUFFIX
from elbogap.report import catalogue, costs
from elbogap.report.catalogue import Document, Target
from elbogap.report.lineage import Lineage
from elbogap.report.numbers import cell

WHOLE_TABLE, HEAD = 40, 12  # rows: longer tables are shown by their first rows
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
    specified = {claim.id: claim for _, claim in specification.load(places.paper)}
    shown, later = [], []
    for document in catalogue.documents(places.paper):
        drawn = places.figures(scale).glob(f"{document.key}/fig*.p[dn][fg]")
        made = [*drawn, *results.glob(f"{document.key}/tab*.csv")]
        if targets := catalogue.targets(places.paper, document.key, made):
            own = [verdict for verdict in verdicts if verdict["document"] == document.key]
            shown.append(_document(document, targets, lineage, own, specified))
        else:
            later.append(document.model_dump())
    products = [product for d in shown for target in d["targets"] for product in target["products"]]
    verdicts_file = f"results/{scale}/claims.csv"
    inputs = [*products, verdicts_file] if verdicts else products
    data = [path for path in sorted(results.glob("data/*.json")) if SUFFIX not in path.name]
    for path in data:
        provenance.verify(path)
    records = [lineage.record(product) for product in lineage.upstream(products)]
    summary = []
    for d in shown:
        findings = [row for row in d["claims"] if (row["nature"], row["origin"]) == ("finding", "document")]
        others = [row for row in d["claims"] if row not in findings]
        summary.append(
            {
                "key": d["key"],
                "title": d["title"],
                "built": sum(bool(target["products"]) for target in d["targets"]),
                "targets": len(d["targets"]),
                # how many findings of the document have each, and how many other claims hold, of how many
                "verdicts": [sum(row["verdict"] == word for row in findings) for word in VERDICTS],
                "others": [sum(row["verdict"] == VERDICTS[0] for row in others), len(others)],
            }
        )
    return {
        "scale": scale,
        "inputs": {name: provenance.verify(places.work / name) for name in inputs},
        "documents": shown,
        "later": later,
        "summary": summary,
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
    document: Document,
    targets: Iterable[Target],
    lineage: Lineage,
    verdicts: list[dict[str, str]],
    specified: Mapping[str, specification.Claim],
) -> dict[str, Any]:
    places = lineage.places
    notes = places.paper / document.key / "notes.md"
    published = specification.published_folder(places.paper, document.key)
    shown = [_target(target, lineage) for target in targets]
    for verdict in verdicts:  # goes to the first target that is, or else is made from, the table it rests on
        claim = specified.get(verdict["id"])
        source = f"results/{lineage.scale}/{claim.table}" if claim else None
        for target in [t for key in ("products", "upstream") for t in shown if source in t[key]][:1]:
            target["claims"].append(verdict)
    for target in shown:
        compared = [specified[verdict["id"]].published for verdict in target["claims"]]
        files = [known.file for known in compared if isinstance(known, specification.PublishedFile)]
        for path in (published / name for name in dict.fromkeys([f"{target['name']}.csv", *files])):
            if path.is_file():
                name = path.relative_to(places.project).as_posix()
                target["published"].append(table(tables.read_table(path), name))
    return {
        **document.model_dump(),
        "notes": markdown_tree(notes.read_text(encoding="utf-8")) if notes.is_file() else None,
        "targets": shown,
        "claims": verdicts,
    }


def _target(target: Target, lineage: Lineage) -> dict[str, Any]:
    work = lineage.places.work
    products = [name for name in target.files(lineage.scale) if (work / name).is_file()]
    result: dict[str, Any] = {
        **dataclasses.asdict(target),
        "products": products,
        "upstream": lineage.upstream(products),
        "stand_in": lineage.rests_on_stand_in(products),
        "claims": [],
        "published": [],
        "cost": _total(lineage.costs(products)),
    }
    if products and target.kind == "figure":
        result["image"] = products[0]
    elif products:
        frame = tables.read_table(work / products[0])
        result["table"] = table(frame, products[0])
        result["stand_in"] |= tables.rests_on_stand_in(frame)
    return result


def table(frame: pd.DataFrame, file: str) -> dict[str, Any]:
    """A table for print: whole when short, else its first rows; columns of one value are listed apart."""
    same = [name for name in frame if len(frame) > 1 and frame[name].nunique(dropna=False) == 1]
    constant = [[str(name), cell(frame[name].iloc[0])] for name in same if name != "document"]
    frame = frame.drop(columns=same)
    shown = frame if len(frame) <= WHOLE_TABLE else frame.head(HEAD)
    return {
        "constant": constant,
        "columns": [str(name) for name in frame.columns],
        "numeric": [bool(pd.api.types.is_numeric_dtype(kind)) for kind in frame.dtypes],
        "rows": [[cell(value) for value in row] for row in shown.itertuples(index=False)],
        "total": len(frame),
        "file": file,
    }


def _total(jobs: pd.DataFrame) -> dict[str, Any]:
    """What jobs cost together, and their rules with the number of jobs."""
    cells = Counter(rule.partition("[")[0] for rule in jobs["rule"])
    rules = [rule if count == 1 else f"{rule} × {count}" for rule, count in cells.items()]
    return {"rules": rules, **costs.total(jobs)}


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
