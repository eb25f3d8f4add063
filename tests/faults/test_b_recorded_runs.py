"""Kind B: a recorded run that is not what was recorded.

Promise: `verify` compares every recorded file with the list of SHA-256 beside it, and every cell of the
recorded verdicts and effects with what the recorded tables give now. Recording a run, killed at any moment,
loses nothing and is brought to its end by the same command.
"""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_up_run import finished_run

from elbogap import checksums, files
from elbogap.claims.decide import verify
from elbogap.cli import main
from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.report.reference import record
from published import change_result

TABLE, CLAIMS = "qiw/tab01_bounds.csv", "claims.csv"


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Places]:
    """Makes a project whose smoke run is recorded, with verdicts decided from its tables."""
    made = tmp_path_factory.mktemp("recorded")
    places = finished_run(made)
    record("smoke", places)
    record("smoke", places, add=True)

    def copy(folder: Path) -> Places:
        shutil.copytree(made, folder, dirs_exist_ok=True)
        return Places(project=folder / "project", work=folder / "work")

    return copy


@pytest.fixture
def places(recorded: Callable[[Path], Places], tmp_path: Path) -> Places:
    return recorded(tmp_path)


def problems(places: Places) -> list[str]:
    return verify(places, say=lambda line, verdicts: None)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_what_was_recorded_is_verified(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "--project", str(places.project)]) == 0
    assert capsys.readouterr().out == "smoke: 1 claims, 1 reproduced\n"


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda folder: edit(folder / TABLE, "0.4449123", "0.4449124"), "tab01_bounds.csv: sha256 expected"),
        (lambda folder: edit(folder / CLAIMS, "0.4449", "12345"), "claims.csv: sha256 expected"),
        (lambda folder: (folder / CLAIMS).unlink(), "claims.csv: is in SHA256SUMS, but missing"),
        (lambda folder: (folder / TABLE).unlink(), "tab01_bounds.csv: is in SHA256SUMS, but missing"),
        (lambda folder: (folder / "more.csv").write_text("k\n"), "more.csv: is not in SHA256SUMS"),
        (lambda folder: (folder / "SHA256SUMS").unlink(), "SHA256SUMS: cannot be read"),
        (lambda folder: edit(folder / "SHA256SUMS", "  claims", " claims"), "SHA256SUMS: damaged"),
        (lambda folder: (folder / CLAIMS).write_bytes(bytes(100)), "not a table of verdicts"),
    ],
)
def test_a_changed_record_fails(
    places: Places, damage: Callable[[Path], None], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    damage(places.recorded_results("smoke"))
    assert main(["verify", "--project", str(places.project)]) == 1
    assert any(says in line for line in capsys.readouterr().err.splitlines())


def test_a_changed_or_missing_picture_fails(places: Places) -> None:
    folder = places.recorded_figures("smoke")
    (folder / "qiw/fig01_posterior_2d.png").write_bytes(b"other")
    (line,) = problems(places)
    assert "fig01_posterior_2d.png: sha256 expected" in line
    shutil.rmtree(folder)
    (line,) = problems(places)
    assert line.startswith(f"{folder}/SHA256SUMS: cannot be read")


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (",reproduced,", ",contradicted,", "verdict is reproduced, but the record says: contradicted"),
        (",require,", ",report,", "status is require, but the record says: report"),
        ("0.444912,", "12345,", "measured is 0.444912, 0.0312345, 0.00078, but the record says: 12345"),
        ("0.0312345", "0.0312349", "measured is"),
        ("KL falls with k.", "KL rises with k.", "statement is KL falls"),
        (",0.01,", ",0.0100001,", "tolerance is 0.01, but the record says: 0.0100001"),
        ("qiw-kl", "qiw-lk", "qiw-lk-falls-with-k: is in the record alone"),
    ],
)
def test_verdicts_changed_with_their_list_fail_all_the_same(
    places: Places, old: str, new: str, says: str
) -> None:
    folder = places.recorded_results("smoke")
    edit(folder / CLAIMS, old, new)
    checksums.write_list(folder)
    found = problems(places)
    assert any(line.startswith("smoke: qiw-") and says in line for line in found), found


def test_an_effect_changed_with_its_list_fails_all_the_same(places: Places) -> None:
    folder = places.recorded_results("smoke")
    edit(folder / "claims_effects.csv", ",reproduced,", ",undecided,")
    checksums.write_list(folder)
    line = problems(places)[0]
    assert line.startswith("smoke: qiw-kl-falls-with-k, effect 1: verdict is reproduced, but the record says")


def test_a_table_changed_with_its_list_fails_all_the_same(places: Places) -> None:
    folder = places.recorded_results("smoke")
    edit(folder / TABLE, "0.0312345", "0.0312399")
    checksums.write_list(folder)
    line, *of_effects = problems(places)
    assert of_effects
    assert all("-k, effect " in other and ": value is " in other for other in of_effects)
    assert "measured is 0.444912, 0.0312399, 0.00078, but the record says: 0.444912, 0.0312345" in line


def test_the_rounding_of_another_machine_is_no_difference(places: Places) -> None:
    folder = places.recorded_results("smoke")
    edit(folder / CLAIMS, "0.0312345", "0.0312344")  # the last of six digits
    edit(folder / CLAIMS, ",0.01,", ",0.010000000000000002,")
    checksums.write_list(folder)
    assert problems(places) == []


def test_a_changed_record_is_not_added_to(places: Places) -> None:
    edit(places.recorded_results("smoke") / TABLE, "0.4449123", "0.4449124")
    with pytest.raises(
        UserError, match=r"tab01_bounds\.csv: sha256 expected .*; restore what is recorded first"
    ):
        record("smoke", places, add=True)


def test_a_changed_recorded_result_has_no_provenance_to_show(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    path = places.recorded_results("smoke") / TABLE
    assert main(["provenance", str(path)]) == 0
    edit(path, "0.4449123", "0.4449124")
    capsys.readouterr()
    assert main(["provenance", str(path)]) == 2
    assert "restore it, or record its run again" in capsys.readouterr().err


class Killed(BaseException):
    pass


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def killed_before_step(step: int, places: Places, add: bool) -> bool:
    """Whether recording was killed before it renamed or removed a folder for the `step`-th time."""
    done = 0

    def counted(act: Callable) -> Callable:
        def acting(*words: Any, **options: Any) -> None:
            nonlocal done
            if done == step:
                raise Killed
            done += 1
            act(*words, **options)

        return acting

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(files, "rename", counted(files.rename))
        patch.setattr(shutil, "rmtree", counted(shutil.rmtree))
        try:
            record("smoke", places, add=add)
        except Killed:
            return True
    return False


@pytest.mark.parametrize("add", [False, True])
def test_killed_at_any_moment_the_same_command_records_the_run(
    recorded: Callable[[Path], Places], tmp_path: Path, add: bool
) -> None:
    steps = 0
    for step in range(30):
        places = recorded(tmp_path / str(step))
        roots = places.recorded, places.project / "figures" / "reference"
        before = [contents(root / "smoke") for root in roots]
        change_result(places.results("smoke") / TABLE, "0.0312345", "0.0212345")
        if add:  # the run lacks what only the record has
            for name in ("claims.csv", "data/binarized_mnist.json"):
                (places.results("smoke") / name).unlink()
        killed = killed_before_step(step, places, add)
        for root, old in zip(roots, before, strict=True):
            left = [folder for folder in (root / "smoke", root / ".partial" / "smoke.old") if folder.is_dir()]
            assert any(set(contents(folder)) == set(old) for folder in left), step
            if not (root / "smoke").is_dir():
                assert any("interrupted recording" in line for line in problems(places))
        record("smoke", places, add=add)
        assert [set(contents(root / "smoke")) for root in roots] == [set(old) for old in before]
        assert "0.0212345" in (places.recorded_results("smoke") / TABLE).read_text(encoding="utf-8")
        assert not any((root / ".partial").exists() for root in roots)
        if add:
            assert problems(places) == []
        steps += killed
        if not killed:
            break
    assert steps >= 6  # for each of two folders: aside, in, deleted
