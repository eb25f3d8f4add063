"""Provenance followed upstream, and the cost of a target."""

import json
import math
from pathlib import Path

import pytest
from made_up_run import finished_run

from elbogap.report.lineage import Lineage, jobs

FIGURE = "figures/smoke/qiw/fig01_posterior_2d.pdf"


def test_a_figure_rests_on_its_tables_and_their_data(tmp_path: Path) -> None:
    lineage = Lineage(finished_run(tmp_path), "smoke")
    assert lineage.upstream([FIGURE]) == [
        FIGURE, "results/smoke/qiw/density.csv", "results/smoke/data/binarized_mnist.json",
    ]  # fmt: skip
    assert lineage.rests_on_stand_in([FIGURE])


def test_real_data_is_no_stand_in(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    path = places.work / "results/smoke/qiw/density.csv.provenance.json"
    path.write_text(path.read_text(encoding="utf-8").replace('"stand-in"', '"real"'), encoding="utf-8")
    assert not Lineage(places, "smoke").rests_on_stand_in([FIGURE])


def test_the_cost_counts_each_job_upstream_once(tmp_path: Path) -> None:
    lineage = Lineage(finished_run(tmp_path), "smoke")
    rows = lineage.costs([FIGURE, "results/smoke/qiw/tab01_bounds.csv"])
    assert rows.to_dict("records") == [
        {
            "rule": "qiw_posterior_2d",
            "seconds": 12.5,
            "max_rss_mib": 850.2,
            "threads": 1,
            "device": "cpu",
            "max_gpu_mib": None,
        }
    ]


def test_the_memory_that_a_result_s_record_has_counts_before_snakemake_s(tmp_path: Path) -> None:
    """Snakemake sees the caller of a warm interpreter, not the process that works."""
    places = finished_run(tmp_path)
    product = "results/smoke/qiw/tab01_bounds.csv"
    path = places.work / f"{product}.provenance.json"
    record = json.loads(path.read_text(encoding="utf-8"))
    record["run"]["peak_memory_mib"] = 123.4
    path.write_text(json.dumps(record), encoding="utf-8")
    (memory,) = Lineage(places, "smoke").costs([product])["max_rss_mib"]
    assert memory == pytest.approx(123.4)


def test_jobs_tolerate_missing_fields(tmp_path: Path) -> None:
    (tmp_path / "short.jsonl").write_text(json.dumps({"s": 0.3, "max_rss": "NA"}) + "\n", encoding="utf-8")
    (tmp_path / "empty.jsonl").write_text("", encoding="utf-8")
    (tmp_path / "torn.jsonl").write_text('{"s": 1', encoding="utf-8")
    (tmp_path / "zeros.jsonl").write_bytes(bytes(100))
    (tmp_path / "list.jsonl").write_text("[1]\n", encoding="utf-8")
    (tmp_path / "latin.jsonl").write_bytes(b'{"s": "\xe9"}\n')
    (job,) = jobs(tmp_path)
    assert (job.rule, job.seconds, job.outputs) == ("short", 0.3, ())
    assert math.isnan(job.max_rss_mib)


def test_wildcards_tell_the_cells_of_a_rule_apart(tmp_path: Path) -> None:
    record = {"s": 1.0, "rule_name": "mapa_posterior", "wildcards": {"scale": "smoke", "problem": "circle"}}
    (tmp_path / "a.jsonl").write_text(
        json.dumps({**record, "s": 9.0}) + "\n" + json.dumps(record) + "\n", encoding="utf-8"
    )
    (job,) = jobs(tmp_path)
    assert (job.rule, job.seconds) == ("mapa_posterior[problem=circle]", 1.0)
