"""How the files of the data sets are read: each variant's files into arrays by name.

A damaged or foreign file raises `ValueError`, whatever the parser behind it raises; the callers say which
file it was. Readers of archives take the most bytes that unpacking may give.
"""

import gzip
import hashlib
import io
import json
import pickle
import tarfile
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from PIL import Image
from scipy.sparse import csr_array

from elbogap import untrusted
from elbogap.untrusted import MOST_BYTES, parsing

Arrays = dict[str, Any]

SIDE, PIXELS = 28, 28 * 28
SPLITS = ("train", "valid", "test")
WORDS = 61188  # of 20 Newsgroups


def _gunzip(path: Path, most: int = MOST_BYTES) -> bytes:
    with parsing("a whole gzip file"), gzip.open(path) as file:
        return untrusted.read(file, most)


def npz(path: Path) -> Arrays:
    """Any NumPy archive without pickled objects."""
    with parsing("a whole NumPy archive"), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def mat(path: Path) -> Arrays:
    """A MATLAB file's variables, as stored."""
    with parsing("a MATLAB file"):
        content = scipy.io.loadmat(path)
    return {name: value for name, value in content.items() if not name.startswith("__")}


def bits(packed: np.ndarray) -> np.ndarray:
    """Unpack rows of 98 bytes to uint8 (n, 784) in {0, 1}."""
    return np.unpackbits(packed, axis=1)[:, :PIXELS]


def upright(images: np.ndarray) -> np.ndarray:
    """Turn flattened column-major 28 x 28 images (MATLAB's order) into row-major ones, shape (n, 784)."""
    return np.ascontiguousarray(images.reshape(-1, SIDE, SIDE).transpose(0, 2, 1).reshape(-1, PIXELS))


def amat(path: Path) -> np.ndarray:
    """Larochelle's text matrices, lines of 784 spaced digits 0 or 1: uint8 (n, 784)."""
    text = np.fromfile(path, dtype=np.uint8)
    if not text.size or text.size % (2 * PIXELS):
        raise ValueError(f"{text.size} bytes are not whole lines of {PIXELS} digits")
    rows = text.reshape(-1, 2 * PIXELS)
    bits = rows[:, ::2] - np.uint8(ord("0"))
    if bits.max() > 1 or np.any(rows[:, -1] != ord("\n")):
        raise ValueError("not a matrix of the digits 0 and 1")
    return bits


def idx(path: Path) -> np.ndarray:
    """Gzipped IDX file of unsigned bytes (LeCun et al. 1998): uint8, images flattened to rows."""
    with parsing("a gzipped IDX file of unsigned bytes"):
        content = _gunzip(path)
        if content[:3] != b"\0\0\x08":
            raise ValueError("it begins otherwise")
        shape = np.frombuffer(content, ">u4", count=content[3], offset=4).tolist()
        values = np.frombuffer(content, np.uint8, offset=4 + 4 * len(shape)).reshape(shape)
        return values.reshape(len(values), -1) if values.ndim > 1 else values


def mnist(*paths: Path) -> Arrays:
    """MNIST or Fashion-MNIST: 28 x 28 images of ten classes, 50,000 / 10,000 / 10,000.

    `{train,valid,test}` uint8 (n, 784) row-major, grey levels 0..255; `*_label` uint8 0..9. The validation
    part is the last 10,000 of the 60,000 training images.
    """
    images, label, test, test_label = map(idx, paths)
    arrays = {"train": images[:50000], "valid": images[50000:], "test": test}
    return arrays | {"train_label": label[:50000], "valid_label": label[50000:], "test_label": test_label}


class _ArraysOnly(pickle.Unpickler):
    """Of the functions of this machine, which a pickle can ask for, it gives those alone that make arrays."""

    ALLOWED = frozenset({"numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct"})

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}".replace("numpy._core.", "numpy.core.") not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def mnist_pickle(path: Path) -> Arrays:
    """The pickled MNIST of the Theano tutorials: `{train,valid,test}` uint8 (n, 784) and `*_label` uint8.

    Its values are k/256, so the grey levels k come back exactly.
    """
    with parsing("a pickle of three sets of arrays"):
        splits = _ArraysOnly(io.BytesIO(_gunzip(path)), encoding="latin1").load()
        arrays: Arrays = {}
        for name, (images, labels) in zip(SPLITS, splits, strict=True):
            arrays[name] = (images * np.float32(256)).astype(np.uint8)  # exact
            arrays[f"{name}_label"] = labels.astype(np.uint8)
    return arrays


def binarized_mnist(*paths: Path) -> Arrays:
    """The fixed binarisation of MNIST, from the three texts, without labels, or from the packed bits.

    `{train,valid,test}` uint8 (n, 784) in {0, 1}; `*_label` uint8 0..9, inferred from the grey images.
    Caution: the test part is SORTED BY CLASS, so evaluate on all of it or on a random choice.
    """
    if len(paths) == len(SPLITS):
        return {split: amat(path) for split, path in zip(SPLITS, paths, strict=True)}
    stored = npz(*paths)
    labels = {f"{split}_label": stored[f"{split}_label_inferred"] for split in SPLITS}
    return {split: bits(stored[f"{split}_bits"]) for split in SPLITS} | labels


def omniglot(path: Path) -> Arrays:
    """OMNIGLOT 28 x 28 of Burda et al., 24,345 / 8,070 drawings, from the MATLAB file or rebuilt.

    `{train,test}` uint8 (n, 784) row-major, value / 255 = Bernoulli mean of ink; `*_label` uint8 alphabet
    0..49. No validation part is defined. The rebuilt file marks 45 test drawings as missing from the
    published 8,070; they are left out.
    Caution: the drawings are SORTED BY ALPHABET; shuffle before splitting.
    """
    arrays: Arrays = {}
    stored = npz(path) if path.suffix == ".npz" else mat(path)
    for split, prefix in (("train", ""), ("test", "test")):
        if path.suffix == ".npz":
            keep = stored["test_keep_8070"] if split == "test" else slice(None)
            images, label = (stored[f"{split}{part}"][keep] for part in ("", "_alphabet"))
        else:
            images = upright(np.rint(255 * stored[f"{prefix}data"].T).astype(np.uint8))
            label = stored[f"{prefix}target"].argmax(axis=0).astype(np.uint8)
        arrays |= {split: images, f"{split}_label": label}
    return arrays


def caltech_silhouettes(path: Path) -> Arrays:
    """Caltech-101 Silhouettes 28 x 28, split 1, 4,100 / 2,264 / 2,307, from the MATLAB file or packed bits.

    `{train,valid,test}` uint8 (n, 784) in {0, 1}, row-major, upright; `*_label` uint8 0..100.
    Caution: 1 is the BACKGROUND, as in the file; most papers use 1 - x.
    """
    arrays: Arrays = {}
    stored = npz(path) if path.suffix == ".npz" else mat(path)
    for split, prefix in zip(SPLITS, ("train", "val", "test"), strict=True):
        if path.suffix == ".npz":
            arrays[split] = bits(stored[f"{prefix}_bits"])
        else:
            arrays[split] = upright(stored[f"{prefix}_data"].astype(np.uint8))
        arrays[f"{split}_label"] = (stored[f"{prefix}_labels"].ravel() - 1).astype(np.uint8)
    return arrays


def newsgroups(path: Path, vocabulary: Path) -> Arrays:
    """20 Newsgroups, processed, 11,269 / 7,505 documents, from the canonical archive or re-packed arrays.

    `{train,test}` sparse csr_array int32 (n, 61188) of word counts, `*_label` uint8 0..19, and `vocabulary`
    (61188,) text.
    Caution: documents are SORTED BY GROUP; their order inside a group depends on the variant.
    """
    documents = newsgroups_tgz(path) if path.suffix == ".tgz" else newsgroups_npz(path)
    return documents | {"vocabulary": np.array(vocabulary.read_text(encoding="utf-8").splitlines())}


def newsgroups_npz(path: Path) -> Arrays:
    """The documents of the re-packed form, with counts and words in uint16, whose sums would wrap around."""
    stored, arrays = npz(path), {}
    for split in ("train", "test"):
        counts, words = (stored[f"{split}_{part}"].astype(np.int32) for part in ("counts", "indices"))
        bounds = stored[f"{split}_indptr"]
        arrays[split] = csr_array((counts, words, bounds), shape=(len(bounds) - 1, WORDS))
        arrays[f"{split}_label"] = stored[f"{split}_labels"]
    return arrays


def newsgroups_tgz(path: Path, most: int = MOST_BYTES) -> Arrays:
    """The documents of J. Rennie's archive: triples (document, word, count) from 1, labels from 1."""
    arrays: Arrays = {}
    with parsing("the processed 20 Newsgroups"), tarfile.open(fileobj=io.BytesIO(_gunzip(path, most))) as tar:
        members = {Path(member.name).name: member for member in tar if member.isfile()}
        for split in ("train", "test"):
            labels, triples = (
                np.array(untrusted.tar_member(tar, members[f"{split}.{kind}"], most).split(), dtype=np.int64)
                for kind in ("label", "data")
            )
            document, word, count = triples.reshape(-1, 3).T
            table = csr_array((count, (document - 1, word - 1)), shape=(len(labels), WORDS), dtype=np.int32)
            table.sort_indices()
            arrays |= {split: table, f"{split}_label": (labels - 1).astype(np.uint8)}
    return arrays


def hapt_zip(path: Path, most: int = MOST_BYTES) -> Arrays:
    """The official HAPT archive: `{train,test}_x` float32 (n, 561), `*_y` uint8 1..12, `*_subject` uint8."""
    arrays: Arrays = {}
    with parsing("the HAPT archive"), zipfile.ZipFile(path) as archive:
        members = {Path(name).name: name for name in archive.namelist()}
        for split in ("train", "test"):
            label, subject, x = (
                untrusted.member(archive, members[f"{stem}_{split}.txt"], most)
                for stem in ("y", "subject_id", "X")
            )
            for key, text in (("y", label), ("subject", subject)):
                arrays[f"{split}_{key}"] = np.array(text.split(), dtype=np.float32).astype(np.uint8)
            rows = len(arrays[f"{split}_y"])
            # the last word of a split holds all the rest, which is no number
            features = np.array(x.split(maxsplit=rows * 561), dtype=np.float32)
            if not np.isfinite(features).all():
                raise ValueError("features that are not finite")
            arrays[f"{split}_x"] = features.reshape(rows, 561)
    return arrays


def hapt(path: Path) -> Arrays:
    """HAPT, 7,767 / 3,162 windows of twelve activities, from the official archive or features in 1 / 32767.

    `{train,test}` float32 (n, 561) in [-1, 1], no unit; `*_label` uint8 0..11, `*_subject` uint8 1..30; train
    and test have different subjects.
    """
    stored = hapt_zip(path) if path.suffix == ".zip" else npz(path)
    arrays: Arrays = {}
    for split in ("train", "test"):
        features = stored[f"{split}_x"]
        unit = np.float32(32767 if features.dtype == np.int16 else 1)
        arrays[split] = features.astype(np.float32) / unit
        arrays[f"{split}_label"] = stored[f"{split}_y"] - np.uint8(1)
        arrays[f"{split}_subject"] = stored[f"{split}_subject"]
    return arrays


def celeba(path: Path, *, whole: bool) -> Arrays:
    """CelebA, aligned, 64 x 64: images are read by name, as there are too many for one array.

    `{train,valid,test}_name`, of the official split 162,770 / 19,867 / 19,962, or `{train,test}_name`, of the
    first 9,000 images and the 1,000 held out; `images`, a function from names to images uint8
    (n, 64, 64, 3), 0..255, RGB.
    """
    with parsing("a zip archive"), zipfile.ZipFile(path) as archive:
        names = np.array(sorted(Path(name).name for name in archive.namelist() if name.endswith(".jpg")))
    parts = np.split(names, [162770, 182637] if whole else [9000])
    splits = SPLITS if whole else ("train", "test")
    arrays: Arrays = {f"{split}_name": part for split, part in zip(splits, parts, strict=True)}
    return arrays | {"images": partial(_decoded, path, whole)}


def _decoded(path: Path, whole: bool, names: Iterable[str]) -> np.ndarray:
    """Images of the archive: of 64 x 64, or the central 148 x 148 of the whole set's, scaled (bicubic)."""
    folder = "img_align_celeba/" if whole else ""
    with zipfile.ZipFile(path) as archive:
        images = (Image.open(io.BytesIO(archive.read(f"{folder}{name}"))).convert("RGB") for name in names)
        if whole:
            central = (image.crop((15, 35, 163, 183)) for image in images)
            images = (image.resize((64, 64), Image.Resampling.BICUBIC) for image in central)
        return np.stack([np.asarray(image) for image in images])


def posteriordb(*paths: Path) -> Arrays:
    """posteriordb's data sets and reference draws, float64 without units.

    `<data set>.<variable>` (n,); and `<posterior>` (10000, P), the draws of P parameters in the file's order.
    """
    arrays: Arrays = {}
    for path in paths:
        kind, _, name = path.name.removesuffix(".json.zip").partition("_")
        with parsing("a zipped JSON file of posteriordb"), zipfile.ZipFile(path) as archive:
            content = json.loads(untrusted.member(archive, f"{name}.json", MOST_BYTES))
            if kind == "data":
                vectors = {key: value for key, value in content.items() if isinstance(value, list)}
                arrays |= {f"{name}.{key}": np.array(value, np.float64) for key, value in vectors.items()}
            else:
                chains = [np.array([*chain.values()], np.float64).T for chain in content]
                arrays[name] = np.concatenate(chains)
    return arrays


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over named arrays: name, type, shape and values, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def newsgroups_digest(arrays: Arrays) -> str:
    """SHA-256 of a document collection that does not depend on the order of its documents."""
    total = hashlib.sha256()
    for split in ("train", "test"):
        table, documents = arrays[split], []
        for label, (start, stop) in zip(arrays[f"{split}_label"], pairwise(table.indptr), strict=True):
            row = hashlib.sha256(bytes([label]))
            row.update(table.indices[start:stop].astype("<u2").tobytes())
            row.update(table.data[start:stop].astype("<u2").tobytes())
            documents.append(row.digest())
        total.update(b"".join(sorted(documents)))
    return total.hexdigest()


READERS: dict[str, Mapping[str, Callable[..., Arrays]]] = {
    "mnist": {"canonical": mnist, "pickle": mnist_pickle},
    "binarized_mnist": dict.fromkeys(("canonical", "mirror"), binarized_mnist),
    "fashion_mnist": {"canonical": mnist},
    "omniglot": dict.fromkeys(("canonical", "mirror"), omniglot),
    "caltech_silhouettes": dict.fromkeys(("canonical", "mirror"), caltech_silhouettes),
    "newsgroups": dict.fromkeys(("canonical", "mirror"), newsgroups),
    "hapt": dict.fromkeys(("canonical", "mirror"), hapt),
    "celeba": {"canonical": partial(celeba, whole=True), "mirror": partial(celeba, whole=False)},
    "posteriordb": {"canonical": posteriordb},
    "fid_inception": dict.fromkeys(("canonical", "torchscript"), lambda path: {}),  # used as a file
}
"""By data set and variant, from its files to arrays. The one called `images` is a function, see `celeba`."""

CONTENT: Mapping[str, Callable[[Path, int], str]] = {
    "gunzipped bytes": lambda path, most: hashlib.sha256(_gunzip(path, most)).hexdigest(),
    "documents in any order": lambda path, most: newsgroups_digest(newsgroups_tgz(path, most)),
    "labels and subjects (no digest of the features is known)": lambda path, most: digest(
        {name: value for name, value in hapt_zip(path, most).items() if not name.endswith("_x")}
    ),
}
"""Digests of what a file says, for files whose own bytes may differ or have no published digest."""
