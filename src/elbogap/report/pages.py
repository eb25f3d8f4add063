"""The generated parts of the pages for readers: made from committed files alone, the same on each machine.

A part stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import ast
import html
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from elbogap import tables
from elbogap.claims.engine import NOT_ASSESSED
from elbogap.errors import UserError
from elbogap.files import atomic
from elbogap.places import Places
from elbogap.report import catalogue
from elbogap.report.gather import claims
from elbogap.report.lineage import COST_COLUMNS
from elbogap.report.numbers import DASH, duration, memory, number

SCALES = ("smoke", "laptop", "paper")
RECORDED = "laptop"  # the scale whose run the pages show
PAPER = "paper"
_PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
_MARK = re.compile(r"<!-- generated: [\w-]+ -->")


def listed(places: Places) -> list[Path]:
    """The pages in docs/ and the one on injected faults, any of which may have generated parts."""
    return [*sorted(places.docs.glob("*.md")), *places.faults.glob("README.md")]


def stale(file: Path, places: Places) -> list[str]:
    """Names of the parts of a file that are not what they would be if made now.

    Raises:
        UserError: the file cannot be read, a part is unknown or has no end.
    """
    return [match["name"] for match in _parts(file) if match["body"] != _body(match["name"], places)]


def refresh(file: Path, places: Places) -> None:
    """Rewrite the generated parts of a file in place."""
    text = _PART.sub(
        lambda match: f"{match[1]}{_body(match['name'], places)}{match[4]}", file.read_text(encoding="utf-8")
    )
    with atomic(file) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _parts(file: Path) -> list[re.Match[str]]:
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    found = list(_PART.finditer(text))
    for match in found:
        if match["name"] not in PARTS:
            raise UserError(f"{file}: unknown generated part '{match['name']}'; known: {', '.join(PARTS)}")
    if len(found) != len(_MARK.findall(text)):
        raise UserError(f"{file}: a generated part has no '<!-- end -->' line")
    return found


def _body(name: str, places: Places) -> str:
    return "\n".join(PARTS[name](places)) + "\n"


def _targets(places: Places) -> Iterable[str]:
    """All targets of each document and the report, with what they cost where that is recorded."""
    costs = _recorded_costs(places)
    header = ["document", "target", "item", "shows", *SCALES]
    rows = []
    for target in catalogue.everything(places.paper):
        of_target = costs[(costs["document"] == target.document) & (costs["target"] == target.name)]
        rows.append(
            [
                target.document,
                f"`{target.name}`",
                target.label,
                target.title,
                *(_cost(of_target[of_target["scale"] == scale]) for scale in SCALES),
            ]
        )
    return _table(header, rows, right=SCALES)


def _recorded_costs(places: Places) -> pd.DataFrame:
    if not places.recorded_costs.is_file():
        return pd.DataFrame(columns=COST_COLUMNS)
    return tables.read_table(places.recorded_costs).reindex(columns=COST_COLUMNS)


def _cost(rows: pd.DataFrame) -> str:
    if rows.empty:
        return DASH
    text = f"{duration(rows['seconds'].sum(min_count=1))}, {memory(rows['max_rss_mib'].max())}"
    on_gpu = rows[rows["max_gpu_mib"].notna()]
    if len(on_gpu):
        text += f", {memory(on_gpu['max_gpu_mib'].max())} of {' and '.join(sorted(set(on_gpu['device'])))}"
    return text


def _claims(places: Places) -> Iterable[str]:
    """All claims with the verdicts of the recorded run, failures included."""
    verdicts = claims(places.recorded_results(RECORDED) / "claims.csv")
    return _verdicts(verdicts) if verdicts else [f"No run at scale {RECORDED} is recorded yet."]


def _verdicts(rows: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    cells = [
        [f"`{row['id']}`", row["statement"], f"**{row['verdict']}**"]
        + [row[name] for name in ("criterion", "measured", "published")]
        for row in rows
    ]
    return _table(["claim", "statement", "verdict", "criterion", "measured", "published"], cells)


def _paper(places: Places) -> Iterable[str]:
    """What is recorded of the documents' own settings and what is not, and the claims that this decides."""
    rows = []
    for document in catalogue.documents(places.paper):
        lists: dict[bool, list[str]] = {True: [], False: []}
        for target in catalogue.targets(places.paper, document.key):
            lists[_is_recorded(target, places)].append(f"`{target.name}`")
        rows.append([document.key, *(", ".join(lists[is_there]) or DASH for is_there in (True, False))])
    yield from _table(["document", "recorded", "not recorded"], rows)
    decided = [
        row for row in claims(places.recorded_results(PAPER) / "claims.csv") if row["verdict"] != NOT_ASSESSED
    ]
    if decided:
        yield ""
        yield from _verdicts(decided)


def _is_recorded(target: catalogue.Target, places: Places) -> bool:
    return (places.project / target.files(f"reference/{PAPER}")[-1]).is_file()


def _paces(places: Places) -> Iterable[str]:
    """How fast long work of the paper scale was where it was tried, and how long it takes at that pace."""
    if not places.recorded_paces.is_file():
        return ["No pace is recorded yet."]
    paces = tables.read_table(places.recorded_paces)
    header = [
        "job", "work", "device", "threads", "steps", "models", "model-steps/s", "GFLOP/step",
        "of float32 peak", "busy", "time",
    ]  # fmt: skip
    rows = []
    for row in paces[paces["scale"] == PAPER].to_dict("records"):
        rows.append(
            [
                f"`{row['rule']}`",
                f"`{row['work']}`",
                row["device"],
                *(number(row[name]) for name in ("threads", "steps", "members", "model_steps_per_s")),
                number(row["gflop_per_step"], 3),
                *(_share(row[name]) for name in ("peak_share", "busy_share")),
                duration(row["piece_hours"] * 3600),
            ]
        )
    return _table(header, rows, right=header[3:])


def _share(value: float) -> str:
    return DASH if pd.isna(value) else f"{value:.0%}".replace("%", " %")


def _gallery(places: Places) -> Iterable[str]:
    """The recorded pictures, three in a row."""
    pictures = []
    for document in catalogue.documents(places.paper):
        for target in catalogue.targets(places.paper, document.key):
            path = places.recorded_figures(RECORDED) / document.key / f"{target.name}.png"
            if path.is_file():
                name = f"../{path.relative_to(places.project).as_posix()}"
                title = f"{document.key}, {target.label}: {target.title}"
                pictures.append(
                    f'<a href="{name}"><img src="{name}" width="32%" alt="{html.escape(title)}"></a>'
                )
    return pictures or [f"No run at scale {RECORDED} is recorded yet."]


def _faults(places: Places) -> Iterable[str]:
    """Kinds of faults and what is promised, from the docstrings of the tests that inject them."""
    rows = []
    for path in sorted(places.faults.glob("test_*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        kind, _, promise = (ast.get_docstring(tree) or "").partition("\n\n")
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        tests = [name for name in functions if name.startswith("test_")]
        rows.append(
            [kind.removeprefix("Kind "), promise.removeprefix("Promise: "), f"`{path.name}`, {len(tests)}"]
        )
    return _table(["kind", "promise", "tests"], rows)


PARTS: dict[str, Callable[[Places], Iterable[str]]] = {
    "gallery": _gallery,
    "targets": _targets,
    "claims": _claims,
    "paper": _paper,
    "paces": _paces,
    "faults": _faults,
}


def _table(header: Iterable[str], rows: Iterable[Iterable[str]], right: Iterable[str] = ()) -> list[str]:
    columns = list(header)
    rule = ["---:" if name in right else "---" for name in columns]
    return [_row(columns), _row(rule), *(_row(row) for row in rows)]


def _row(cells: Iterable[str]) -> str:
    return "| " + " | ".join(" ".join(cell.split()).replace("|", "\\|") for cell in cells) + " |"
