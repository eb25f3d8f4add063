"""From a data record to arrays: the real files, verified again, or the declared stand-in.

Cautions, repeated at each reader: the test part of fixed-binarised MNIST is sorted by class and OMNIGLOT by
alphabet, so never take first rows for a sample; in the Caltech silhouettes 1 is the background.
"""

import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from scipy.sparse import csr_array

from elbogap import checksums
from elbogap.data import formats, places, stand_ins, trust
from elbogap.data.sources import File
from elbogap.data.verify import WrongContent, verify
from elbogap.errors import UserError
from elbogap.untrusted import parsing

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Dataset:
    """A loaded data set.

    Attributes:
        name: name of the data set.
        kind: `real` or `stand-in`; goes into the `data` column of every table made from it.
        arrays: arrays by name; which, the reader of the data set says.
        record: the record it was loaded from.
        files: the verified files, in the order of the record (for data used as files: network weights).
        images: for CelebA, the function from image names to uint8 images (n, 64, 64, 3).
    """

    name: str
    kind: Literal["real", "stand-in"]
    arrays: Mapping[str, Any]
    record: Mapping[str, Any]
    files: tuple[Path, ...] = ()
    images: Callable[[Iterable[str]], np.ndarray] | None = None


def load(record_path: Path) -> Dataset:
    """The data set that a record describes.

    Nothing is read before it is verified against the table of sources: a record is a file like others, and
    may come from elsewhere.

    Raises:
        UserError: the record is damaged or disagrees with the table of sources, or a file of it is neither in
            the cache nor in the mirror, or is damaged there; the message says how to get it again.
    """
    try:
        believed = trust.read(record_path)
    except OSError as error:
        raise UserError(f"{record_path}: no readable data record ({error.strerror}); rebuild it") from error
    record = believed.record
    name, kind, variant = record["dataset"], record["kind"], record["variant"]
    if kind == "stand-in" and not stand_ins.known(name, variant, record.get("stand_in", {})):
        raise UserError(f"{record_path}: {name} has no such stand-in; rebuild the record")
    files = tuple(_find(name, file, sha256) for file, sha256 in believed.files)
    if kind == "stand-in":
        arrays, images = _stand_in(record["stand_in"], files)
    else:
        arrays = _read(name, variant, files)
        images = Faces(files[0], whole=variant == "canonical") if name == "celeba" else None
    return Dataset(name, kind, arrays, record, files, images)


def mnist(train: Path, train_label: Path, test: Path, test_label: Path) -> Arrays:
    """MNIST or Fashion-MNIST from IDX files, 50,000 / 10,000 / 10,000.

    `{train,valid,test}` uint8 0..255 (n, 784) row-major, `*_label` uint8 0..9. The validation part is the
    last 10,000 of the 60,000 training images.
    """
    images, labels = formats.idx(train)["values"], formats.idx(train_label)["values"]
    return {
        "train": images[:50000],
        "train_label": labels[:50000],
        "valid": images[50000:],
        "valid_label": labels[50000:],
        "test": formats.idx(test)["values"],
        "test_label": formats.idx(test_label)["values"],
    }


def binarized_mnist_amat(train: Path, valid: Path, test: Path) -> Arrays:
    """Fixed-binarised MNIST from text, 50,000 / 10,000 / 10,000; no labels.

    `{train,valid,test}` uint8 (n, 784) in {0, 1}, row-major. The test part is SORTED BY CLASS: its first rows
    are of one class, so evaluate on all of it or on a random choice.
    """
    files = {"train": train, "valid": valid, "test": test}
    return {split: formats.amat(path)["bits"] for split, path in files.items()}


def binarized_mnist_bits(path: Path) -> Arrays:
    """As :func:`binarized_mnist_amat`, with `*_label` uint8 0..9 inferred from the grey images."""
    stored = formats.npz(path)
    arrays: Arrays = {}
    for split in ("train", "valid", "test"):
        arrays[split] = formats.bits(stored[f"{split}_bits"])
        arrays[f"{split}_label"] = stored[f"{split}_label_inferred"]
    return arrays


def omniglot_mat(path: Path) -> Arrays:
    """OMNIGLOT 28 x 28 of Burda et al., 24,345 / 8,070 (no validation part is defined).

    `{train,test}` uint8 (n, 784), row-major, value / 255 = Bernoulli mean of ink; `*_label` uint8 alphabet
    0..49, `*_char` uint8 character 0..54 inside its alphabet. SORTED BY ALPHABET: shuffle before splitting.
    """
    stored = formats.mat(path)
    arrays: Arrays = {}
    for split, prefix in (("train", ""), ("test", "test")):
        arrays[split] = formats.upright(np.rint(255 * stored[f"{prefix}data"].T).astype(np.uint8))
        arrays[f"{split}_label"] = stored[f"{prefix}target"].argmax(axis=0).astype(np.uint8)
        arrays[f"{split}_char"] = (stored[f"{prefix}targetchar"].ravel() - 1).astype(np.uint8)
    return arrays


def omniglot_npz(path: Path) -> Arrays:
    """As :func:`omniglot_mat`, rebuilt from the drawings.

    The 45 test drawings that the file marks as missing from the published 8,070 are left out.
    """
    stored = formats.npz(path)
    arrays: Arrays = {}
    for split in ("train", "test"):
        keep = stored["test_keep_8070"] if split == "test" else slice(None)
        arrays[split] = stored[split][keep]
        arrays[f"{split}_label"] = stored[f"{split}_alphabet"][keep]
        arrays[f"{split}_char"] = stored[f"{split}_char"][keep] - np.uint8(1)
    return arrays


def caltech_silhouettes_mat(path: Path) -> Arrays:
    """Caltech-101 Silhouettes, split 1, 4,100 / 2,264 / 2,307.

    `{train,valid,test}` uint8 (n, 784) in {0, 1}, row-major, upright; 1 = BACKGROUND as in the file (most
    papers use 1 - x); `*_label` uint8 0..100.
    """
    stored = formats.mat(path)
    arrays: Arrays = {}
    for split, prefix in (("train", "train"), ("valid", "val"), ("test", "test")):
        arrays[split] = formats.upright(stored[f"{prefix}_data"].astype(np.uint8))
        arrays[f"{split}_label"] = (stored[f"{prefix}_labels"].ravel() - 1).astype(np.uint8)
    return arrays


def caltech_silhouettes_bits(path: Path) -> Arrays:
    """As :func:`caltech_silhouettes_mat`, from packed bits."""
    stored = formats.npz(path)
    arrays: Arrays = {}
    for split, prefix in (("train", "train"), ("valid", "val"), ("test", "test")):
        arrays[split] = formats.bits(stored[f"{prefix}_bits"])
        arrays[f"{split}_label"] = stored[f"{prefix}_labels"] - np.uint8(1)
    return arrays


def newsgroups(path: Path, vocabulary: Path) -> Arrays:
    """20 Newsgroups, processed, 11,269 / 7,505 documents.

    `{train,test}` sparse csr_array int32 (n, 61188) of word counts, `*_label` uint8 0..19, `vocabulary`
    (61188,) and `groups` (20,) text. Documents are SORTED BY GROUP; their order inside a group depends on the
    variant.
    """
    stored = formats.newsgroups_tgz(path) if path.suffix == ".tgz" else formats.npz(path)
    words = formats.words(vocabulary)
    arrays: Arrays = {"vocabulary": np.array(words), "groups": np.array(GROUPS)}
    for split in ("train", "test"):
        # stored as uint16, whose sums and products would wrap around
        counts = stored[f"{split}_counts"].astype(np.int32)
        indices = stored[f"{split}_indices"].astype(np.int32)
        indptr = stored[f"{split}_indptr"]
        arrays[split] = csr_array((counts, indices, indptr), shape=(len(indptr) - 1, len(words)))
        arrays[f"{split}_label"] = stored[f"{split}_labels"]
    return arrays


def hapt(path: Path) -> Arrays:
    """HAPT, 7,767 / 3,162 windows of 30 subjects; train and test have different subjects.

    `{train,test}` float32 (n, 561) in [-1, 1], no unit; `*_label` uint8 0..11, `*_subject` uint8 1..30.
    """
    stored = formats.hapt_zip(path) if path.suffix == ".zip" else formats.npz(path)
    arrays: Arrays = {}
    for split in ("train", "test"):
        features = stored[f"{split}_x"]
        if features.dtype == np.int16:
            features = features.astype(np.float32) / np.float32(32767)
        arrays[split] = features
        arrays[f"{split}_label"] = stored[f"{split}_y"] - np.uint8(1)
        arrays[f"{split}_subject"] = stored[f"{split}_subject"]
    return arrays


def celeba_whole(path: Path) -> Arrays:
    """`{train,valid,test}_name`: image names of the official split, 162,770 / 19,867 / 19,962."""
    return _names(
        path, {"train": slice(0, 162770), "valid": slice(162770, 182637), "test": slice(182637, None)}
    )


def celeba_part(path: Path) -> Arrays:
    """`{train,test}_name`: names of the first 9,000 images and of the 1,000 held out."""
    return _names(path, {"train": slice(0, 9000), "test": slice(9000, None)})


@dataclass(frozen=True)
class Faces:
    """Reads CelebA images by name out of the archive, 64 x 64.

    Attributes:
        path: the zip archive.
        whole: it holds the aligned 178 x 218 images, which are cropped to the central 148 x 148 and scaled
            (bicubic); otherwise they are 64 x 64 already.
    """

    path: Path
    whole: bool

    def __call__(self, names: Iterable[str]) -> np.ndarray:
        """Images uint8 (n, 64, 64, 3) of these names, 0..255, RGB."""
        folder = "img_align_celeba/" if self.whole else ""
        with zipfile.ZipFile(self.path) as archive:
            return np.stack([self._decode(archive.read(f"{folder}{name}")) for name in names])

    def _decode(self, content: bytes) -> np.ndarray:
        image = Image.open(io.BytesIO(content)).convert("RGB")
        if self.whole:
            image = image.crop((15, 35, 163, 183)).resize((64, 64), Image.Resampling.BICUBIC)
        return np.asarray(image)


def weights(path: Path) -> Arrays:
    """No arrays: network weights are used as a file, see :attr:`Dataset.files`."""
    return {}


GROUPS = (
    "alt.atheism",
    "comp.graphics",
    "comp.os.ms-windows.misc",
    "comp.sys.ibm.pc.hardware",
    "comp.sys.mac.hardware",
    "comp.windows.x",
    "misc.forsale",
    "rec.autos",
    "rec.motorcycles",
    "rec.sport.baseball",
    "rec.sport.hockey",
    "sci.crypt",
    "sci.electronics",
    "sci.med",
    "sci.space",
    "soc.religion.christian",
    "talk.politics.guns",
    "talk.politics.mideast",
    "talk.politics.misc",
    "talk.religion.misc",
)

READERS: Mapping[tuple[str, str], Callable[..., Arrays]] = {
    ("mnist", "canonical"): mnist,
    ("mnist", "pickle"): formats.mnist_pickle,
    ("binarized_mnist", "canonical"): binarized_mnist_amat,
    ("binarized_mnist", "mirror"): binarized_mnist_bits,
    ("fashion_mnist", "canonical"): mnist,
    ("omniglot", "canonical"): omniglot_mat,
    ("omniglot", "mirror"): omniglot_npz,
    ("caltech_silhouettes", "canonical"): caltech_silhouettes_mat,
    ("caltech_silhouettes", "mirror"): caltech_silhouettes_bits,
    ("newsgroups", "canonical"): newsgroups,
    ("newsgroups", "mirror"): newsgroups,
    ("hapt", "canonical"): hapt,
    ("hapt", "mirror"): hapt,
    ("celeba", "canonical"): celeba_whole,
    ("celeba", "mirror"): celeba_part,
    ("fid_inception", "canonical"): weights,
    ("fid_inception", "torchscript"): weights,
}
"""How the files of each variant are read; the tests check that the table of sources has the same variants."""


def _names(path: Path, splits: Mapping[str, slice]) -> Arrays:
    with parsing("a zip archive"), zipfile.ZipFile(path) as archive:
        names = np.array(sorted(Path(name).name for name in archive.namelist() if name.endswith(".jpg")))
    return {f"{split}_name": names[rows] for split, rows in splits.items()}


def _read(dataset: str, variant: str, files: Iterable[Path]) -> Arrays:
    try:
        return READERS[dataset, variant](*files)
    except ValueError as error:
        names = ", ".join(path.name for path in files)
        again = f"run 'python -m elbogap data fetch {dataset}'"
        raise UserError(f"{dataset}: {names}: {error}; {again}") from error


def _stand_in(
    parameters: Mapping[str, Any], files: Iterable[Path]
) -> tuple[Arrays, Callable[[Iterable[str]], np.ndarray] | None]:
    if parameters["recipe"] == stand_ins.BERNOULLI_OF_MNIST:
        return stand_ins.bernoulli(_read("mnist", parameters["variant"], files), parameters["seed"]), None
    if parameters["recipe"] == stand_ins.ENLARGED_FASHION:
        return stand_ins.enlarged(_read("fashion_mnist", parameters["variant"], files))
    images = stand_ins.Faces(parameters["seed"]) if parameters["recipe"] == "faces" else None
    return stand_ins.make(parameters), images


def _find(dataset: str, file: File, expected: str) -> Path:
    """The copy of a file that a record was made from; the table of sources must know it."""
    damaged = []
    for path in places.candidates(file.name).values():
        if path.is_file():
            got = checksums.sha256(path)
            try:
                if got == expected:
                    if got != file.sha256:
                        verify(file, path)
                    return path
                damaged.append(f"{path}: sha256 expected {expected}, got {got}")
            except WrongContent as error:
                damaged.append(f"{path}: {error}")
    problem = "; ".join(damaged) or f"{file.name} is neither in the cache ({places.cache()}) nor in a mirror"
    raise UserError(f"{dataset}: {problem}; run 'python -m elbogap data fetch {dataset}'")
