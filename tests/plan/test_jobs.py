"""Jobs: their files, their order, the products they make, and their store."""

from pathlib import Path

import pytest

from elbogap.errors import UserError
from elbogap.plan import jobs
from elbogap.plan.jobs import Job


def job(rule: str, outputs: dict[str, str], inputs: dict[str, str] | None = None, gpu: bool = False) -> Job:
    words = ["doc.one", "--settings", '{"rate":1e-05,"cells":{"a b":[1,2]}}']
    if inputs:
        words += ["--inputs", *(f"{name}={path}" for name, path in inputs.items())]
    words += ["--outputs", *(f"{name}={path}" for name, path in outputs.items()), "--threads", "1"]
    return Job(rule, tuple(words), gpu, f"results/s/benchmarks/{rule}.jsonl")


DATA = job("data", {"record": "results/s/data/x.json"})
TRAIN = job("train", {"model": "results/s/d/model.npz"}, {"data": "results/s/data/x.json"}, gpu=True)
TABLE = job(
    "table",
    {"table": "results/s/d/tab01_x.csv", "more": "results/s/d/tab_more.csv"},
    {"model": "results/s/d/model.npz"},
)
FIGURE = job(
    "figure",
    {"pdf": "figures/s/d/fig01_x.pdf", "png": "figures/s/d/fig01_x.png"},
    {"table": "results/s/d/tab01_x.csv"},
)
OTHER = job("other", {"table": "results/s/e/tab01_y.csv"}, {"data": "results/s/data/x.json"})
ALL = [FIGURE, OTHER, TABLE, TRAIN, DATA]


def test_files_are_named_in_the_command() -> None:
    assert TABLE.inputs == {"model": Path("results/s/d/model.npz")}
    assert TABLE.outputs == {
        "table": Path("results/s/d/tab01_x.csv"),
        "more": Path("results/s/d/tab_more.csv"),
    }
    assert DATA.inputs == {}


def test_jobs_come_after_what_they_need_target_by_target() -> None:
    figure, other = Path("figures/s/d/fig01_x.png"), Path("results/s/e/tab01_y.csv")
    assert jobs.needed(ALL, [figure, other]) == [DATA, TRAIN, TABLE, FIGURE, OTHER]
    assert jobs.needed(ALL, [other]) == [DATA, OTHER]
    with pytest.raises(UserError, match=r"no job makes results/s/d/model\.npz"):
        jobs.needed([TABLE], [Path("results/s/d/tab01_x.csv")])


def test_files_of_the_project_need_no_job() -> None:
    words = ("doc.one", "--inputs", f"p={jobs.CHECKOUT}/paper/p.csv", "--outputs", "t=results/s/d/tab.csv")
    one = Job("a", words, gpu=False, benchmark="")
    assert jobs.needed([one], [Path("results/s/d/tab.csv")]) == [one]
    assert one.at("../..").inputs == {"p": Path("../../paper/p.csv")}
    assert one.at("../..").outputs == one.outputs


def test_products_by_document_and_beginning() -> None:
    assert jobs.products(ALL, ["e"]) == [Path("results/s/e/tab01_y.csv")]
    assert jobs.products(ALL, ["e/tab01", "d/tab"]) == [
        Path("results/s/e/tab01_y.csv"), Path("results/s/d/tab01_x.csv"), Path("results/s/d/tab_more.csv")
    ]  # fmt: skip
    assert len(jobs.products(ALL, [])) == 4
    with pytest.raises(UserError, match="no figure or table 'd/tab02'; there are d/fig01_x, d/tab01_x"):
        jobs.products(ALL, ["d/tab02"])


def test_the_store_gives_the_same_jobs_and_has_equal_settings_once(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    jobs.write(ALL, {"config/s.yaml": "abc"}, path)
    assert jobs.read(path) == (ALL, {"config/s.yaml": "abc"})
    assert path.read_text(encoding="utf-8").count("rate") == 1


@pytest.mark.parametrize("text", ["{", "[]", '{"settings": [], "jobs": [{"rule": "a"}], "made_from": {}}'])
def test_a_damaged_store_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match="damaged plan"):
        jobs.read(path)
    with pytest.raises(UserError, match="cannot be read"):
        jobs.read(tmp_path / "none.json")
