"""What the time of a run of the workflow is spent on, rule by rule.

The wall time of a job is Snakemake's own record; what the process spent on data, training, evaluation and
writing is in the provenance of its results. The rest is start-up: of the shell, Python and its imports, and
of the digests of the code.
"""

import json
from pathlib import Path

import pandas as pd

from elbogap import style
from elbogap.provenance import path_for
from elbogap.report.lineage import jobs

PARTS = ["start-up", "data", "training", "evaluation", "writing"]
COLOURS = [style.GREY, style.ORANGE, style.BLUE, style.GREEN, style.PURPLE]


def measure(results: Path) -> pd.DataFrame:
    """A row per rule of the run whose results lie in a folder: its jobs, and the seconds of each part."""
    rows = []
    for job in jobs(results / "benchmarks"):
        record = next((path_for(Path(path)) for path in job.outputs if path_for(Path(path)).is_file()), None)
        spent = json.loads(record.read_text(encoding="utf-8")).get("spent_s", {}) if record else {}
        row = {"scale": results.name, "rule": job.rule.partition("[")[0], "jobs": 1, "wall": job.seconds}
        rows.append(row | {part: spent.get(part, 0.0) for part in PARTS[1:]})
    table = pd.DataFrame(rows).groupby(["scale", "rule"], as_index=False).sum()
    table.insert(4, "start-up", (table["wall"] - table[PARTS[1:]].sum(axis=1)).clip(lower=0))
    return table.sort_values("wall", ascending=False, ignore_index=True)


def picture(table: pd.DataFrame) -> style.Figure:
    """The rules that take most of a run, and the rest of them together."""
    scales = table["scale"].unique()
    figure = style.Figure(figsize=(style.PAGE, 3.4 * len(scales)))
    for axis, scale in zip(figure.subplots(len(scales), 1, squeeze=False)[:, 0], scales, strict=True):
        rules = table[table["scale"] == scale].set_index("rule")[PARTS]
        shown = rules.iloc[:15]
        shown = pd.concat([shown, rules.iloc[15:].sum().to_frame("all others").T]).iloc[::-1]
        left = pd.Series(0.0, shown.index)
        for part, colour in zip(PARTS, COLOURS, strict=True):
            axis.barh(shown.index, shown[part], left=left, color=colour, label=part)
            left += shown[part]
        axis.set(xlabel="wall time of all jobs (s)", title=f"{scale}, {rules.to_numpy().sum():.0f} s in all")
        axis.legend()
    return figure
