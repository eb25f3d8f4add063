"""The parts of the site that are made when it is built, from committed files alone: Markdown for MyST.

A page holds `<!-- site: NAME ARGUMENT -->` and `<!-- end -->`; what stands between them is for those who read
the page in the repository, and gives way to the part on the site.
"""

import argparse
import pkgutil
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any
from unittest import mock

from elbogap import cli
from elbogap.claims.engine import NOT_ASSESSED, VERDICTS
from elbogap.digest import SOURCE
from elbogap.places import Places
from elbogap.report import catalogue, pages
from elbogap.report.gather import claims
from elbogap.report.numbers import DASH, number
from elbogap.scales import DOCUMENTS, Config, Scales

RECORDED = pages.SCALES[1:]  # nothing is recorded at smoke scale
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
            f"{document.authors}: [{document.title}]({document.url}), {document.venue}. {document.year}.\n",
            f"## What it says, and what is built here\n{said}",
            "## Verdicts\n",
            *_verdicts(places, key),
            "\n## Figures\n",
            *_figures(places, key),
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
    verdicts = [row["verdict"] for row in _claims(places, key, scale) if _is_finding(row)]
    return ", ".join(f"{verdicts.count(word)} {word}" for word in VERDICTS if word in verdicts) or DASH


def _claims(places: Places, key: str, scale: str) -> list[dict[str, str]]:
    rows = claims(places.recorded_results(scale) / "claims.csv")
    return [row for row in rows if row["document"] == key and row["verdict"] != NOT_ASSESSED]


def _is_finding(row: Mapping[str, str]) -> bool:
    return (row["nature"], row["origin"]) == ("finding", "document")


def _verdicts(places: Places, key: str) -> Iterator[str]:
    by_scale = {scale: {row["id"]: row for row in _claims(places, key, scale)} for scale in RECORDED}
    scales = [scale for scale in RECORDED if by_scale[scale]]
    rows = {name: row for scale in scales for name, row in by_scale[scale].items()}
    yield (
        "The effect that decided stands behind a verdict, with its 95 % interval where chance has a part; "
        "[claims](../claims.md) says how to read it. A dash: not decided at this scale."
    )
    for heading, belongs in (
        ("What the document found", _is_finding),
        ("Theorems, facts of the set-up and findings of ours", lambda row: not _is_finding(row)),
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


def _costs(places: Places, key: str) -> list[str]:
    header, rule, *rows = pages.PARTS["targets"](places)
    own = [row for row in rows if row.startswith(f"| {key} |")]
    return [f"| {line.split(' | ', 1)[1]}" for line in (header, rule, *own)]


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
    part.__name__: part for part in (paper, papers, settings, commands, api, file)
}
