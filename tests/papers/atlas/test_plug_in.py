"""A user's own method and problem, without a change to the project."""

from pathlib import Path

import pandas as pd
import pytest

from elbogap.cli import main
from elbogap.errors import UserError
from elbogap.papers.atlas.commands import own
from elbogap.papers.atlas.methods import METHODS, method

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(HERE)


def test_a_method_and_a_problem_of_ones_own_are_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "scores.csv"
    words = ["--method", "results:Moments", "--problem", "results:line", "gaussian_2", "--table", str(table)]
    assert main(["atlas", *words]) == 0
    assert "results:Moments" in capsys.readouterr().out
    scores = pd.read_csv(table).set_index("problem")
    assert scores["evaluations"].tolist() == [3, 3]
    assert abs(scores.loc["results:line", "log_sd_ratio"]) < 0.1  # of the same Gaussian
    assert scores.loc["gaussian_2", "log_sd_ratio"] < -0.5
    assert scores.loc["results:line", "mean_bias"] < 0.1


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("results:Moment", "has no attribute 'Moment'; run it from the folder of that module"),
        ("nowhere:Method", "No module named 'nowhere'; run it from the folder of that module"),
        ("results:__doc__", "results:__doc__ is no function or class but"),
    ],
)
def test_what_is_not_there_is_told_in_one_line(name: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        own(name)


def test_an_unknown_method_lists_the_known_ones() -> None:
    with pytest.raises(UserError, match=f"no method 'uvi'; there are: {', '.join(METHODS)}"):
        method("uvi")
