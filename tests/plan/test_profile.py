"""The command `profile`: which jobs, a row for each, and a table that grows."""

import io
import json
import math
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from elbogap import cli, provenance
from elbogap.plan import profile as module
from elbogap.plan.jobs import Job
from elbogap.plan.profile import COLUMNS, add, one_of_each, profile
from elbogap.plan.work import Means

PIECE = {
    "label": "net", "unit": "step", "steps": 7200, "members": 3, "steps_per_s": 2.0, "gflop_per_step": 4.0,
    "busy_share": 0.5, "kernels_per_step": math.nan, "launches_per_step": math.nan,
    "syncs_per_step": math.nan, "dearest": "aten::mm 50%", "max_rss_mib": 9.0, "max_gpu_mib": math.nan,
}  # fmt: skip
FOUND = {"device": "cpu", "threads": 1, "peak_gflops": 16.0}
SCRIPT = """
import sys
words = sys.argv[1:]
assert words[words.index("--profile-seconds") + 1] == words[-1]
open(words[words.index("--profile") + 1], "w").write(words[0])
"""


def job(rule: str, gpu: bool = True, needs: str | None = None) -> Job:
    inputs = ("--inputs", f"in={needs}") if needs else ()
    return Job(rule, ("doc.one", *inputs, "--outputs", f"a=results/{rule}.csv"), gpu, "")


def measured(
    monkeypatch: pytest.MonkeyPatch, folder: Path, jobs: list[Job], found: Any, gpus: int = 0
) -> tuple[pd.DataFrame, str]:
    """The rows of jobs whose processes write `found`, or on the CPU `found["on_cpu"]` if it is there."""

    def command(job: Job, means: Means) -> list[str]:
        answer = found.get("on_cpu", found) if means.gpus == 0 else found
        return [sys.executable, "-c", SCRIPT, json.dumps(answer)]

    monkeypatch.setattr(module, "command", command)
    say = io.StringIO()
    means = Means(folder, gpus=gpus, threads=1, deadline=math.inf)
    rows = pd.DataFrame(profile(jobs, "paper", 5.0, means, say))
    return rows, say.getvalue()


def test_one_cell_of_each_rule_with_a_gpu() -> None:
    jobs = [job("a[x=1]"), job("a[x=2]"), job("b", gpu=False), job("c")]
    assert [one.rule for one in one_of_each(jobs)] == ["a[x=1]", "c"]


def test_a_row_says_what_the_pace_means(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table, _ = measured(monkeypatch, tmp_path, [job("a")], FOUND | {"pieces": [PIECE]})
    (row,) = table.to_dict("records")
    assert (row["rule"], row["work"], row["scale"], row["device"]) == ("a", "net", "paper", "cpu")
    assert row["model_steps_per_s"] == 6
    assert row["piece_hours"] == 1
    assert row["gflops"] == 8
    assert row["peak_share"] == 0.5
    assert row["torch"] == provenance.versions()["torch"]
    assert row["commit"] == provenance.git_state()["commit"]


def test_a_piece_that_ended_early_is_not_the_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    short = PIECE | {"label": "short", "steps_per_s": math.nan}
    table, _ = measured(monkeypatch, tmp_path, [job("a")], FOUND | {"pieces": [PIECE, short]})
    assert list(table["work"]) == ["net"]


@pytest.mark.parametrize(
    ("label", "members", "gflop"), [("net", 3, 4.0), ("net", 2, None), ("other", 3, None)]
)
def test_on_a_gpu_operations_are_those_of_the_same_piece_on_the_cpu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, label: str, members: int, gflop: float | None
) -> None:
    on_gpu = FOUND | {"device": "card", "peak_gflops": 80.0}
    found = on_gpu | {
        "pieces": [PIECE | {"gflop_per_step": math.nan, "steps_per_s": 10.0}],
        "on_cpu": FOUND | {"pieces": [PIECE | {"label": label, "members": members}]},
    }
    table, _ = measured(monkeypatch, tmp_path, [job("a")], found, gpus=1)
    (row,) = table.to_dict("records")
    assert row["device"] == "card"
    if gflop is None:
        assert math.isnan(row["gflop_per_step"])
        assert math.isnan(row["peak_share"])
    else:
        assert (row["gflop_per_step"], row["peak_share"]) == (gflop, 0.5)


def test_what_cannot_be_measured_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    table, said = measured(
        monkeypatch, tmp_path, [job("a", needs="results/x.npz"), job("b")], FOUND | {"pieces": []}
    )
    assert table.empty
    assert "a: left out, results/x.npz is not made yet" in said
    assert "b: no work that is long enough" in said
    monkeypatch.setattr(module, "command", lambda *_: [sys.executable, "-c", "raise SystemExit(2)"])
    say = io.StringIO()
    assert not list(profile([job("c")], "paper", 5.0, Means(tmp_path, 0, 1, math.inf), say))
    assert "c: failed, see above" in say.getvalue()


def test_unknown_jobs_are_refused(tmp_path: Path) -> None:
    words = ["profile", "--scale", "paper", "--jobs", "air_tune", "--out", str(tmp_path)]
    assert cli.main(words) == 2


def test_rows_of_other_devices_and_jobs_are_kept(tmp_path: Path) -> None:
    row = {"scale": "paper", "rule": "a", "device": "cpu", "threads": 1, "piece_hours": 3.0}
    path = tmp_path / "profile.csv"
    for one in (row, row | {"device": "gpu"}, row | {"piece_hours": 2.0}, row | {"rule": "b"}):
        add(one, path)
    kept = pd.read_csv(path)
    assert list(kept.columns) == COLUMNS
    assert kept[["rule", "device", "piece_hours"]].values.tolist() == [
        ["a", "cpu", 2.0],
        ["a", "gpu", 3.0],
        ["b", "cpu", 3.0],
    ]
