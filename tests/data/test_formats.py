"""File readers against files written here in each format, and against damage."""

import gzip
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from elbogap.data import formats

rows_of_bits = arrays_of.arrays(
    np.uint8, st.tuples(st.integers(1, 5), st.just(784)), elements=st.integers(0, 1)
)


def as_amat(bits: np.ndarray) -> bytes:
    """Larochelle's text: digits with a space between and a newline behind each row."""
    return b"".join(b" ".join(b"%d" % bit for bit in row) + b"\n" for row in bits)


def as_idx(values: np.ndarray) -> bytes:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    return gzip.compress(header + values.tobytes())


@given(bits=rows_of_bits)
def test_text_and_packed_bits_agree(tmp_path_factory: pytest.TempPathFactory, bits: np.ndarray) -> None:
    path = tmp_path_factory.getbasetemp() / "bits.amat"
    path.write_bytes(as_amat(bits))
    np.testing.assert_array_equal(formats.amat(path), bits)
    np.testing.assert_array_equal(formats.bits(np.packbits(bits, axis=1)), bits)


@pytest.mark.parametrize("shape", [(3,), (2, 28, 28)])
def test_idx(tmp_path: Path, shape: tuple[int, ...]) -> None:
    values = np.random.default_rng(0).integers(256, size=shape, dtype=np.uint8)
    path = tmp_path / "values.gz"
    path.write_bytes(as_idx(values))
    read = formats.idx(path)
    np.testing.assert_array_equal(read, values.reshape(len(values), -1) if values.ndim > 1 else values)


def test_mnist_pickle_gives_back_the_grey_levels(tmp_path: Path) -> None:
    grey = (np.arange(784) % 256).astype(np.uint8)[None]
    splits = tuple((grey.astype(np.float32) / 256, np.array([number])) for number in range(3))
    path = tmp_path / "mnist.pkl.gz"
    path.write_bytes(gzip.compress(pickle.dumps(splits, protocol=4)))
    arrays = formats.mnist_pickle(path)
    for number, split in enumerate(("train", "valid", "test")):
        np.testing.assert_array_equal(arrays[split], grey)
        assert arrays[f"{split}_label"] == number


def test_upright_turns_columns_into_rows() -> None:
    image = np.arange(784).reshape(28, 28)
    np.testing.assert_array_equal(formats.upright(image.ravel(order="F")[None])[0].reshape(28, 28), image)


def newsgroups_tgz(path: Path, splits: dict[str, tuple[list[dict[int, int]], list[int]]]) -> None:
    """The canonical archive of documents (word from 0 to count) and labels from 0."""
    with tarfile.open(path, "w:gz") as archive:
        for split, (documents, labels) in splits.items():
            lines = [
                f"{number} {word + 1} {count}\n"
                for number, document in enumerate(documents, 1)
                for word, count in document.items()
            ]
            for kind, text in (
                ("data", "".join(lines)),
                ("label", "".join(f"{label + 1}\n" for label in labels)),
            ):
                member = tarfile.TarInfo(f"20news-bydate/matlab/{split}.{kind}")
                member.size = len(text)
                archive.addfile(member, io.BytesIO(text.encode()))


documents = st.lists(
    st.dictionaries(st.integers(0, 61187), st.integers(1, 900), min_size=1, max_size=4),
    min_size=1,
    max_size=5,
)


@given(documents=documents, data=st.data())
def test_newsgroups_digest_ignores_only_the_order(
    tmp_path_factory: pytest.TempPathFactory, documents: list[dict[int, int]], data: st.DataObject
) -> None:
    path = tmp_path_factory.getbasetemp() / "news.tgz"
    labels = data.draw(st.lists(st.integers(0, 19), min_size=len(documents), max_size=len(documents)))
    order = data.draw(st.permutations(range(len(documents))))
    other = ([{5: 1}], [3])

    def digest(documents: list[dict[int, int]], labels: list[int]) -> str:
        newsgroups_tgz(path, {"train": (documents, labels), "test": other})
        return formats.newsgroups_digest(formats.newsgroups_tgz(path))

    first = digest(documents, labels)
    assert digest([documents[i] for i in order], [labels[i] for i in order]) == first
    assert digest(documents, [(labels[0] + 1) % 20, *labels[1:]]) != first
    word, count = next(iter(documents[0].items()))
    assert digest([documents[0] | {word: count + 1}, *documents[1:]], labels) != first


def test_digest_sees_names_types_shapes_and_values() -> None:
    base = {"a": np.arange(6, dtype=np.int32)}
    variants = [
        {"b": base["a"]},
        {"a": base["a"].astype(np.int64)},
        {"a": base["a"].reshape(2, 3)},
        {"a": base["a"][::-1]},
        base | {"b": base["a"]},
    ]
    assert len({formats.digest(arrays) for arrays in [base, *variants]}) == 6


def test_hapt_zip(tmp_path: Path) -> None:
    path = tmp_path / "hapt.zip"
    features = np.linspace(-1, 1, 2 * 561).reshape(2, 561)
    with zipfile.ZipFile(path, "w") as archive:
        for split, folder in (("train", "Train"), ("test", "Test")):
            archive.writestr(
                f"{folder}/X_{split}.txt", "\n".join(" ".join(f"{v:.8f}" for v in row) for row in features)
            )
            archive.writestr(f"{folder}/y_{split}.txt", "5\n12\n")
            archive.writestr(f"{folder}/subject_id_{split}.txt", "1\n30\n")
    arrays = formats.hapt_zip(path)
    np.testing.assert_allclose(arrays["train_x"], features, atol=1e-7)
    assert arrays["test_y"].tolist() == [5, 12]
    assert arrays["test_subject"].tolist() == [1, 30]


def test_mat_keeps_the_variables(tmp_path: Path) -> None:
    path = tmp_path / "file.mat"
    scipy.io.savemat(path, {"data": np.eye(2)})
    assert set(formats.mat(path)) == {"data"}


READERS = [
    formats.amat,
    formats.idx,
    formats.mnist_pickle,
    formats.npz,
    formats.mat,
    formats.newsgroups_tgz,
    formats.hapt_zip,
]


@pytest.mark.parametrize("reader", READERS, ids=lambda reader: reader.__name__)
@pytest.mark.parametrize(
    "content",
    [b"<html>moved</html>", b"", gzip.compress(b"something")[:-6]],
    ids=["page", "empty", "cut"],  # gzip writes the time, which must not get into the tests' names
)
def test_foreign_or_damaged_files_are_value_errors(tmp_path: Path, reader: Callable, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="not "):
        reader(path)
