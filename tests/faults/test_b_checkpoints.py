"""Kind B: a checkpoint whose content changed on the disk.

Promise: a damaged checkpoint is never resumed from. One line says so, training goes on from the checkpoint
before it or, if that is damaged too, from the start, and the result is the same bit for bit.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from elbogap.training import Work, train


class Stopped(Exception):
    pass


def fit(checkpoint: Path, stop_at: int = 0, made: list[int] | None = None) -> list[float]:
    """A random walk of twelve steps, which dies inside step `stop_at`."""
    walk = torch.nn.Linear(50, 1)
    torch.nn.init.zeros_(walk.weight)
    noise = torch.Generator().manual_seed(0)

    def step(i: int) -> Tensor:
        with torch.no_grad():
            walk.weight += torch.randn(1, 50, generator=noise)
        if i == stop_at:
            raise Stopped
        if made is not None:
            made.append(i)
        return walk.weight.detach().sum()

    parts = {"walk": walk, "noise": noise}
    return train(step, steps=12, record_every=1, parts=parts, work=Work("walk", checkpoint, "same")).tolist()


def flip(path: Path) -> None:
    """Invert 8 bytes in the middle of a file."""
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 8] = bytes(255 - byte for byte in content[middle : middle + 8])
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:200])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.mark.parametrize("damage", [flip, cut, empty, zero])
@pytest.mark.parametrize("both", [False, True])
def test_a_damaged_checkpoint_is_said_and_not_used(
    tmp_path: Path, damage: Callable[[Path], None], both: bool, capfd: pytest.CaptureFixture
) -> None:
    newest, before = tmp_path / "walk.pt", tmp_path / "walk.pt.before"
    with pytest.raises(Stopped):
        fit(newest, stop_at=8)
    damage(newest)
    if both:
        damage(before)
    capfd.readouterr()
    made: list[int] = []
    assert fit(newest, made=made) == fit(tmp_path / "whole.pt")
    assert made[0] == (1 if both else 7)
    said = [line for line in capfd.readouterr().err.splitlines() if line.startswith("elbogap:")]
    assert len(said) == 1
    if both:
        assert said == [f"elbogap: {newest} and {before}: damaged checkpoint, not used; starting anew"]
    else:
        assert said == [f"elbogap: {newest}: damaged checkpoint, not used; going on from {before}, step 6"]


def test_a_damaged_checkpoint_does_not_take_the_place_of_a_whole_one(
    tmp_path: Path, capfd: pytest.CaptureFixture
) -> None:
    newest = tmp_path / "walk.pt"
    with pytest.raises(Stopped):
        fit(newest, stop_at=8)
    flip(newest)
    with pytest.raises(Stopped):
        fit(newest, stop_at=8)  # goes on from step 6, and saves step 7 again
    flip(newest)
    made: list[int] = []
    fit(newest, made=made)
    assert made[0] == 7
    assert capfd.readouterr().err.count("damaged checkpoint") == 2


def test_killed_between_the_two_names_the_one_before_is_used(tmp_path: Path) -> None:
    newest = tmp_path / "walk.pt"
    with pytest.raises(Stopped):
        fit(newest, stop_at=8)
    newest.unlink()  # moved aside, and its successor has not taken its name yet
    made: list[int] = []
    assert fit(newest, made=made) == fit(tmp_path / "whole.pt")
    assert made[0] == 7
