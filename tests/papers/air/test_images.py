from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from elbogap import tables
from elbogap.data.loaders import Dataset, load
from elbogap.data.sources import SOURCES
from elbogap.errors import UserError
from elbogap.models.image_vae import unpacked
from elbogap.papers.air.datasets import DATASETS
from elbogap.papers.air.experiments import images
from elbogap.papers.air.settings import Images, Split
from elbogap.runtime import Run
from toy_data import stand_in_record

SPLIT = Split(train=50, valid=12, test=20)
SETTINGS = Images(binarized_mnist=SPLIT, omniglot=SPLIT, caltech_silhouettes=SPLIT, seed=0)
NAMES = tuple(DATASETS)
HAVE = {"train": 90, "valid": 25, "test": 40}

Made = Callable[..., dict[str, np.ndarray]]


@pytest.fixture(scope="module")
def records(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Records of small stand-ins; OMNIGLOT has no validation part."""
    folder = tmp_path_factory.mktemp("records")
    return {name: stand_in_record(folder, name, **HAVE) for name in NAMES}


@pytest.fixture
def chosen(records: dict[str, Path]) -> Made:
    """Images of a data set, with some settings changed."""

    def choose(name: str, **changes: object) -> dict[str, np.ndarray]:
        settings = SETTINGS.model_copy(update=changes)
        return images.run(settings, Run("test", {"dataset": name}, {"data": records[name]}))["images"]

    return choose


@pytest.fixture
def numbered(monkeypatch: pytest.MonkeyPatch) -> Made:
    """As `chosen`, of made-up drawings: ten pixels write the drawing's number in black and white."""

    def choose(grey: np.ndarray, **changes: object) -> dict[str, np.ndarray]:
        arrays = {}
        for part, first in (("train", 0), ("test", 512)):
            numbers = first + np.arange(len(grey))
            bits = (numbers[:, None] >> np.arange(10) & 1).astype(np.uint8)
            arrays[part] = np.concatenate([255 * bits, grey], 1)
        made = Dataset("omniglot", "real", arrays, {})
        monkeypatch.setattr(images, "load", lambda path: made)
        settings = SETTINGS.model_copy(update=changes)
        run = Run("test", {"dataset": "omniglot"}, {"data": Path("unread")})
        return images.run(settings, run)["images"]

    return choose


def numbers(arrays: dict[str, np.ndarray], part: str) -> list[int]:
    return (unpacked(arrays, part).numpy()[:, :10] @ 2 ** np.arange(10)).astype(int).tolist()


def as_rows(values: np.ndarray) -> list[bytes]:
    return [row.tobytes() for row in values.astype(np.uint8)]


@pytest.mark.parametrize("name", NAMES)
def test_parts_have_the_sizes_asked_for_and_say_what_they_are_of(chosen: Made, name: str) -> None:
    arrays = chosen(name)
    assert {part: len(arrays[part]) for part in images.PARTS} == SPLIT.model_dump()
    assert (arrays["data"].item(), arrays["dataset"].item()) == ("stand-in", name)
    assert all(set(np.unique(unpacked(arrays, part).numpy())) == {0, 1} for part in images.PARTS)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_seed_gives_the_same_bytes_and_another_one_other_images(
    chosen: Made, tmp_path: Path, name: str
) -> None:
    for file, changes in (("a.npz", {}), ("b.npz", {}), ("c.npz", {"seed": 1})):
        tables.write(chosen(name, **changes), tmp_path / file)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.npz").read_bytes() != (tmp_path / "c.npz").read_bytes()


@pytest.mark.parametrize(("name", "inverted"), [("binarized_mnist", False), ("caltech_silhouettes", True)])
def test_images_of_each_part_are_different_ones_of_that_part_in_random_order(
    chosen: Made, records: dict[str, Path], name: str, inverted: bool
) -> None:
    stored = load(records[name]).arrays
    for part in images.PARTS:
        expected = as_rows(1 - stored[part] if inverted else stored[part])
        places = {row: place for place, row in enumerate(expected)}
        assert len(places) == HAVE[part]
        found = [places[row] for row in as_rows(unpacked(chosen(name), part).numpy())]
        assert len(set(found)) == len(found)
        assert found != sorted(found)


def test_silhouettes_are_ink_on_an_empty_ground(chosen: Made, records: dict[str, Path]) -> None:
    corner = unpacked(chosen("caltech_silhouettes"), "train").numpy().reshape(-1, 28, 28)[:, 0, 0]
    assert load(records["caltech_silhouettes"]).arrays["train"].mean() > 0.5
    assert corner.mean() < 0.1


@pytest.mark.parametrize("name", NAMES)
def test_fewer_images_than_asked_for_are_taken_whole(
    chosen: Made, records: dict[str, Path], name: str
) -> None:
    arrays = chosen(name, **{name: Split(train=1000, valid=10, test=1000)})
    stored = load(records[name]).arrays
    taken_away = 10 if name == "omniglot" else 0
    sizes = {part: len(arrays[part]) for part in images.PARTS}
    assert sizes == {"train": HAVE["train"] - taken_away, "valid": 10, "test": HAVE["test"]}
    if name == "binarized_mnist":
        assert sorted(as_rows(unpacked(arrays, "test").numpy())) == sorted(as_rows(stored["test"]))


@pytest.mark.parametrize(("asked", "given"), [(12, 12), (1000, 30)])
def test_omniglot_s_validation_images_are_other_ones_of_its_training_part(
    numbered: Made, asked: int, given: int
) -> None:
    """At most half of the training part is held out."""
    grey = np.zeros((60, 774), np.uint8)
    arrays = numbered(grey, omniglot=Split(train=1000, valid=asked, test=1000))
    train, valid, test = (numbers(arrays, part) for part in images.PARTS)
    assert len(valid) == given
    assert sorted(train + valid) == list(range(60))
    assert valid != sorted(valid)
    assert valid != list(range(given))
    assert sorted(test) == list(range(512, 572))


def test_omniglot_is_binarised_once_with_the_grey_levels_as_means(numbered: Made) -> None:
    levels = np.array([0, 51, 128, 204, 250, 255], np.uint8)
    grey = np.tile(levels, (400, 129))
    arrays = numbered(grey, omniglot=Split(train=1000, valid=100, test=1000))
    for part in images.PARTS:
        pixels = unpacked(arrays, part).numpy()[:, 10:].reshape(-1, 129, 6)
        means = pixels.mean((0, 1))
        error = 5 * np.sqrt(0.25 / (len(pixels) * 129))
        np.testing.assert_allclose(means, levels / 255, atol=error)
        assert means[0] == 0
        assert means[-1] == 1
        at_half = pixels[:, :, 2]
        assert len({row.tobytes() for row in at_half}) == len(at_half)  # each pixel has a draw of its own


@pytest.mark.parametrize("name", NAMES)
def test_bits_unpack_to_the_images_packed(name: str) -> None:
    values = np.random.default_rng(0).integers(0, 2, (7, 784))
    arrays = {"train": np.packbits(values.astype(bool), axis=1), "dataset": np.array(name)}
    whole, first = unpacked(arrays, "train").numpy(), unpacked(arrays, "train", count=3).numpy()
    np.testing.assert_array_equal(whole, values)
    np.testing.assert_array_equal(first, values[:3])
    np.testing.assert_array_equal(unpacked(arrays, "train", count=100).numpy(), values)
    assert whole.dtype == np.float32


def test_every_data_set_is_one_of_the_table_of_sources() -> None:
    assert set(DATASETS) <= set(SOURCES)


def test_a_data_set_without_sizes_is_refused_with_those_that_have_some() -> None:
    settings = Images(binarized_mnist=SPLIT, seed=0)
    run = Run("test", {"dataset": "omniglot"}, {"data": Path("unread")})
    with pytest.raises(UserError, match="no data set 'omniglot'; there are: binarized_mnist"):
        images.run(settings, run)


def test_grey_images_with_a_validation_part_keep_it(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = {part: np.full((30, 784), 255 * (part == "valid"), np.uint8) for part in images.PARTS}
    monkeypatch.setattr(images, "load", lambda path: Dataset("mnist", "real", grey, {}))
    monkeypatch.setitem(DATASETS, "mnist", DATASETS["omniglot"])
    settings = SETTINGS.model_copy(update={"mnist": SPLIT})
    arrays = images.run(settings, Run("test", {"dataset": "mnist"}, {"data": Path("unread")}))["images"]
    assert [unpacked(arrays, part).numpy().mean() for part in images.PARTS] == [0, 1, 0]
