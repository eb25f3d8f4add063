"""The parts of the site that are made when it is built, from committed files alone: Markdown for MyST.

A page holds `<!-- site: NAME ARGUMENT -->` and `<!-- end -->`; what stands between them is for those who read
the page in the repository, and gives way to the part on the site.
"""

import argparse
import ast
import json
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest import mock

import jinja2
import pandas as pd

from elbogap import cli, provenance, tables
from elbogap.claims import decide, engine, specification
from elbogap.claims.engine import NOT_ASSESSED, VERDICTS
from elbogap.digest import SOURCE
from elbogap.places import Places
from elbogap.report import catalogue, pages
from elbogap.report.gather import claims, is_finding
from elbogap.report.numbers import DASH, cell, number
from elbogap.scales import DOCUMENTS, Config, Scales

RECORDED = pages.SCALES[1:]  # nothing is recorded at smoke scale
WHOLE_TABLE, HEAD = 40, 12  # rows: longer tables are shown by their first rows
Values = Mapping[str, Any]  # a value, or values of a section's keys, by scale
_PART = re.compile(r"<!-- site: (?P<name>\w+) ?(?P<argument>[\w./]*) -->\n.*?<!-- end -->\n", re.DOTALL)
_PICTURE = re.compile(r'<a href="[^"]+"><img src="([^"]+/(\w+)/[^"]+)" width="32%" alt="([^"]+)"></a>')


def fill(text: str, places: Places) -> str:
    """A page with its parts, and with pictures of the gallery that lead to the documents."""
    text = _PICTURE.sub(r"[![\3](\1){.thumbnail}](papers/\2.md)", text)
    return _PART.sub(lambda part: PARTS[part["name"]](places, part["argument"]), text)


def paper(places: Places, key: str) -> str:
    """All on one document: texts, verdicts at each recorded scale, figures with captions, costs."""
    (document,) = (document for document in catalogue.documents(places.paper) if document.key == key)
    notes = (places.paper / key / "notes.md").read_text(encoding="utf-8")
    said, _, cost = notes.partition("\n## What\n")[2].partition("\n## Cost\n")
    return "\n".join(
        [
            f"{document.authors}: {document.link}, {document.venue}. {document.year}.\n",
            f"## What it says, and what is built here\n{said}",
            "## Verdicts\n",
            *_verdicts(places, key),
            "\n## Figures\n",
            *_figures(places, key),
            "\n## Tables\n",
            *_tables(places, key),
            f"## Costs\n{cost}",
            *_costs(places, key),
            "",
        ]
    )


def papers(places: Places, _: str) -> str:
    """The documents, and the verdicts on what they found, by recorded scale."""
    rows = []
    for document in catalogue.documents(places.paper):
        name = f"{document.authors} ({document.year}): [{document.title}](papers/{document.key}.md)"
        rows.append([f"`{document.key}`", name, *(_count(places, document.key, scale) for scale in RECORDED)])
    return _table(["key", "document", *RECORDED], rows)


def _count(places: Places, key: str, scale: str) -> str:
    verdicts = [row["verdict"] for row in _claims(places, key, scale) if is_finding(row)]
    return ", ".join(f"{verdicts.count(word)} {word}" for word in VERDICTS if word in verdicts) or DASH


def _claims(places: Places, key: str, scale: str) -> list[dict[str, str]]:
    rows = claims(places.recorded_results(scale) / "claims.csv")
    return [row for row in rows if row["document"] == key and row["verdict"] != NOT_ASSESSED]


def _verdicts(places: Places, key: str) -> Iterator[str]:
    by_scale = {scale: {row["id"]: row for row in _claims(places, key, scale)} for scale in RECORDED}
    scales = [scale for scale in RECORDED if by_scale[scale]]
    rows = {name: row for scale in scales for name, row in by_scale[scale].items()}
    yield (
        "The effect that decided stands behind a verdict, with its 95 % interval where chance has a part; "
        "[claims](../claims.md) says how to read it. A dash: not decided at this scale."
    )
    for heading, belongs in (
        ("What the document found", is_finding),
        ("Theorems, facts of the set-up and findings of ours", lambda row: not is_finding(row)),
    ):
        cells = [
            [f"{_plain(row['statement'])} `{name}`{{.claim}}", _plain(row["criterion"])]
            + [_verdict(by_scale[scale].get(name)) for scale in scales]
            for name, row in rows.items()
            if belongs(row)
        ]
        if cells:
            yield f"\n### {heading}\n"
            yield _table(["claim", "holds if", *scales], cells)


def _verdict(row: Mapping[str, str] | None) -> str:
    return f"**{row['verdict']}** {pages._interval(row)}" if row else DASH


def _figures(places: Places, key: str) -> Iterator[str]:
    for target in catalogue.targets(places.paper, key):
        caption = (places.paper / key / "captions" / f"{target.name}.rst").read_text(encoding="utf-8")
        lines = caption.partition("\n")[2].strip().split("\n")
        for scale in RECORDED:
            picture, image = target.files(scale)[0], target.files(f"reference/{scale}")[-1]
            if target.kind == "figure" and (places.project / image).is_file():
                lines += [
                    "",
                    f".. figure:: /../{image}",
                    f"   :alt: {target.label}, at scale {scale}: {target.title}",
                    "",
                    f"   Scale {scale}: ``snakemake --cores 2 {picture}``",
                ]
        if target.kind == "figure":
            yield f"### {_plain(target.label)}: {_plain(target.title)}\n"
            yield "\n".join(["```{eval-rst}", *lines, "```\n"])


def _tables(places: Places, key: str) -> Iterator[str]:
    """Each table as the largest scale that has it recorded it, beside the published numbers."""
    yield "Of the largest scale that is recorded; `results/reference` has those of all scales, whole.\n"
    published = specification.published_folder(places.paper, key)
    for target in catalogue.targets(places.paper, key):
        files = [places.project / target.files(f"reference/{scale}")[-1] for scale in reversed(RECORDED)]
        if target.kind == "table" and (recorded := [file for file in files if file.is_file()]):
            scale = recorded[0].parts[-3]
            yield f"### {_plain(target.label)}: {_plain(target.title)}\n\n{_plain(target.caption)}\n"
            yield f"Scale {scale}: `snakemake --cores 2 {target.files(scale)[0]}`\n"
            yield _rows(tables.read_table(recorded[0]))
            if (numbers := published / f"{target.name}.csv").is_file():
                yield f"\nPublished or reference values:\n\n{_rows(tables.read_table(numbers))}"


def _rows(frame: pd.DataFrame) -> str:
    """A table whole when short, else its first rows; columns of one value stand apart."""
    same = [name for name in frame if len(frame) > 1 and frame[name].nunique(dropna=False) == 1]
    shown = frame.drop(columns=same).head(HEAD if len(frame) > WHOLE_TABLE else WHOLE_TABLE)
    rows = [[_plain(cell(value)) for value in row] for row in shown.itertuples(index=False)]
    text = _table([_plain(str(name)) for name in shown], rows)
    constant = [f"{name} = {cell(frame[name].iloc[0])}" for name in same if name != "document"]
    notes = [f"In all rows {', '.join(constant)}."] if constant else []
    notes += [f"The first {len(shown)} of {len(frame)} rows."] if len(shown) < len(frame) else []
    return f"{text}\n{_plain(' '.join(notes))}\n"


def explorer(places: Places, _: str) -> str:
    """All claims of all recorded scales, to filter, sort and unfold; they work from disk."""
    specified = {claim.id: claim for _, claim in specification.load(places.paper)}
    pictures = {
        key: [target for target in catalogue.targets(places.paper, key) if target.kind == "figure"]
        for key in DOCUMENTS
    }
    rows = []
    for scale in RECORDED:
        folder = places.recorded_results(scale)
        effects = dict(iter(engine.read_effects(folder / "claims_effects.csv").groupby("id")))
        for row in claims(folder / "claims.csv"):
            claim = specified[row["id"]]
            shown = effects.get(row["id"], pd.DataFrame()).to_dict("records")
            verdict = f"{decide.LOOKS[row['verdict']][0]} {row['verdict']}"
            kind = "finding" if is_finding(row) else f"{row['nature']}, {row['origin']}"
            named = ("document", "scale", "verdict", "status")
            rows.append(
                {
                    "id": row["id"],
                    "choices": {name: row[name] for name in named} | {"nature": kind},
                    "cells": [
                        *(row["document"], scale, verdict, row["statement"], row["criterion"]),
                        pages._interval(row),
                    ],
                    "facts": {
                        "in the document": row["item"], "nature": f"{row['nature']}, {row['origin']}",
                        "decided by": row["detail"], "measured": row["measured"],
                        "published": f"{row['published']} {row['source']}".removeprefix(f"{DASH} "),
                        "tolerance": row["tolerance"], "note": row["note"],
                        "replicates": row["replicates"], "replicates that would decide": row["needed"],
                        "provenance": _provenance(places, folder / claim.table),
                    },
                    "links": _pictures(places, scale, claim.item, pictures[row["document"]]),
                    "command": f"snakemake --cores 2 results/{scale}/{claim.table}",
                    "table": [EFFECT, *map(_effect, shown)] if len(shown) > 1 else [],
                }
            )  # fmt: skip
    columns = ["document", "scale", "verdict", "claim", "holds if", "effect (95 % interval)"]
    return _explorer(places, columns, rows, unfolds=3)


EFFECT = ["group", "effect", "value", "95 % interval", "limits", "verdict"]


def _explorer(places: Places, columns: list[str], rows: list[dict[str, Any]], unfolds: int) -> str:
    """A table to filter by the rows' choices, to sort, and to unfold by the cell of that number."""
    order = [*DOCUMENTS, *RECORDED, *VERDICTS]
    choices = {
        name: sorted(
            {row["choices"][name] for row in rows},
            key=lambda value: (order.index(value) if value in order else len(order), value),
        )
        for name in rows[0]["choices"]
    }
    template = (places.docs / "explorer.html.jinja").read_text(encoding="utf-8")
    html = jinja2.Template(template, autoescape=True, trim_blocks=True).render(
        columns=columns, rows=rows, choices=choices, unfolds=unfolds
    )
    return f"````{{raw}} html\n{html}\n````\n"


def atlas(places: Places, _: str) -> str:
    """The scores of every method on every problem of the largest recorded scale, over seeds."""
    folder = next(
        places.recorded_results(scale) / "atlas"
        for scale in reversed(RECORDED)
        if (places.recorded_results(scale) / "atlas" / "tab_intervals.csv").is_file()
    )
    scale, rows = folder.parent.name, []
    table = tables.read_table(folder / "tab_intervals.csv")
    metrics = [name for name in table if f"{name}_low" in table]
    for row in table.to_dict("records"):
        means = [row[name] for name in ("gap", "sliced_wasserstein", "sd_bias", "k_hat", "evaluations")]
        intervals = [
            [name, number(row[name]), f"{number(row[f'{name}_low'])} to {number(row[f'{name}_high'])}"]
            for name in metrics
            if not pd.isna(row[name])
        ]
        rows.append(
            {
                "choices": {name: str(row[name]) for name in ("kind", "problem", "method")},
                "cells": [
                    row["problem"].replace("_", " "),
                    row["method"].replace("_", " "),
                    *map(number, means),
                ],
                "facts": {"scale": scale},
                "command": f"snakemake --cores 2 results/{scale}/atlas/tab_intervals.csv",
                "table": [["metric", "mean over seeds", "95 % interval"], *intervals],
                "links": [("draws of every method", "#draws")] if row["dim"] == 2 else [],
            }
        )
    columns = ["problem", "method", "gap / nats", "distance / sd", "error of sd", "k-hat", "evaluations"]
    draws = f"## Draws\n\n![Draws of every method](/../figures/reference/{scale}/atlas/fig03_draws.png)\n"
    return _explorer(places, columns, rows, unfolds=1) + draws


def _pictures(
    places: Places, scale: str, item: str, figures: Iterable[catalogue.Target]
) -> list[tuple[str, str]]:
    """The recorded figures that an item such as "Figures 2 and 3, section 6" names, with the way to them."""
    named, found = _figure_numbers(item), []
    for figure in figures:
        number_of = re.match(r"Figure (\d+)", figure.label)
        file = places.project / figure.files(f"reference/{scale}")[-1]
        if number_of and int(number_of[1]) in named and file.is_file():
            page = f"papers/{figure.document}.html"
            found.append((f"{figure.label}: {figure.title}", page))
    return found


def _figure_numbers(item: str) -> set[int]:
    named: set[int] = set()
    for numbers in re.findall(r"Figures? ((?:\d+(?:, | and | to )?)+)", item):
        for first, last in re.findall(r"(\d+)(?: to (\d+))?", numbers):
            named |= set(range(int(first), int(last or first) + 1))
    return named


def _provenance(places: Places, table: Path) -> str:
    """Who made a recorded table: commit, date, device and versions; nothing if it is not recorded."""
    if not provenance.path_for(table).is_file():
        return ""
    record = provenance.read(table)
    run, versions = record.get("run", {}), record.get("versions", {})
    device = run.get("device_name") or run.get("device")
    return (
        f"commit {record['git'].get('commit')}, {record.get('finished', '')[:10]}, {device}, "
        f"torch {versions.get('torch')}, seeds {json.dumps(record.get('seeds'))}; inputs and digests: "
        f"python -m elbogap provenance {table.relative_to(places.project)}"
    )


def _effect(one: Mapping[str, Any]) -> list[str]:
    """A row on one effect: group, name, value, interval, limits and what it says."""
    low, high = number(one["ci_low"]), number(one["ci_high"])
    interval = DASH if low == high or "∞" in low + high else f"{low} to {high}"
    limits = f"{number(one['at_least'])} to {number(one['at_most'])}"
    verdict = (
        f"{cell(one['verdict'])}, {one['caveat']}"
        if isinstance(one["caveat"], str) and one["caveat"]
        else cell(one["verdict"])
    )
    return [cell(one["group"]), one["effect"], number(one["value"]), interval, limits, verdict]


def _costs(places: Places, key: str) -> list[str]:
    header, rule, *rows = pages.PARTS["targets"](places)
    own = [row for row in rows if row.startswith(f"| {key} |")]
    return [f"| {line.split(' | ', 1)[1]}" for line in (header, rule, *own)]


def notebook(places: Places, name: str) -> str:
    """A notebook with what its last lines show, run when the site is built."""
    parts = []
    for kind, source, shown in run_notebook(places.docs / "notebooks" / f"{name}.ipynb", {}):
        if kind == "markdown":
            parts.append(re.sub(r"\A# .*\n", "", source))
        else:
            parts.append(f"```python\n{source}\n```")
        if shown is not None:
            parts.append(f"````{{raw}} html\n{shown._repr_html_()}\n````")
    return "\n\n".join([*parts, f"The notebook is `docs/notebooks/{name}.ipynb`.\n"])


def run_notebook(path: Path, names: dict[str, Any]) -> Iterator[tuple[str, str, Any]]:
    """Kind, source and, of code that ends in an expression, value of each cell; `names` is their module."""
    for part in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        source, shown = "".join(part["source"]), None
        if part["cell_type"] == "code":
            tree = ast.parse(source)
            last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
            exec(compile(tree, path.name, "exec"), names)
            if isinstance(last, ast.Expr):
                shown = eval(compile(ast.Expression(last.value), path.name, "eval"), names)
        yield part["cell_type"], source, shown


def settings(places: Places, _: str) -> str:
    """Every setting with its description, unit and bounds, and its value at each scale."""
    scales = Scales(places.project / "config")
    values = {scale: scales[scale].model_dump(mode="json") for scale in pages.SCALES}
    schema = Config.model_json_schema()
    parts = [_setting_table([("stand_ins", schema["properties"]["stand_ins"], _inner(values, "stand_ins"))])]
    for key in DOCUMENTS:
        document = _resolved(schema["properties"][key], schema)
        parts.append(f"\n## {key}\n\n{schema['properties'][key]['description']}\n")
        for name, about in document["properties"].items():
            rows = _settings(about, schema, _inner(_inner(values, key), name), "")
            text = about.get("description") or _resolved(about, schema)["description"]
            parts.append(f"\n### `{key}.{name}`\n\n{_plain(text)}\n")
            parts.append(_setting_table(rows))
    return "\n".join(parts)


def _resolved(about: Mapping[str, Any], schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return schema["$defs"][about["$ref"].rpartition("/")[2]] if "$ref" in about else about


def _inner(values: Values, key: str) -> Values:
    return {scale: value[key] for scale, value in values.items() if value is not None and key in value}


def _settings(
    about: Mapping[str, Any], schema: Mapping[str, Any], values: Values, name: str
) -> Iterator[tuple[str, Mapping[str, Any], Values]]:
    """The settings in a section, in mappings to sections and in lists: `cells.*.k` has a value per cell."""
    section = _resolved(about, schema)
    if "$ref" in section.get("items", {}):  # a list of sections: cells that have numbers
        values = {scale: {str(i): one for i, one in enumerate(of, 1)} for scale, of in values.items()}
        section = {"additionalProperties": section["items"]}
    if "properties" not in section and (of_keys := [*section.get("patternProperties", {}).values()]):
        section = {"additionalProperties": of_keys[0]}
    for key, inner in section.get("properties", {}).items():
        yield from _settings(inner, schema, _inner(values, key), f"{name}.{key}".lstrip("."))
    rest = section.get("additionalProperties")
    if isinstance(rest, dict) and "$ref" in rest:
        known = section.get("properties", {})
        for key, inner in _resolved(rest, schema)["properties"].items():
            of_cells = {
                scale: {cell: value[key] for cell, value in (cells or {}).items() if cell not in known}
                for scale, cells in values.items()
            }
            yield from _settings(inner, schema, of_cells, f"{name}.*.{key}".lstrip("."))
    elif "properties" not in section:
        yield name, about, values


def _setting_table(rows: Iterable[tuple[str, Mapping[str, Any], Values]]) -> str:
    cells = []
    for name, about, values in rows:
        limits = "; ".join(_plain(text) for text in (about.get("unit"), _bounds(about)) if text)
        text = f"{_plain(about['description'])} *{limits}*" if limits else _plain(about["description"])
        cells.append([f"`{name}`", text, *(_value(values.get(scale)) for scale in pages.SCALES)])
    return _table(["setting", "what it is; *unit; bounds*", *pages.SCALES], cells)


def _bounds(about: Mapping[str, Any]) -> str:
    words = {
        "minimum": "≥ {}", "exclusiveMinimum": "> {}", "maximum": "≤ {}", "exclusiveMaximum": "< {}",
        "multipleOf": "a multiple of {}", "minItems": "length ≥ {}", "maxItems": "length ≤ {}",
        "enum": "one of {}", "minProperties": "entries ≥ {}",
    }  # fmt: skip
    found = [text.format(_bound(about[key])) for key, text in words.items() if key in about]
    each = _bounds(about["items"]) if isinstance(about.get("items"), dict) else ""
    return ", ".join([*found, *([f"each {each}"] if each else [])])


def _bound(value: Any) -> str:
    return number(value) if isinstance(value, int | float) else _short(value)


def _value(value: Any) -> str:
    """A value, or the values of cells, those of the same value together."""
    if not isinstance(value, dict):
        return DASH if value is None else _plain(_short(value))
    cells: dict[str, list[str]] = {}
    for name, of_cell in value.items():
        cells.setdefault(_short(of_cell), []).append(name)
    if len(cells) == 1:
        return _plain(*cells)
    return "; ".join(f"{_plain(', '.join(names))}: {_plain(text)}" for text, names in cells.items()) or DASH


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "; ".join(f"{key}: {_short(one)}" for key, one in value.items())
    if isinstance(value, list):
        return ", ".join(map(_short, value)) or "none"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


@mock.patch.dict("os.environ", COLUMNS="80")
def commands(places: Places, _: str) -> str:
    """The help of every command, from argparse; experiments share their options."""
    with mock.patch.object(argparse.ArgumentParser, "parse_args", lambda self, _: self):
        parser: Any = cli._parse(["--help"])
    parts, experiments = [_help("elbogap", parser)], []
    for action in parser._subparsers._group_actions:
        about = {choice.dest: choice.help for choice in action._choices_actions}
        for name, command in action.choices.items():
            if "." in name:
                experiments.append((name, command, about[name]))
            else:
                parts.append(_help(name, command))
                for nested in command._subparsers._group_actions if command._subparsers else ():
                    parts += [_help(f"{name} {inner}", of) for inner, of in nested.choices.items()]
    parts.append("## The experiments\n\nAll have the same options; here those of the first:\n")
    parts.append(f"```text\n{experiments[0][1].format_help()}```\n")
    rows = [[f"`{name}`", _plain(text)] for name, _, text in experiments]
    parts.append(_table(["experiment", "what it makes"], rows))
    return "\n".join(parts)


def _help(name: str, parser: argparse.ArgumentParser) -> str:
    usage = re.sub(r"\n    \w+\.\w+.*(\n {24}.*)*", "", parser.format_help())  # experiments have a table
    return f"## `{name}`\n\n```text\n{usage}```\n"


def api(places: Places, package: str) -> str:
    """The modules of a package, or a module, from their docstrings."""
    path = SOURCE.joinpath(*package.split(".")[1:])
    inner = [f"{package}.{module.name}" for module in pkgutil.iter_modules([str(path)]) if not module.ispkg]
    return "\n".join(
        f"## `{module}`\n\n```{{eval-rst}}\n.. automodule:: {module}\n```\n" for module in inner or [package]
    )


def file(places: Places, path: str) -> str:
    """A Markdown file from elsewhere in the repository without its title."""
    return f"```{{include}} /../{path}\n:start-line: 1\n:relative-docs: docs/\n```\n"


def _plain(text: str) -> str:
    """Text that has no markup, as Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>$|~#])", r"\\\1", text)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    header = list(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, ["---"] * len(header), *rows)) + "\n"


PARTS: dict[str, Callable[[Places, str], str]] = {
    part.__name__: part for part in (paper, papers, explorer, atlas, notebook, settings, commands, api, file)
}
