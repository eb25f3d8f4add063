"""20 Newsgroups, processed, 11,269 / 7,505 documents.

Arrays: `{train,test}` sparse csr_array int32 (n, 61188) of word counts, `*_label` uint8 0..19, `vocabulary`
(61188,) and `groups` (20,) text.

Caution: documents are SORTED BY GROUP; their order inside a group depends on the variant.
"""

from pathlib import Path

import numpy as np
from scipy.sparse import csr_array

from elbogap.data import formats
from elbogap.data.definition import Arrays, Definition, Parameters, StandIn
from elbogap.runtime import numpy_generator

GROUPS = (
    "alt.atheism", "comp.graphics", "comp.os.ms-windows.misc", "comp.sys.ibm.pc.hardware",
    "comp.sys.mac.hardware", "comp.windows.x", "misc.forsale", "rec.autos", "rec.motorcycles",
    "rec.sport.baseball", "rec.sport.hockey", "sci.crypt", "sci.electronics", "sci.med", "sci.space",
    "soc.religion.christian", "talk.politics.guns", "talk.politics.mideast", "talk.politics.misc",
    "talk.religion.misc",
)  # fmt: skip


def read(path: Path, vocabulary: Path) -> Arrays:
    """From the canonical archive or the re-packed arrays."""
    stored = formats.newsgroups_tgz(path) if path.suffix == ".tgz" else formats.npz(path)
    words = vocabulary.read_text(encoding="utf-8").splitlines()
    arrays: Arrays = {"vocabulary": np.array(words), "groups": np.array(GROUPS)}
    for split in ("train", "test"):
        # stored as uint16, whose sums and products would wrap around
        counts = stored[f"{split}_counts"].astype(np.int32)
        indices = stored[f"{split}_indices"].astype(np.int32)
        indptr = stored[f"{split}_indptr"]
        arrays[split] = csr_array((counts, indices, indptr), shape=(len(indptr) - 1, len(words)))
        arrays[f"{split}_label"] = stored[f"{split}_labels"]
    return arrays


def topics(parameters: Parameters) -> Arrays:
    """The stand-in, of a small vocabulary.

    Topic t ~ Dirichlet(0.02), background ~ Zipf, length ~ 20 + Poisson(80), and
    counts ~ Multinomial(length, 0.6 topic + 0.4 background).
    """
    seed, words, groups = parameters["seed"], parameters["words"], 20
    random = numpy_generator(seed, "stand-in", "topics")
    topic = random.dirichlet(np.full(words, 0.02), size=groups)
    background = 1 / np.arange(1, words + 1)
    mean = 0.6 * topic + 0.4 * background / background.sum()
    arrays: Arrays = {
        "vocabulary": np.array([f"word{i}" for i in range(words)]),
        "groups": np.array([f"group{i}" for i in range(groups)]),
    }
    for split in ("train", "test"):
        random = numpy_generator(seed, "stand-in", "topics", split)
        label = np.sort(random.integers(groups, size=parameters[split])).astype(np.uint8)
        length = 20 + random.poisson(80, size=len(label))
        arrays[split] = csr_array(random.multinomial(length, mean[label]).astype(np.int32))
        arrays[f"{split}_label"] = label
    return arrays


DEFINITION = Definition(
    "newsgroups",
    {"canonical": read, "mirror": read},
    StandIn(
        "Documents of a topic model with twenty topics: a document's words come from its topic or a "
        "background.",
        {"recipe": "topics", "seed": 6, "train": 1000, "test": 500, "words": 2000},
        topics,
    ),
)
