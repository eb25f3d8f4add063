"""What the report says of a run."""

import json
from pathlib import Path

import pandas as pd
import pytest
from made_up_run import finished_run

from elbogap.errors import UserError
from elbogap.report.gather import HEAD, gather, table
from published import change_result, write_result


def targets_of(report: dict) -> dict[str, dict]:
    return {target["name"]: target for document in report["documents"] for target in document["targets"]}


def test_every_target_has_its_place_built_or_not(tmp_path: Path) -> None:
    report = gather("smoke", finished_run(tmp_path))
    targets = targets_of(report)
    assert list(targets) == ["fig01_posterior_2d", "fig03_posterior_1d", "tab01_bounds"]
    assert targets["fig01_posterior_2d"]["image"] == "figures/smoke/qiw/fig01_posterior_2d.pdf"
    assert targets["fig03_posterior_1d"]["products"] == []
    assert report["summary"] == [
        {
            "key": "qiw", "title": "Reinterpreting Importance-Weighted Autoencoders",
            "built": 2, "targets": 3, "verdicts": [1, 0, 0, 0], "others": [0, 0],
        }
    ]  # fmt: skip
    assert [document["key"] for document in report["later"]] == ["mapa", "air", "implicit", "efvae"]


def test_a_table_stands_beside_its_published_numbers_and_claims(tmp_path: Path) -> None:
    bounds = targets_of(gather("smoke", finished_run(tmp_path)))["tab01_bounds"]
    assert bounds["table"]["rows"][0] == ["1", "0.4449"]
    assert bounds["table"]["constant"] == [["data", "real"]]
    assert bounds["published"][0]["rows"] == [["1", "0.445"], ["10", "0.031"]]
    assert [claim["id"] for claim in bounds["claims"]] == ["qiw-kl-falls-with-k"]
    assert bounds["claims"][0]["measured"] == "0.4449, 7.8 × 10⁻⁴"
    assert bounds["cost"] == {"rules": ["qiw_posterior_2d"], "time": "12 s", "memory": "850 MiB"}


def test_the_cells_of_a_rule_are_counted_together(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    folder = places.results("smoke") / "benchmarks" / "qiw"
    for problem, made in (("circle", "qiw/density.csv"), ("clusters", "data/binarized_mnist.json")):
        files = f"--outputs made=results/smoke/{made}"
        line = {
            "s": 10.0,
            "rule_name": "qiw_cell",
            "wildcards": {"problem": problem},
            "params": {"files": files},
        }
        (folder / f"zz_{problem}.jsonl").write_text(json.dumps(line), encoding="utf-8")
    cost = targets_of(gather("smoke", places))["fig01_posterior_2d"]["cost"]
    assert cost == {"rules": ["qiw_cell × 2"], "time": "20 s", "memory": "–"}


def test_the_cost_is_that_of_all_jobs(tmp_path: Path) -> None:
    assert gather("smoke", finished_run(tmp_path))["cost"] == {"time": "12 s", "memory": "850 MiB"}


def test_stand_ins_are_marked_by_upstream_data_and_by_the_data_column(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    assert targets_of(gather("smoke", places))["fig01_posterior_2d"]["stand_in"]
    for path in places.work.rglob("*.provenance.json"):
        path.write_text(path.read_text(encoding="utf-8").replace('"stand-in"', '"real"'), encoding="utf-8")
    targets = targets_of(gather("smoke", places))
    assert not targets["fig01_posterior_2d"]["stand_in"]
    assert not targets["tab01_bounds"]["stand_in"]
    change_result(places.results("smoke") / "qiw" / "tab01_bounds.csv", "real", "stand-in")
    assert targets_of(gather("smoke", places))["tab01_bounds"]["stand_in"]


def test_a_product_without_a_caption_is_shown_all_the_same(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    write_result(places.results("smoke") / "qiw" / "tab09_extra.csv", "a\n1\n")
    assert "no caption" in targets_of(gather("smoke", places))["tab09_extra"]["title"]


def test_long_tables_are_cut_and_say_so() -> None:
    whole = table(pd.DataFrame({"k": range(40)}), "a.csv")
    cut = table(pd.DataFrame({"k": range(41)}), "a.csv")
    assert (len(whole["rows"]), whole["total"]) == (40, 40)
    assert (len(cut["rows"]), cut["total"]) == (HEAD, 41)


def test_columns_of_one_value_are_named_apart() -> None:
    shown = table(
        pd.DataFrame({"document": "qiw", "k": [1, 2], "seed": 0, "kl": [0.5, float("nan")]}), "a.csv"
    )
    assert (shown["columns"], shown["constant"]) == (["k", "kl"], [["seed", "0"]])
    assert shown["rows"] == [["1", "0.5"], ["2", "–"]]
    assert table(pd.DataFrame({"k": [1], "kl": [0.5]}), "a.csv")["columns"] == ["k", "kl"]


def test_environment_names_all_values_that_the_records_name(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    path = places.results("smoke") / "qiw" / "density.csv.provenance.json"
    path.write_text(path.read_text(encoding="utf-8").replace("2.12.0", "2.13.0"), encoding="utf-8")
    environment = dict(gather("smoke", places)["environment"])
    assert environment["torch"] == "2.12.0, 2.13.0"
    assert environment["commit"] == "0123456789abcdef"


def test_a_scale_without_results_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no results at scale 'paper'"):
        gather("paper", finished_run(tmp_path))


def test_damaged_records_are_named(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    write_result(places.results("smoke") / "data" / "mnist.json", "{")
    with pytest.raises(UserError, match=r"mnist\.json: cannot be read as JSON"):
        gather("smoke", places)
    density = places.results("smoke") / "qiw" / "density.csv.provenance.json"
    density.write_bytes(bytes(density.stat().st_size))
    with pytest.raises(UserError, match=r"density\.csv\.provenance\.json: damaged"):
        gather("smoke", places)
