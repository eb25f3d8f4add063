"""What the report says of a run."""

import json
from pathlib import Path

import pytest
from made_up_run import finished_run

from elbogap.errors import UserError
from elbogap.report.gather import gather
from published import change_result, write_result


def targets_of(report: dict) -> dict[str, dict]:
    return {target["name"]: target for document in report["documents"] for target in document["targets"]}


def test_every_target_has_its_place_built_or_not(tmp_path: Path) -> None:
    report = gather("smoke", finished_run(tmp_path))
    targets = targets_of(report)
    assert list(targets) == ["fig01_posterior_2d", "fig03_posterior_1d", "tab01_bounds"]
    assert targets["fig01_posterior_2d"]["products"][0] == "figures/smoke/qiw/fig01_posterior_2d.pdf"
    assert targets["fig03_posterior_1d"]["products"] == []
    assert [document["key"] for document in report["later"]] == ["mapa", "air", "implicit", "efvae", "atlas"]


def test_findings_of_the_document_are_counted_apart(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    (document,) = gather("smoke", places)["documents"]
    assert [row["id"] for row in document["findings"]] == ["qiw-kl-falls-with-k"]
    assert document["findings"][0]["measured"] == "0.4449, 7.8 × 10⁻⁴"
    assert (document["verdicts"], document["others"], document["holding"]) == ([1, 0, 0, 0], [], 0)
    change_result(places.results("smoke") / "claims.csv", ",document,smoke,", ",after,smoke,")
    (document,) = gather("smoke", places)["documents"]
    assert (document["verdicts"], len(document["others"]), document["holding"]) == ([0, 0, 0, 0], 1, 1)


def test_sections_of_notes_that_the_site_alone_shows_are_left_out(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    notes = "# qiw\n\n## What\n\nkept\n\n## Cost\n\ndropped\n\n### Below\n\ndropped\n\n## Findings\n\nkept\n"
    (places.paper / "qiw" / "notes.md").write_text(notes, encoding="utf-8")
    shown = json.dumps(gather("smoke", places)["documents"][0]["notes"])
    assert "dropped" not in shown
    assert shown.count("kept") == 2


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
