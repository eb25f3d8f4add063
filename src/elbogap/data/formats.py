"""Readers of single data files: each turns one file into named arrays.

A damaged or foreign file raises `ValueError`, whatever the parser behind it raises; the callers say which
file it was. Readers of archives take the most bytes that unpacking may give, see
:class:`elbogap.data.sources.Content`.
"""

import gzip
import hashlib
import io
import pickle
import struct
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.io
from scipy.sparse import csr_array

from elbogap import untrusted
from elbogap.untrusted import parsing

SIDE = 28
PIXELS = SIDE * SIDE
NEWSGROUPS_WORDS = 61188

Arrays = dict[str, np.ndarray]


def amat(path: Path) -> Arrays:
    """Larochelle's text matrices, lines of 784 spaced digits 0 or 1: `bits` uint8 (n, 784)."""
    text = np.fromfile(path, dtype=np.uint8)
    if not text.size or text.size % (2 * PIXELS):
        raise ValueError(f"{text.size} bytes are not whole lines of {PIXELS} digits")
    rows = text.reshape(-1, 2 * PIXELS)
    bits = rows[:, ::2] - np.uint8(ord("0"))
    if bits.max() > 1 or np.any(rows[:, -1] != ord("\n")):
        raise ValueError("not a matrix of the digits 0 and 1")
    return {"bits": bits}


def idx(path: Path) -> Arrays:
    """Gzipped IDX file of unsigned bytes (LeCun et al. 1998): `values` uint8, images flattened to rows."""
    with parsing("a gzipped IDX file of unsigned bytes"):
        content = _gunzip(path)
        if content[:3] != b"\0\0\x08":
            raise ValueError("it begins otherwise")
        dimensions = content[3]
        start = 4 + 4 * dimensions
        shape = struct.unpack(f">{dimensions}I", content[4:start])
        values = np.frombuffer(content, dtype=np.uint8, offset=start)
        if values.size != np.prod(shape):
            raise ValueError(f"{values.size} values do not fill the shape {shape}")
        return {"values": values.reshape(shape[0], -1) if dimensions > 1 else values}


class _ArraysOnly(pickle.Unpickler):
    """Finds what a pickled array of numbers is made with, and nothing else."""

    ALLOWED = frozenset({"numpy.ndarray", "numpy.dtype", "numpy.core.multiarray._reconstruct"})

    def find_class(self, module: str, name: str) -> Any:
        if f"{module}.{name}".replace("numpy._core.", "numpy.core.") not in self.ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)


def mnist_pickle(path: Path) -> Arrays:
    """The pickled MNIST of the Theano tutorials: `{train,valid,test}` uint8 (n, 784) and `*_label` uint8.

    Its values are k/256, so the grey levels k come back exactly. A pickle can ask for any function of this
    machine; it is given those alone that make arrays.
    """
    with parsing("a pickle of three sets of arrays"):
        splits = _ArraysOnly(io.BytesIO(_gunzip(path)), encoding="latin1").load()
        arrays: Arrays = {}
        for name, (images, labels) in zip(("train", "valid", "test"), splits, strict=True):
            arrays[name] = (images * np.float32(256)).astype(np.uint8)  # exact
            arrays[f"{name}_label"] = labels.astype(np.uint8)
    return arrays


def npz(path: Path) -> Arrays:
    """Any NumPy archive without pickled objects."""
    with parsing("a whole NumPy archive"), np.load(path, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}


def bits(packed: np.ndarray) -> np.ndarray:
    """Unpack rows of 98 bytes to uint8 (n, 784) in {0, 1}."""
    return np.unpackbits(packed, axis=1)[:, :PIXELS]


def upright(images: np.ndarray) -> np.ndarray:
    """Turn flattened column-major 28 x 28 images (MATLAB's order) into row-major ones, shape (n, 784)."""
    return np.ascontiguousarray(images.reshape(-1, 28, 28).transpose(0, 2, 1).reshape(-1, PIXELS))


def mat(path: Path) -> Arrays:
    """A MATLAB file's variables, as stored."""
    with parsing("a MATLAB file"):
        content = scipy.io.loadmat(path)
    return {name: value for name, value in content.items() if not name.startswith("__")}


def newsgroups_tgz(path: Path, most: int | None = None) -> Arrays:
    """The "processed" 20 Newsgroups of J. Rennie: triples (document, word, count) from 1, labels from 1.

    Returns the keys of the re-packed form: `{train,test}_{indptr,indices,counts,labels}`, words and labels
    from 0, documents in the file's order.
    """
    arrays: Arrays = {}
    with parsing("the processed 20 Newsgroups"), tarfile.open(fileobj=io.BytesIO(_gunzip(path, most))) as tar:
        members = {Path(member.name).name: member for member in tar if member.isfile()}
        for split in ("train", "test"):
            labels = _integers(tar, members[f"{split}.label"], most)
            document, word, count = _integers(tar, members[f"{split}.data"], most).reshape(-1, 3).T
            shape = (len(labels), NEWSGROUPS_WORDS)
            table = csr_array((count, (document - 1, word - 1)), shape=shape)
            table.sort_indices()
            arrays |= {
                f"{split}_indptr": table.indptr.astype(np.int32),
                f"{split}_indices": table.indices.astype(np.uint16),
                f"{split}_counts": table.data.astype(np.uint16),
                f"{split}_labels": (labels - 1).astype(np.uint8),
            }
    return arrays


def hapt_zip(path: Path, most: int | None = None) -> Arrays:
    """The official HAPT archive: `{train,test}_x` float32 (n, 561), `*_y` uint8 1..12, `*_subject` uint8."""
    arrays: Arrays = {}
    with parsing("the HAPT archive"), zipfile.ZipFile(path) as archive:
        members = {Path(name).name: name for name in archive.namelist()}
        for split in ("train", "test"):
            stems = {"y": f"y_{split}", "subject": f"subject_id_{split}", "x": f"X_{split}"}
            texts = {
                key: untrusted.member(archive, members[f"{stem}.txt"], most) for key, stem in stems.items()
            }
            for key in ("y", "subject"):
                arrays[f"{split}_{key}"] = np.array(texts[key].split(), dtype=np.float32).astype(np.uint8)
            rows = len(arrays[f"{split}_y"])
            # the last word of a split holds all the rest, which is no number
            features = np.array(texts["x"].split(maxsplit=rows * 561), dtype=np.float32)
            if not np.isfinite(features).all():
                raise ValueError("features that are not finite")
            arrays[f"{split}_x"] = features.reshape(rows, 561)
    return arrays


def digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 over named arrays: name, type, shape and values, in the order of the names."""
    total = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        total.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        total.update(array.tobytes())
    return total.hexdigest()


def newsgroups_digest(arrays: Mapping[str, np.ndarray]) -> str:
    """SHA-256 of a document collection that does not depend on the order of its documents."""
    total = hashlib.sha256()
    for split in ("train", "test"):
        documents = []
        bounds = arrays[f"{split}_indptr"]
        for label, start, stop in zip(arrays[f"{split}_labels"], bounds[:-1], bounds[1:], strict=True):
            row = hashlib.sha256(bytes([label]))
            row.update(arrays[f"{split}_indices"][start:stop].astype("<u2").tobytes())
            row.update(arrays[f"{split}_counts"][start:stop].astype("<u2").tobytes())
            documents.append(row.digest())
        total.update(b"".join(sorted(documents)))
    return total.hexdigest()


CONTENT: Mapping[str, Callable[[Path, int], str]] = {
    "gunzipped bytes": lambda path, most: hashlib.sha256(_gunzip(path, most)).hexdigest(),
    "documents in any order": lambda path, most: newsgroups_digest(newsgroups_tgz(path, most)),
    "labels and subjects (no digest of the features is known)": lambda path, most: digest(
        {name: value for name, value in hapt_zip(path, most).items() if not name.endswith("_x")}
    ),
}
"""Digests of what a file says, for files whose own bytes may differ or have no published digest."""


def _gunzip(path: Path, most: int | None = None) -> bytes:
    with parsing("a whole gzip file"), gzip.open(path) as file:
        return untrusted.read(file, most)


def _integers(archive: tarfile.TarFile, member: tarfile.TarInfo, most: int | None) -> np.ndarray:
    file = archive.extractfile(member)
    assert file is not None  # a regular member
    return np.array(untrusted.read(file, most).split(), dtype=np.int64)
