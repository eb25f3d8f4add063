"""The plan: asked of Snakemake, stored, and told when it is stale."""

import importlib.util
import json
from pathlib import Path

import pytest

from elbogap.config.load import load
from elbogap.errors import UserError
from elbogap.plan import ask, jobs
from elbogap.report import catalogue


@pytest.mark.dag
def test_the_stored_plan_of_the_paper_scale_is_current(tmp_path: Path) -> None:
    """If not: python -m elbogap plan --scale paper"""
    jobs.write(ask.ask("paper"), ask.made_from("paper"), tmp_path / "paper.json")
    assert ask.stored("paper").read_text(encoding="utf-8") == (tmp_path / "paper.json").read_text(
        encoding="utf-8"
    )


def test_the_plan_has_every_product_with_the_settings_of_its_scale() -> None:
    found, _ = jobs.read(ask.stored("paper"))
    products = jobs.products(found, [])
    captioned = {
        (document.key, target.name)
        for document in catalogue.documents(ask.PROJECT / "paper/documents.yaml")
        for target in catalogue.targets(ask.PROJECT / "workflow/report", document.key)
    }
    assert {(path.parent.name, path.stem) for path in products} == captioned
    assert {path for job in jobs.needed(found, products) for path in job.outputs.values()} >= set(products)
    (toy,) = [job for job in found if job.rule == "efvae_toy"]
    written = json.loads(toy.words[toy.words.index("--settings") + 1])
    assert written == load(ask.PROJECT / "config/paper.yaml").efvae.toy.model_dump(mode="json")
    (gan,) = [job for job in found if job.rule == "efvae_gan"]
    assert gan.gpu
    assert not toy.gpu


def test_no_stored_path_leaves_the_project() -> None:
    found, _ = jobs.read(ask.stored("paper"))
    paths = {path for job in found for path in (*job.inputs.values(), *job.outputs.values())}
    assert {path.parts[0] for path in paths} == {"results", "figures", jobs.CHECKOUT}


def test_the_plan_is_made_from_its_files() -> None:
    """If not: python -m elbogap plan --scale paper. One of the slower tests compares the jobs."""
    assert jobs.read(ask.stored("paper"))[1] == ask.made_from("paper")


def test_a_stale_plan_is_asked_again_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored, made_from = jobs.read(ask.stored("paper"))
    changed = tmp_path / "paper.json"
    jobs.write(stored, made_from | {"config/paper.yaml": "other"}, changed)
    monkeypatch.setattr(ask, "stored", lambda scale: changed)
    monkeypatch.setattr(ask, "ask", lambda scale: [])
    assert ask.jobs_now("paper") == []
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(
        UserError, match=r"paper\.json is older than config/paper\.yaml; write it where Snakemake"
    ):
        ask.jobs_now("paper")
    changed.unlink()
    with pytest.raises(UserError, match=r"there is no .*paper\.json; write it where Snakemake"):
        ask.jobs_now("paper")
    with pytest.raises(UserError, match=r"no scale 'other'"):
        ask.jobs_now("other")


def test_commands_that_do_not_name_all_their_files_are_left_out() -> None:
    row = {
        "rule": "a",
        "wildcards": {"scale": "s", "k": "8"},
        "input": ["x"],
        "gpu": 0,
        "benchmark": "b.jsonl",
    }
    shell = (
        "python -m elbogap doc.one --settings '{\"a\": 1}' --inputs x=x --outputs y=y  --threads 1 > log 2>&1"
    )
    found = ask._job(row | {"shell": shell})
    assert found == jobs.Job(
        "a[k=8]",
        ("doc.one", "--settings", '{"a": 1}', "--inputs", "x=x", "--outputs", "y=y", "--threads", "1"),
        gpu=False,
        benchmark="b.jsonl",
    )
    assert ask._job(row | {"shell": shell, "input": ["x", "more"]}) is None
    assert ask._job(row | {"shell": "touch x"}) is None
    assert ask._job(row | {"shell": None}) is None
