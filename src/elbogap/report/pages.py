"""The generated parts of the pages for readers: made from committed files alone, the same on each machine.

A part is what lies between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import ast
import html
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import pandas as pd

from elbogap import tables
from elbogap.claims.engine import NOT_ASSESSED
from elbogap.data.sources import SOURCES
from elbogap.errors import UserError
from elbogap.files import writing
from elbogap.places import Places
from elbogap.report import catalogue, costs
from elbogap.report.gather import claims
from elbogap.report.numbers import DASH, duration, memory, number

SCALES = ("smoke", "laptop", "workstation", "paper")
RECORDED = "laptop"  # the scale whose run the pages show
PAPER = "paper"
NOTHING = f"No run at scale {RECORDED} is recorded yet."
WORKSTATION = "What the recorded run at scale workstation decides:"
_PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
_GROUPS = re.compile(r"(?:; not \w+)?(?: \(of \d+ groups: .*\))?$")  # the end of a detail of a verdict
_MARK = re.compile(r"<!-- generated: [\w-]+ -->")


def listed(places: Places) -> list[Path]:
    """README, the pages in docs/ and the one on injected faults, any of which may have generated parts."""
    return [
        *places.project.glob("README.md"),
        *sorted(places.docs.glob("*.md")),
        *places.faults.glob("README.md"),
    ]


def refresh(file: Path, places: Places, *, check: bool = False) -> list[str]:
    """Rewrite the generated parts of a page, unless it is only checked; the names of those that were stale.

    UserError if the file cannot be written, a part is unknown or has no end.
    """
    text, stale = file.read_text(encoding="utf-8"), []

    def fresh(match: re.Match[str]) -> str:
        name = match["name"]
        if name not in PARTS:
            raise UserError(f"{file}: unknown generated part '{name}'; known: {', '.join(PARTS)}")
        body = "".join(f"{line}\n" for line in PARTS[name](places))
        if body != match["body"]:
            stale.append(name)
        return f"{match[1]}{body}{match[4]}"

    new, count = _PART.subn(fresh, text)
    if count != len(_MARK.findall(text)):
        raise UserError(f"{file}: a generated part has no '<!-- end -->' line")
    if stale and not check:
        with writing(file) as temporary:
            temporary.write_text(new, encoding="utf-8")
    return stale


def _targets(places: Places) -> Iterable[str]:
    """All targets of each document and the report, with what they cost where that is recorded."""
    cost = {key: _cost(jobs) for key, jobs in costs.recorded(places).groupby(["document", "target", "scale"])}
    rows = [
        [target.document, f"`{target.name}`", target.label, target.title]
        + [cost.get((target.document, target.name, scale), DASH) for scale in SCALES]
        for target in catalogue.everything(places.paper)
    ]
    return _table(["document", "target", "item", "shows", *SCALES], rows, right=SCALES)


def _cost(jobs: pd.DataFrame) -> str:
    text, on_gpu = "{time}, {memory}".format(**costs.total(jobs)), jobs.dropna(subset="max_gpu_mib")
    if len(on_gpu):
        text += f", {memory(on_gpu['max_gpu_mib'].max())} of {' and '.join(sorted(set(on_gpu['device'])))}"
    return text


def _findings(places: Places) -> Iterable[str]:
    """The central findings of each document with the verdict of the largest recorded scale that decides."""
    decided = {
        row["id"]: row
        for scale in SCALES
        for row in claims(places.recorded_results(scale) / "claims.csv")
        if row["verdict"] != NOT_ASSESSED
    }
    rows = []
    for document in catalogue.documents(places.paper):
        link = f"{document.link}, {document.year}"
        for row in (decided[name] for name in document.central if name in decided):
            groups = _GROUPS.findall(row["detail"])[0]
            verdict = f"**{row['verdict']}** at {row['scale']} scale: {_interval(row)}{groups}"
            rows.append([link, row["statement"], verdict])
            link = ""
    return _table(["document", "it says", "verdict: effect (95 % interval)"], rows) if rows else [NOTHING]


def _claims(places: Places) -> Iterable[str]:
    """All claims with the verdicts of the recorded run, failures included; then those of a workstation."""
    also = _verdicts(places, "workstation", decided=True)
    return [*(_verdicts(places, RECORDED) or [NOTHING]), *(["", WORKSTATION, ""] if also else []), *also]


def _verdicts(places: Places, scale: str, *, decided: bool = False) -> list[str]:
    """The verdicts of a recorded run, or of the claims that it decided; nothing if there are none."""
    rows = [
        [f"`{row['id']}`", row["statement"], f"**{row['verdict']}**"]
        + [row[name] for name in ("nature", "criterion", "measured")]
        + [_interval(row)]
        + [row["published"]]
        for row in claims(places.recorded_results(scale) / "claims.csv")
        if not (decided and row["verdict"] == NOT_ASSESSED)
    ]
    header = ["claim", "statement", "verdict", "nature", "criterion", "measured", "effect", "published"]
    return _table(header, rows) if rows else []


def _interval(row: Mapping[str, str]) -> str:
    """The effect that decides with its interval, where it has one."""
    low, high = row["ci_low"], row["ci_high"]
    return row["effect"] if low == high or "∞" in low + high else f"{row['effect']} ({low} to {high})"


def _paper(places: Places) -> Iterable[str]:
    """What is recorded of the documents' own settings and what is not, and the claims that this decides."""
    rows = []
    for document in catalogue.documents(places.paper):
        names: dict[bool, list[str]] = {True: [], False: []}
        for target in catalogue.targets(places.paper, document.key):
            file = places.project / target.files(f"reference/{PAPER}")[-1]
            names[file.is_file()].append(f"`{target.name}`")
        rows.append([document.key, *(", ".join(names[known]) or DASH for known in (True, False))])
    targets = _table(["document", "recorded", "not recorded"], rows)
    verdicts = _verdicts(places, PAPER, decided=True)
    return [*targets, "", *verdicts] if verdicts else targets


def _paces(places: Places) -> Iterable[str]:
    """How fast long work of the paper scale was where it was tried, and how long it takes at that pace."""
    if not places.recorded_paces.is_file():
        return ["No pace is recorded yet."]
    paces = tables.read_table(places.recorded_paces)

    def percent(fraction: float) -> str:
        return DASH if pd.isna(fraction) else f"{100 * fraction:.0f} %"

    rows = [
        [
            f"`{row['rule']}`",
            f"`{row['work']}`",
            row["device"],
            *(number(row[column]) for column in ("threads", "steps", "members", "model_steps_per_s")),
            number(row["gflop_per_step"], 3),
            percent(row["peak_share"]),
            percent(row["busy_share"]),
            duration(row["piece_hours"] * 3600),
        ]
        for row in paces[paces["scale"] == PAPER].to_dict("records")
    ]
    numbers = ["threads", "steps", "models", "model-steps/s", "GFLOP/step", "of float32 peak", "busy", "time"]
    return _table(["job", "work", "device", *numbers], rows, right=numbers)


def _libraries(places: Places) -> Iterable[str]:
    """Training speed beside other libraries, as `make bench` measured it."""
    if not (file := places.recorded / "libraries.csv").is_file():
        return ["No speed is recorded yet."]
    table = tables.read_table(file).drop(columns="version")
    (device,) = table.pop("device").unique()
    table = table.map(lambda value: value if isinstance(value, str) else number(value, 3))
    return [f"CPU: {device}.", "", *_table(table.columns, table.to_numpy())]


def _gallery(places: Places) -> Iterable[str]:
    """The recorded pictures, three in a row."""
    pictures = []
    for target in catalogue.everything(places.paper):
        path = places.recorded_figures(RECORDED) / target.document / f"{target.name}.png"
        if path.is_file():
            name = f"../{path.relative_to(places.project).as_posix()}"
            title = html.escape(f"{target.document}, {target.label}: {target.title}")
            pictures.append(f'<a href="{name}"><img src="{name}" width="32%" alt="{title}"></a>')
    return pictures or [NOTHING]


def _faults(places: Places) -> Iterable[str]:
    """Kinds of faults and what is promised, from the docstrings of the tests that inject them."""
    rows = []
    for path in sorted(places.faults.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kind, _, promise = (ast.get_docstring(tree) or "").partition("\n\n")
        tests = [n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name.startswith("test_")]
        promise = promise.removeprefix("Promise: ")
        rows.append([kind.removeprefix("Kind "), promise, f"`{path.name}`, {len(tests)}"])
    return _table(["kind", "promise", "tests"], rows)


def _sources(places: Places) -> Iterable[str]:
    """The variants of each data set with their files, how these are known, and who serves them."""
    rows = [
        (
            f"`{name}`",
            f"{variant.name}: " + ", ".join(f"`{file.name}`" for file in variant.files),
            ", ".join(dict.fromkeys(digest for file in variant.files for digest in file.digests)),
            ", ".join(variant.ways) or "cache or mirror folder",
            variant.note,
        )
        for name, origin in SOURCES.items()
        for variant in origin.variants
    ]
    return _table(("data set", "variant: files", "known by", "served by", "note"), rows)


def _licences(places: Places) -> Iterable[str]:
    """Where each data set comes from, and under which licence."""
    rows = [
        (f"`{name}`", f"[{origin.title}]({origin.page})", origin.licence, origin.citation)
        for name, origin in SOURCES.items()
    ]
    return _table(("name", "data set", "licence", "citation"), rows)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]], right: Iterable[str] = ()) -> list[str]:
    rule = ["---:" if name in right else "---" for name in header]
    lines = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in (header, rule, *rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]


PARTS: dict[str, Callable[[Places], Iterable[str]]] = {
    part.__name__.removeprefix("_"): part
    for part in (
        _findings,
        _gallery,
        _targets,
        _claims,
        _paper,
        _paces,
        _libraries,
        _faults,
        _sources,
        _licences,
    )
}
