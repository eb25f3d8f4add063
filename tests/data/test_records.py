"""The record of a data set under each policy for stand-ins."""

import gzip
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
from test_formats import as_idx

from elbogap.data import fetch, loaders, records
from elbogap.data.sources import File
from elbogap.errors import UserError
from loopback import Server
from toy_data import Define, sha

CONTENT = b"real data"
SHA = sha(CONTENT)


def test_always_looks_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*words: object, **named: object) -> None:
        raise AssertionError("looked for real data")

    monkeypatch.setattr(records, "obtain", refuse)
    monkeypatch.setattr(fetch, "local", refuse)
    record = records.make("mnist", "always", "settled")
    assert record["kind"] == "stand-in"
    assert record["note"].startswith("STAND-IN")


def test_never_is_an_error_that_lists_what_was_tried(toy: Define, dead_address: str) -> None:
    toy(File("file", sha256=SHA, addresses=(dead_address,)))
    with pytest.raises(
        fetch.NotServed, match=f"toy: nothing serves it .*tried: .*{dead_address}: no connection"
    ):
        records.make("toy", "never", "settled", say=fetch.ignore)


def test_if_unavailable(toy: Define, cache: Path) -> None:
    toy(File("file", sha256=SHA))
    lines: list[str] = []
    assert records.make("toy", "if-unavailable", "settled", say=lines.append)["kind"] == "stand-in"
    (line,) = lines
    assert "STAND-IN" in line
    (cache / "file").write_bytes(CONTENT)
    record = records.make("toy", "if-unavailable", "retry", say=lines.append)
    assert record["kind"] == "real"
    assert record["files"] == [{"name": "file", "sha256": SHA}]
    assert record["state"] == "retry"


def test_real_record_says_neither_machine_nor_time_nor_policy(toy: Define, mirror: Path, cache: Path) -> None:
    toy(File("file", sha256=SHA))
    (mirror / "file").write_bytes(CONTENT)
    from_mirror = records.make("toy", "never", "settled")
    from_cache = records.make("toy", "if-unavailable", "settled")
    assert from_mirror == from_cache
    assert set(from_mirror) == {"dataset", "kind", "variant", "files", "licence", "citation", "note", "state"}
    assert str(mirror.parent) not in json.dumps(from_mirror)


def test_a_full_disk_is_no_reason_for_a_stand_in(toy: Define, cache: Path, server: Server) -> None:
    cache.rmdir()
    cache.write_text("a file where the folder should be", encoding="utf-8")
    toy(File("file", sha256=SHA, addresses=(server.serve("/file", CONTENT),)))
    with pytest.raises(UserError, match="cannot be written"):
        records.make("toy", "if-unavailable", "settled")


def test_binarized_mnist_is_drawn_from_grey_mnist_where_that_is_there(
    toy: Define, cache: Path, tmp_path: Path
) -> None:
    """The stand-in loads again, keeps the grey images' labels, and is sorted by class in the test part."""
    random = np.random.default_rng(0)
    splits = tuple(
        (random.integers(256, size=(20, 784)).astype(np.float32) / 256, random.permutation(20) % 10)
        for _ in range(3)
    )
    (cache / "mnist.pkl.gz").write_bytes(gzip.compress(pickle.dumps(splits, protocol=4)))
    toy(File("nowhere", sha256=SHA), name="binarized_mnist")
    toy(
        File("mnist.pkl.gz", sha256=sha((cache / "mnist.pkl.gz").read_bytes())),
        name="mnist",
        variant="pickle",
    )
    record = records.make("binarized_mnist", "if-unavailable", "settled", say=fetch.ignore)
    assert (record["dataset"], record["kind"]) == ("binarized_mnist", "stand-in")
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    data = loaders.load(path)
    assert (data.name, data.kind) == ("binarized_mnist", "stand-in")
    assert set(np.unique(data.arrays["train"])) == {0, 1}
    np.testing.assert_array_equal(data.arrays["train_label"], splits[0][1])
    assert np.all(np.diff(data.arrays["test_label"].astype(int)) >= 0)
    np.testing.assert_array_equal(data.arrays["train"], loaders.load(path).arrays["train"])


def test_celeba_is_enlarged_fashion_mnist_where_that_is_there(
    toy: Define, cache: Path, tmp_path: Path
) -> None:
    """The last 10,000 training images of Fashion-MNIST are its validation part."""
    random = np.random.default_rng(0)
    parts = {
        name: random.integers(256, size=shape).astype(np.uint8)
        for name, shape in {
            "train": (50003, 28, 28), "train_label": (50003,), "test": (2, 28, 28), "test_label": (2,)
        }.items()
    }  # fmt: skip
    files = []
    for name, values in parts.items():
        (cache / name).write_bytes(as_idx(values))
        files.append(File(name, sha256=sha((cache / name).read_bytes())))
    toy(File("nowhere", sha256=SHA), name="celeba")
    toy(*files, name="fashion_mnist")
    record = records.make("celeba", "if-unavailable", "settled", say=fetch.ignore)
    assert "Fashion-MNIST" in record["note"]
    path = tmp_path / "record.json"
    path.write_text(json.dumps(record), encoding="utf-8")
    data = loaders.load(path)
    assert (data.name, data.kind) == ("celeba", "stand-in")
    assert (len(data.arrays["train_name"]), len(data.arrays["test_name"])) == (50003, 2)
    assert data.images is not None
    images = data.images([data.arrays["test_name"][1], data.arrays["train_name"][0]])
    assert images.shape == (2, 64, 64, 3)
    assert images.dtype == np.uint8
    for image, grey in zip(images, (parts["test"][1], parts["train"][0]), strict=True):
        for channel in range(3):
            np.testing.assert_array_equal(image[4:60:2, 4:60:2, channel], grey)
            np.testing.assert_array_equal(image[5:60:2, 5:60:2, channel], grey)
        assert not image[:4].any()
        assert not image[:, 60:].any()


def test_state_of_a_stand_in_turns_when_the_real_data_comes(toy: Define, cache: Path, tmp_path: Path) -> None:
    """Stand-in, then real data arrives: one retry, and then peace."""
    toy(File("file", sha256=SHA))
    path = tmp_path / "toy.json"

    def build() -> dict:
        record = records.make("toy", "if-unavailable", records.record_state(path, "toy"), say=fetch.ignore)
        path.write_text(json.dumps(record), encoding="utf-8")
        return record

    assert build()["state"] == records.record_state(path, "toy") == "settled"
    (cache / "file").write_bytes(CONTENT)
    assert records.record_state(path, "toy") == "retry"
    assert build()["kind"] == "real"
    assert records.record_state(path, "toy") == "retry"
    (cache / "file").unlink()
    assert records.record_state(path, "toy") == "retry"
