"""From a record to arrays: each format, each promised shape and type, and damage after the record."""

import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pooch
import pytest
import scipy.io
from PIL import Image
from test_formats import as_amat, as_idx, newsgroups_tgz

from elbogap.data import loaders, records
from elbogap.data.formats import Arrays, caltech_silhouettes, hapt, newsgroups, npz, omniglot
from elbogap.data.sources import SOURCES, File
from elbogap.data.stand_ins import RECIPES
from elbogap.errors import UserError
from toy_data import Define

RANDOM = np.random.default_rng(0)


@pytest.fixture
def record_of(tmp_path: Path, toy: Define) -> Callable[..., Path]:
    """A record of files that lie in the cache and stand, as they are now, in the table of sources."""

    def make(dataset: str, variant: str, *files: Path) -> Path:
        entries = [{"name": path.name, "sha256": pooch.file_hash(str(path))} for path in files]
        toy(*(File(**entry) for entry in entries), name=dataset, variant=variant)
        record = tmp_path / "record.json"
        record.write_text(
            json.dumps({"dataset": dataset, "kind": "real", "variant": variant, "files": entries}),
            encoding="utf-8",
        )
        return record

    return make


def test_damage_and_loss_after_the_record_was_made(
    cache: Path, mirror: Path, record_of: Callable[..., Path]
) -> None:
    path = cache / "bits.amat"
    path.write_bytes(as_amat(np.ones((1, 784), dtype=np.uint8)))
    record = record_of("binarized_mnist", "canonical", path, path, path)
    assert loaders.load(record).arrays["train"].sum() == 784
    (mirror / path.name).write_bytes(path.read_bytes())
    expected = pooch.file_hash(str(path))
    path.write_bytes(as_amat(np.zeros((1, 784), dtype=np.uint8)))
    assert loaders.load(record).files[0] == mirror / path.name
    (mirror / path.name).unlink()
    with pytest.raises(
        UserError, match=f"{path}: sha256 expected {expected}, got .*data fetch binarized_mnist"
    ):
        loaders.load(record)
    path.unlink()
    with pytest.raises(
        UserError, match=r"neither in the cache .* nor in a mirror; run .*data fetch binarized_mnist"
    ):
        loaders.load(record)


def test_record_that_is_missing_or_damaged(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no readable data record"):
        loaders.load(tmp_path / "missing.json")
    (tmp_path / "half.json").write_text('{"dataset": ', encoding="utf-8")
    with pytest.raises(UserError, match="rebuild it"):
        loaders.load(tmp_path / "half.json")


def test_mnist_splits_the_training_file(cache: Path, record_of: Callable[..., Path]) -> None:
    labels = (np.arange(60000) % 10).astype(np.uint8)
    images = np.repeat((np.arange(60000) % 251).astype(np.uint8)[:, None], 784, axis=1).reshape(-1, 28, 28)
    files = []
    for name, values in (("x", images), ("y", labels), ("tx", images[:3]), ("ty", labels[:3])):
        files.append(cache / f"{name}.gz")
        files[-1].write_bytes(as_idx(values))
    arrays = loaders.load(record_of("fashion_mnist", "canonical", *files)).arrays
    assert [len(arrays[split]) for split in ("train", "valid", "test")] == [50000, 10000, 3]
    assert arrays["valid"][0, 0] == 50000 % 251
    assert arrays["valid_label"][7] == 7


def test_omniglot_mat_and_npz_agree(tmp_path: Path) -> None:
    sizes = {"train": 6, "test": 4}
    images = {split: RANDOM.integers(256, size=(n, 28, 28), dtype=np.uint8) for split, n in sizes.items()}
    alphabet = {split: RANDOM.integers(50, size=n).astype(np.uint8) for split, n in sizes.items()}
    keep = np.array([True, False, True, True])
    stored: dict[str, np.ndarray] = {"test_keep_8070": keep}
    matlab: dict[str, np.ndarray] = {}
    for split, prefix in (("train", ""), ("test", "test")):
        rows = keep if split == "test" else slice(None)
        stored |= {split: images[split].reshape(-1, 784), f"{split}_alphabet": alphabet[split]}
        matlab[f"{prefix}data"] = images[split][rows].transpose(0, 2, 1).reshape(-1, 784).T / 255
        matlab[f"{prefix}target"] = np.eye(50)[:, alphabet[split][rows]]
    np.savez(tmp_path / "o.npz", **stored)
    scipy.io.savemat(tmp_path / "o.mat", matlab)
    same(omniglot(tmp_path / "o.mat"), omniglot(tmp_path / "o.npz"))


def test_caltech_mat_and_bits_agree(tmp_path: Path) -> None:
    stored, matlab = {}, {}
    for split in ("train", "val", "test"):
        images = RANDOM.integers(2, size=(3, 28, 28), dtype=np.uint8)
        labels = RANDOM.integers(1, 102, size=3).astype(np.uint8)
        stored |= {f"{split}_bits": np.packbits(images.reshape(3, 784), axis=1), f"{split}_labels": labels}
        matlab |= {
            f"{split}_data": images.transpose(0, 2, 1).reshape(3, 784),
            f"{split}_labels": labels[:, None],
        }
    np.savez(tmp_path / "c.npz", **stored)
    scipy.io.savemat(tmp_path / "c.mat", matlab)
    same(caltech_silhouettes(tmp_path / "c.mat"), caltech_silhouettes(tmp_path / "c.npz"))


def test_newsgroups_tgz_and_npz_agree_up_to_row_order(tmp_path: Path, real_mirror: Path) -> None:
    """Some real rows, written in the canonical format in another order inside each group."""
    stored = npz(real_mirror / "20ng.npz")
    part: dict[str, np.ndarray] = {}
    splits = {}
    for split in ("train", "test"):
        chosen = np.sort(RANDOM.choice(len(stored[f"{split}_labels"]), 40, replace=False))
        bounds = stored[f"{split}_indptr"]
        pieces = [slice(bounds[row], bounds[row + 1]) for row in chosen]
        labels = stored[f"{split}_labels"][chosen]
        part |= {
            f"{split}_{key}": np.concatenate([stored[f"{split}_{key}"][piece] for piece in pieces])
            for key in ("indices", "counts")
        }
        part[f"{split}_indptr"] = np.cumsum([0, *(piece.stop - piece.start for piece in pieces)]).astype(
            np.int32
        )
        part[f"{split}_labels"] = labels
        order = np.lexsort((RANDOM.permutation(40), labels))
        documents = [
            {
                int(w): int(c)
                for w, c in zip(*(stored[f"{split}_{k}"][piece] for k in ("indices", "counts")), strict=True)
            }
            for piece in pieces
        ]
        splits[split] = ([documents[row] for row in order], labels[order].tolist())
    np.savez(tmp_path / "20ng.npz", **part)
    newsgroups_tgz(tmp_path / "20news.tgz", splits)
    vocabulary = real_mirror / "20ng_vocabulary.txt"
    canonical = newsgroups(tmp_path / "20news.tgz", vocabulary)
    repacked = newsgroups(tmp_path / "20ng.npz", vocabulary)
    assert set(canonical) == set(repacked)
    for split in ("train", "test"):
        np.testing.assert_array_equal(canonical[f"{split}_label"], repacked[f"{split}_label"])
        first, second = canonical[split], repacked[split]
        assert first.shape == second.shape == (40, 61188)
        assert first.dtype == second.dtype == np.int32
        rows = [sorted(map(bytes, matrix.toarray())) for matrix in (first, second)]
        assert rows[0] == rows[1]


def test_newsgroups_counts_do_not_wrap_around(tmp_path: Path) -> None:
    (tmp_path / "words.txt").write_text("\n".join(f"w{i}" for i in range(61188)) + "\n", encoding="utf-8")
    splits = {split: ([{0: 40000, 61187: 40000}], [19]) for split in ("train", "test")}
    newsgroups_tgz(tmp_path / "n.tgz", splits)
    arrays = newsgroups(tmp_path / "n.tgz", tmp_path / "words.txt")
    assert arrays["train"].sum() == 80000
    assert arrays["train_label"][0] == 19
    assert arrays["vocabulary"][61187] == "w61187"


def test_hapt_units(tmp_path: Path) -> None:
    features = np.array([[-32767] * 561, [32767] * 561], dtype=np.int16)
    stored = {}
    for split in ("train", "test"):
        stored |= {
            f"{split}_x": features,
            f"{split}_y": np.uint8([1, 12]),
            f"{split}_subject": np.uint8([1, 30]),
        }
    np.savez(tmp_path / "h.npz", **stored)
    arrays = hapt(tmp_path / "h.npz")
    assert arrays["train"].dtype == np.float32
    assert arrays["train"][:, 0].tolist() == [-1, 1]
    assert arrays["test_label"].tolist() == [0, 11]


def jpeg(size: tuple[int, int], colour: tuple[int, int, int]) -> bytes:
    file = BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.parametrize(
    ("variant", "folder", "size"), [("canonical", "img_align_celeba/", (178, 218)), ("mirror", "", (64, 64))]
)
def test_celeba_decodes_by_name(
    cache: Path, record_of: Callable[..., Path], variant: str, folder: str, size: tuple[int, int]
) -> None:
    path = cache / "faces.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{folder}000001.jpg", jpeg(size, (250, 0, 0)))
        archive.writestr(f"{folder}000002.jpg", jpeg(size, (0, 0, 250)))
    data = loaders.load(record_of("celeba", variant, path))
    assert data.arrays["train_name"].tolist() == ["000001.jpg", "000002.jpg"]
    assert data.images is not None
    images = data.images(["000002.jpg", "000001.jpg"])
    assert images.shape == (2, 64, 64, 3)
    assert images.dtype == np.uint8
    assert np.abs(images[0].astype(int) - [0, 0, 250]).max() <= 6


def same(first: Arrays, second: Arrays) -> None:
    assert set(first) == set(second)
    for key in first:
        assert first[key].dtype == second[key].dtype, key
        np.testing.assert_array_equal(first[key], second[key], err_msg=key)


SHAPES = {
    "mnist": {"train": 50000, "valid": 10000, "test": 10000},
    "fashion_mnist": {"train": 50000, "valid": 10000, "test": 10000},
    "binarized_mnist": {"train": 50000, "valid": 10000, "test": 10000},
    "omniglot": {"train": 24345, "test": 8070},
    "caltech_silhouettes": {"train": 4100, "valid": 2264, "test": 2307},
    "newsgroups": {"train": 11269, "test": 7505},
    "hapt": {"train": 7767, "test": 3162},
    "celeba": {"train_name": 9000, "test_name": 1000},
    "posteriordb": {"earnings.earn": 1192, "kidiq.mom_iq": 434, "nes2000-nes": 10000},
}


@pytest.mark.parametrize("name", SHAPES)
def test_real_files(name: str, tmp_path: Path, real: Callable[[str], None]) -> None:
    real(name)
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(records.make(name, "never", "settled")), encoding="utf-8")
    data = loaders.load(path)
    assert data.kind == "real"
    assert {key: data.arrays[key].shape[0] for key in SHAPES[name]} == SHAPES[name]
    parameters = SOURCES[name].stand_ins[-1].parameters
    stand_in = RECIPES[parameters["recipe"]](parameters)
    assert {*data.arrays, *(["images"] if data.images else [])} == set(stand_in)
    for key, array in data.arrays.items():
        assert array.dtype.kind == stand_in[key].dtype.kind, key
        assert array.dtype == stand_in[key].dtype or array.dtype.kind == "U", key


def test_known_facts_of_the_real_data(tmp_path: Path, real_mirror: Path) -> None:
    def arrays(name: str) -> Arrays:
        path = tmp_path / f"{name}.json"
        path.write_text(json.dumps(records.make(name, "never", "settled")), encoding="utf-8")
        return dict(loaders.load(path).arrays)

    news = arrays("newsgroups")
    assert (news["train"].nnz, news["test"].nnz) == (1467345, 967874)
    assert news["vocabulary"][0] == "archive"
    assert np.all(np.diff(arrays("binarized_mnist")["test_label"].astype(int)) >= 0)
    silhouettes = arrays("caltech_silhouettes")["train"].reshape(-1, 28, 28)
    assert silhouettes[:, 0, 0].mean() > 0.9  # background is 1
    activities = arrays("hapt")
    assert not set(activities["train_subject"]) & set(activities["test_subject"])


@pytest.mark.parametrize("name", SOURCES)
def test_stand_ins_load_from_their_record(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.json"
    path.write_text(json.dumps(records.make(name, "always", "settled")), encoding="utf-8")
    data = loaders.load(path)
    assert data.kind == "stand-in"
    if name == "celeba":
        assert data.images is not None
        assert data.images(data.arrays["test_name"][:2]).shape == (2, 64, 64, 3)
