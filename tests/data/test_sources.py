"""The table of sources: complete, consistent with the readers, and true of the real mirror."""

import gzip
import hashlib
import re
from pathlib import Path

import numpy as np
import pytest

from elbogap.data import loaders, sources, stand_ins
from elbogap.data.formats import CONTENT, bits, npz
from elbogap.errors import UserError

ALL = sources.SOURCES.values()
FILES = [(source, variant, file) for source in ALL for variant in source.variants for file in variant.files]


def test_every_variant_has_a_reader_and_every_reader_a_variant() -> None:
    assert set(loaders.READERS) == {
        (source.name, variant.name) for source in ALL for variant in source.variants
    }
    assert set(stand_ins.PARAMETERS) == set(sources.SOURCES)


@pytest.mark.parametrize("source", ALL, ids=lambda source: source.name)
def test_says_licence_citation_page_and_faithfulness(source: sources.Source) -> None:
    assert source.licence
    assert re.search(r"\((19|20)\d\d\)", source.citation)
    assert source.page.startswith("http")
    assert all(variant.note.endswith(".") for variant in source.variants)


@pytest.mark.parametrize(("source", "variant", "file"), FILES, ids=lambda value: value.name)
def test_every_file_can_be_verified(
    source: sources.Source, variant: sources.Variant, file: sources.File
) -> None:
    assert file.sha256 or file.git_blob or file.content
    for digest, length in (
        (file.sha256, 64),
        (file.git_blob, 40),
        (file.content and file.content.sha256, 64),
    ):
        assert digest is None or re.fullmatch(f"[0-9a-f]{{{length}}}", digest)
    assert file.content is None or file.content.reader in CONTENT


def test_file_names_are_unique_per_content() -> None:
    seen: dict[str, tuple] = {}
    for _, _, file in FILES:
        assert seen.setdefault(file.name, (file.sha256, file.content)) == (file.sha256, file.content)


def test_unknown_data_set_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"no data set 'mnsit'; there are: mnist, binarized_mnist"):
        sources.source("mnsit")


def test_canonical_binarized_mnist_follows_from_the_packed_bits_byte_for_byte(real_mirror: Path) -> None:
    """The digests of the .amat files were published; the files built from the bits have them."""
    stored = npz(real_mirror / "binarized_mnist_fixed.npz")
    canonical = sources.BINARIZED_MNIST.variants[0].files
    for split, file in zip(("train", "valid", "test"), canonical, strict=True):
        assert split in file.name
        rows = bits(stored[f"{split}_bits"])
        text = np.full((len(rows), 2 * 784), ord(" "), dtype=np.uint8)
        text[:, ::2] = rows + ord("0")
        text[:, -1] = ord("\n")
        assert hashlib.sha256(text.tobytes()).hexdigest() == file.sha256


def test_content_digests_are_those_of_the_real_mirror(real_mirror: Path) -> None:
    from elbogap.data.formats import digest, newsgroups_digest

    def expected(source: sources.Source) -> str:
        content = source.variants[0].files[0].content
        assert content is not None
        return content.sha256

    assert newsgroups_digest(npz(real_mirror / "20ng.npz")) == expected(sources.NEWSGROUPS)
    hapt = npz(real_mirror / "hapt_rebuilt.npz")
    assert digest({name: hapt[name] for name in hapt if not name.endswith("_x")}) == expected(sources.HAPT)


def test_gunzipped_digest_ignores_the_compression(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    digests = set()
    for level in (1, 9):
        path.write_bytes(gzip.compress(b"text " * 1000, level))
        digests.add(CONTENT["gunzipped bytes"](path, 5000))
    assert digests == {hashlib.sha256(b"text " * 1000).hexdigest()}
