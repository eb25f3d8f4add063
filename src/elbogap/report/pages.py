"""The generated parts of the pages for readers: made from committed files alone, the same on each machine.

A part is what lies between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

import ast
import html
import re
from collections.abc import Callable, Iterable
from pathlib import Path

import pandas as pd

from elbogap import tables
from elbogap.claims.engine import NOT_ASSESSED
from elbogap.errors import UserError
from elbogap.files import writing
from elbogap.places import Places
from elbogap.report import catalogue, costs
from elbogap.report.gather import claims
from elbogap.report.numbers import DASH, duration, memory, number

SCALES = ("smoke", "laptop", "paper")
RECORDED = "laptop"  # the scale whose run the pages show
PAPER = "paper"
NOTHING = f"No run at scale {RECORDED} is recorded yet."
_PART = re.compile(r"(<!-- generated: (?P<name>[\w-]+) -->\n)(?P<body>.*?)(<!-- end -->)", re.DOTALL)
_MARK = re.compile(r"<!-- generated: [\w-]+ -->")


def listed(places: Places) -> list[Path]:
    """The pages in docs/ and the one on injected faults, any of which may have generated parts."""
    return [*sorted(places.docs.glob("*.md")), *places.faults.glob("README.md")]


def refresh(file: Path, places: Places, *, check: bool = False) -> list[str]:
    """Rewrite the generated parts of a page, unless it is only checked; the names of those that were stale.

    Raises:
        UserError: the file cannot be read or written, a part is unknown or has no end.
    """
    try:
        text = file.read_text(encoding="utf-8")
    except OSError as error:
        raise UserError(f"{file}: cannot be read ({error.strerror})") from error
    stale = []

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
    jobs = costs.recorded(places).groupby(["document", "target", "scale"])
    cost = {key: _cost(of_target) for key, of_target in jobs}
    rows = [
        [target.document, f"`{target.name}`", target.label, target.title]
        + [cost.get((target.document, target.name, scale), DASH) for scale in SCALES]
        for target in catalogue.everything(places.paper)
    ]
    return _table(["document", "target", "item", "shows", *SCALES], rows, right=SCALES)


def _cost(jobs: pd.DataFrame) -> str:
    text = f"{duration(jobs['seconds'].sum(min_count=1))}, {memory(jobs['max_rss_mib'].max())}"
    on_gpu = jobs[jobs["max_gpu_mib"].notna()]
    if len(on_gpu):
        text += f", {memory(on_gpu['max_gpu_mib'].max())} of {' and '.join(sorted(set(on_gpu['device'])))}"
    return text


def _claims(places: Places) -> Iterable[str]:
    """All claims with the verdicts of the recorded run, failures included."""
    verdicts = claims(places.recorded_results(RECORDED) / "claims.csv")
    return _verdicts(verdicts) if verdicts else [NOTHING]


def _verdicts(verdicts: Iterable[dict[str, str]]) -> list[str]:
    header = ["claim", "statement", "verdict", "criterion", "measured", "published"]
    marked = [row | {"claim": f"`{row['id']}`", "verdict": f"**{row['verdict']}**"} for row in verdicts]
    return _table(header, [[row[name] for name in header] for row in marked])


def _paper(places: Places) -> Iterable[str]:
    """What is recorded of the documents' own settings and what is not, and the claims that this decides."""
    rows = []
    for document in catalogue.documents(places.paper):
        names: dict[bool, list[str]] = {True: [], False: []}
        for target in catalogue.targets(places.paper, document.key):
            file = places.project / target.files(f"reference/{PAPER}")[-1]
            names[file.is_file()].append(f"`{target.name}`")
        rows.append([document.key, ", ".join(names[True]) or DASH, ", ".join(names[False]) or DASH])
    verdicts = claims(places.recorded_results(PAPER) / "claims.csv")
    decided = [row for row in verdicts if row["verdict"] != NOT_ASSESSED]
    return _table(["document", "recorded", "not recorded"], rows) + (
        ["", *_verdicts(decided)] if decided else []
    )


def _paces(places: Places) -> Iterable[str]:
    """How fast long work of the paper scale was where it was tried, and how long it takes at that pace."""
    if not places.recorded_paces.is_file():
        return ["No pace is recorded yet."]
    paces = tables.read_table(places.recorded_paces)
    forms: dict[str, tuple[str, Callable[..., str]]] = {
        "job": ("rule", "`{}`".format),
        "work": ("work", "`{}`".format),
        "device": ("device", str),
        "threads": ("threads", number),
        "steps": ("steps", number),
        "models": ("members", number),
        "model-steps/s": ("model_steps_per_s", number),
        "GFLOP/step": ("gflop_per_step", lambda value: number(value, 3)),
        "of float32 peak": ("peak_share", _percent),
        "busy": ("busy_share", _percent),
        "time": ("piece_hours", lambda hours: duration(hours * 3600)),
    }
    rows = [
        [form(row[column]) for column, form in forms.values()]
        for row in paces[paces["scale"] == PAPER].to_dict("records")
    ]
    return _table(forms, rows, right=[*forms][3:])


def _percent(fraction: float) -> str:
    return DASH if pd.isna(fraction) else f"{100 * fraction:.0f} %"


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
        functions = [node.name for node in tree.body if isinstance(node, ast.FunctionDef)]
        count = sum(name.startswith("test_") for name in functions)
        rows.append(
            [kind.removeprefix("Kind "), promise.removeprefix("Promise: "), f"`{path.name}`, {count}"]
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
    rule = ["---:" if name in right else "---" for name in header]
    lines = [[" ".join(cell.split()).replace("|", "\\|") for cell in row] for row in (header, rule, *rows)]
    return [f"| {' | '.join(cells)} |" for cells in lines]
