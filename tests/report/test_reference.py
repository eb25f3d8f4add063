"""Recorded runs."""

import errno
import json
import os
import shutil
from pathlib import Path

import pandas as pd
import pytest
from made_up_run import finished_run, provenance, write

from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.report.costs import COLUMNS
from elbogap.report.reference import LARGEST, record, record_costs
from published import change_result, write_result


def test_small_tables_records_and_pictures_are_kept(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    write_result(places.results("smoke") / "qiw" / "huge.csv", "0\n" * LARGEST)
    (places.results("smoke") / "qiw" / ".tab.partial.csv").write_text("what a kill left", encoding="utf-8")
    (places.results("smoke") / "logs").mkdir()
    (places.results("smoke") / "logs" / "a.csv").write_text("a\n", encoding="utf-8")
    count = record("smoke", places)
    folder = places.project
    kept = [
        str(path.relative_to(folder))
        for name in ("results", "figures")
        for path in sorted((folder / name / "reference" / "smoke").rglob("*"))
        if path.is_file()
    ]
    lists = [f"{name}/reference/smoke/SHA256SUMS" for name in ("results", "figures")]
    assert [name for name in kept if name not in lists] == [
        "results/reference/smoke/claims.csv",
        "results/reference/smoke/claims.csv.provenance.json",
        "results/reference/smoke/claims_effects.csv",
        "results/reference/smoke/claims_effects.csv.provenance.json",
        "results/reference/smoke/data/binarized_mnist.json",
        "results/reference/smoke/data/binarized_mnist.json.provenance.json",
        "results/reference/smoke/qiw/tab01_bounds.csv",
        "results/reference/smoke/qiw/tab01_bounds.csv.provenance.json",
        "figures/reference/smoke/qiw/fig01_posterior_2d.png",
    ]
    assert set(lists) <= set(kept)
    assert count == len(kept) - 2
    assert not list(folder.rglob(".partial"))


@pytest.mark.parametrize("relative", [True, False])
def test_records_name_no_path_of_this_machine(tmp_path: Path, relative: bool) -> None:
    places = finished_run(tmp_path)
    path = places.results("smoke") / "qiw" / "tab01_bounds.csv.provenance.json"
    project = os.path.relpath(places.project, places.work) if relative else places.project.resolve()
    old = json.loads(
        path.read_text(encoding="utf-8").replace("results/smoke/data", f"{project}/results/smoke/data")
    )
    write(path, old | {"command": ["--project", str(places.project.resolve())]})
    record("smoke", places)
    kept = (places.recorded_results("smoke") / "qiw" / path.name).read_text(encoding="utf-8")
    assert str(tmp_path) not in kept
    assert ".." not in kept
    assert '"results/smoke/data/binarized_mnist.json"' in kept


def test_the_cost_table_keeps_other_scales_and_replaces_its_own(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    old = pd.DataFrame(
        [
            ["qiw", "fig01_posterior_2d", "laptop", "qiw_posterior_2d", 60.0, 900.0, 1, "cpu", None],
            ["qiw", "fig01_posterior_2d", "smoke", "an_old_rule", 1.0, 1.0, 1, "cpu", None],
        ],
        columns=COLUMNS,
    )
    places.recorded_costs.parent.mkdir(parents=True)
    old.to_csv(places.recorded_costs, index=False)
    record("smoke", places)
    costs = pd.read_csv(places.recorded_costs)
    assert list(costs.columns) == COLUMNS
    assert costs[["target", "scale", "rule", "seconds"]].values.tolist() == [
        ["fig01_posterior_2d", "laptop", "qiw_posterior_2d", 60.0],
        ["fig01_posterior_2d", "smoke", "qiw_posterior_2d", 12.5],
        ["tab01_bounds", "smoke", "qiw_posterior_2d", 12.5],
    ]


def test_the_cost_of_the_report_is_that_of_all_jobs(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    made = {
        "qiw_fig01": (1.0, [f"figures/smoke/qiw/fig01_posterior_2d.{suffix}" for suffix in ("pdf", "png")]),
        "report_pdf": (3.0, ["results/smoke/report.pdf"]),
    }
    for rule, (seconds, outputs) in made.items():
        files = f"--outputs {' '.join(f'file{i}={path}' for i, path in enumerate(outputs))}"
        line = {"s": seconds, "rule_name": rule, "threads": 1, "params": {"files": files}}
        (places.results("smoke") / "benchmarks" / f"{rule}.jsonl").write_text(
            json.dumps(line), encoding="utf-8"
        )
    inputs = [*made["qiw_fig01"][1], "results/smoke/qiw/tab01_bounds.csv"]
    record = provenance("elbogap.report.commands", inputs)
    write(places.results("smoke") / "report.pdf.provenance.json", record)
    record_costs("smoke", places)
    costs = pd.read_csv(places.recorded_costs)
    assert costs[["document", "target", "rule", "seconds", "threads"]].values.tolist() == [
        ["all", "report", "qiw_fig01", 1.0, 1],
        ["all", "report", "qiw_posterior_2d", 12.5, 1],
        ["all", "report", "report_pdf", 3.0, 1],
        ["qiw", "fig01_posterior_2d", "qiw_fig01", 1.0, 1],
        ["qiw", "fig01_posterior_2d", "qiw_posterior_2d", 12.5, 1],
        ["qiw", "tab01_bounds", "qiw_posterior_2d", 12.5, 1],
    ]


def test_a_target_that_is_gone_leaves_the_record(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    record("smoke", places)
    (places.results("smoke") / "qiw" / "tab01_bounds.csv").unlink()
    record("smoke", places)
    assert not (places.recorded_results("smoke") / "qiw" / "tab01_bounds.csv").exists()


def test_a_run_that_lacks_targets_can_be_added(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    record("smoke", places)
    claims = (places.recorded_results("smoke") / "claims.csv").read_text(encoding="utf-8")
    shutil.rmtree(places.results("smoke"))
    shutil.rmtree(places.figures("smoke"))
    folder = places.results("smoke") / "qiw"
    made_by = provenance("elbogap.papers.qiw.experiments.posterior_2d", [])
    write_result(folder / "tab_more.csv", pd.DataFrame({"k": [1]}), made_by)
    with pytest.raises(UserError, match="record what is there with --add"):
        record("smoke", places)
    assert record("smoke", places, add=True) == 2
    kept = places.recorded_results("smoke")
    assert (kept / "qiw/tab01_bounds.csv").is_file()
    assert (kept / "qiw/tab_more.csv").is_file()
    assert (places.recorded_figures("smoke") / "qiw/fig01_posterior_2d.png").is_file()
    assert set(pd.read_csv(places.recorded_costs)["target"]) == {"fig01_posterior_2d", "tab01_bounds"}
    verdicts = pd.read_csv(kept / "claims.csv")
    assert list(verdicts["verdict"]) == ["reproduced"]
    assert (kept / "claims.csv").read_text(
        encoding="utf-8"
    ) != claims  # decided again from the tables, not copied
    decided = json.loads((kept / "claims.csv.provenance.json").read_text(encoding="utf-8"))
    assert "results/reference/smoke/qiw/tab01_bounds.csv" in decided["inputs"]


def test_claims_are_decided_from_old_and_new_together(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    record("smoke", places)
    change_result(places.results("smoke") / "qiw" / "tab01_bounds.csv", "0.0312345", "0.9")
    record("smoke", places, add=True)
    verdicts = pd.read_csv(places.recorded_results("smoke") / "claims.csv")
    assert list(verdicts["verdict"]) == ["contradicted"]


def test_a_claim_that_cannot_be_decided_leaves_the_record_before(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    record("smoke", places)
    before = {path: path.read_bytes() for path in places.recorded.rglob("*") if path.is_file()}
    change_result(places.results("smoke") / "qiw" / "tab01_bounds.csv", "kl", "divergence")
    with pytest.raises(UserError, match="kl"):
        record("smoke", places, add=True)
    assert all(path.read_bytes() == content for path, content in before.items())


def test_claims_are_decided_again_without_a_run(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    record("smoke", places)
    shutil.rmtree(places.results("smoke"))
    claims = places.paper / "qiw/claims.yaml"
    claims.write_text(
        claims.read_text(encoding="utf-8").replace("decreasing", "increasing"), encoding="utf-8"
    )
    assert record("smoke", places, add=True) == 1  # the picture
    verdicts = pd.read_csv(places.recorded_results("smoke") / "claims.csv")
    assert list(verdicts["verdict"]) == ["contradicted"]


@pytest.mark.parametrize("word", ["../../elsewhere/x.csv", "a/../b.csv"])
def test_paths_elsewhere_stay(tmp_path: Path, word: str) -> None:
    """A run in a folder right inside the checkout sees it as `../`."""
    places = finished_run(tmp_path)
    inside = Places(project=places.project, work=places.project / "run")
    shutil.move(places.work, inside.work)
    path = inside.results("smoke") / "qiw" / "tab01_bounds.csv.provenance.json"
    path.write_text(
        path.read_text(encoding="utf-8").replace("results/smoke/data/binarized_mnist.json", word),
        encoding="utf-8",
    )
    record("smoke", inside)
    assert f'"{word}"' in (inside.recorded_results("smoke") / "qiw" / path.name).read_text(encoding="utf-8")


def test_nothing_to_record_is_said(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    with pytest.raises(UserError, match="no tables to record"):
        record("paper", places, add=True)


def test_a_full_disk_leaves_the_record_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = finished_run(tmp_path)
    record("smoke", places)
    before = {path: path.read_bytes() for path in places.recorded.rglob("*") if path.is_file()}
    copied = []

    def full(source: Path, destination: Path) -> None:
        copied.append(source)
        if len(copied) > 1:
            raise OSError(errno.ENOSPC, "No space left on device")
        destination.write_bytes(source.read_bytes())

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OSError, match="No space left"):
        record("smoke", places)
    assert all(path.read_bytes() == content for path, content in before.items())
    monkeypatch.undo()
    record("smoke", places)
    assert {path for path in places.recorded.rglob("*") if path.is_file()} == set(before)


def test_an_unfinished_run_is_not_recorded(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    record("smoke", places)
    (places.results("smoke") / "claims.csv").unlink()
    with pytest.raises(UserError, match="not finished"):
        record("smoke", places)
    assert (places.recorded_results("smoke") / "claims.csv").is_file()


def test_costs_can_be_recorded_alone(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    record_costs("smoke", places)
    assert set(pd.read_csv(places.recorded_costs)["scale"]) == {"smoke"}
    assert not places.recorded_results("smoke").exists()


def test_costs_of_no_run_take_the_place_of_none(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    record_costs("smoke", places)
    costs = places.recorded_costs.read_bytes()
    shutil.rmtree(places.results("smoke") / "benchmarks")
    with pytest.raises(
        UserError, match="no job was measured, so no cost is known; build scale 'smoke' first"
    ):
        record_costs("smoke", places)
    assert places.recorded_costs.read_bytes() == costs
