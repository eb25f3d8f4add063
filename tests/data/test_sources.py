"""The table of sources: complete, consistent with the readers, and true of the real mirror."""

import gzip
import hashlib
import re
import tomllib
from pathlib import Path

import numpy as np
import pytest

from elbogap.data import sources
from elbogap.data.formats import CONTENT, READERS, bits, npz
from elbogap.data.stand_ins import RECIPES
from elbogap.errors import UserError

ALL = sources.SOURCES.values()
FILES = [(source, variant, file) for source in ALL for variant in source.variants for file in variant.files]


def test_every_variant_has_a_reader_and_every_reader_a_variant() -> None:
    assert {name: set(readers) for name, readers in READERS.items()} == {
        source.name: {variant.name for variant in source.variants} for source in ALL
    }


def test_a_stand_in_is_derived_from_a_data_set_and_says_what_it_is() -> None:
    recipes = [stand_in.parameters["recipe"] for source in ALL for stand_in in source.stand_ins]
    assert sorted(recipes) == sorted(RECIPES)
    for source in ALL:
        *derived, synthetic = source.stand_ins
        assert not synthetic.donor
        assert all(stand_in.donor in sources.SOURCES for stand_in in derived)
        assert all(stand_in.note.endswith(".") for stand_in in source.stand_ins)


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
    assert file.digests
    assert file.content is None or file.content.reader in CONTENT


TOY = """
[toy]
title = "Toy"
licence = "free"
citation = "nobody"
page = "http://page.invalid"
[toy.variants.canonical]
note = "-"
addresses = ["http://page.invalid/{file}"]
package = { kind = "wheel", name = "toy", member = "share/{file}" }
files."folder/file".sha256 = "%s"
""" % ("0" * 64)


def test_addresses_and_members_are_filled_in(tmp_path: Path) -> None:
    (tmp_path / "toy.toml").write_text(TOY, encoding="utf-8")
    (file,) = sources.read(tmp_path / "toy.toml")["toy"].variants[0].files
    assert (file.name, file.addresses) == ("folder/file", ("http://page.invalid/file",))
    assert file.package == sources.Package("wheel", "toy", "share/file")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title", "tilte"),
        ("note =", "notes ="),
        (".sha256", ".sha265"),
        ("0" * 64, "0" * 63),
        ("0" * 64, "G" * 64),
        ("package", "pakage"),
        ("wheel", "whale"),
        ('licence = "free"', "licence = 1"),
        ("[toy.variants.canonical]", "[toy.variants.canonical"),
    ],
)
def test_a_table_with_a_mistake_is_refused(tmp_path: Path, old: str, new: str) -> None:
    assert old in TOY
    (tmp_path / "toy.toml").write_text(TOY.replace(old, new), encoding="utf-8")
    with pytest.raises((TypeError, ValueError)):
        sources.read(tmp_path / "toy.toml")


def test_file_names_are_unique_per_content() -> None:
    seen: dict[str, tuple] = {}
    for _, _, file in FILES:
        assert seen.setdefault(file.name, (file.sha256, file.content)) == (file.sha256, file.content)


def test_the_table_is_a_part_of_the_package() -> None:
    root = Path(__file__).parents[2]
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    packaged = project["tool"]["setuptools"]["package-data"]["elbogap"]
    for path in (root / "src/elbogap").rglob("*.toml"):
        assert any(path.relative_to(root / "src/elbogap").match(pattern) for pattern in packaged), path


def test_unknown_data_set_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"no data set 'mnsit'; there are: mnist, binarized_mnist"):
        sources.source("mnsit")


def test_canonical_binarized_mnist_follows_from_the_packed_bits_byte_for_byte(real_mirror: Path) -> None:
    """The digests of the .amat files were published; the files built from the bits have them."""
    stored = npz(real_mirror / "binarized_mnist_fixed.npz")
    canonical = sources.source("binarized_mnist").variant("canonical").files
    for split, file in zip(("train", "valid", "test"), canonical, strict=True):
        assert split in file.name
        rows = bits(stored[f"{split}_bits"])
        text = np.full((len(rows), 2 * 784), ord(" "), dtype=np.uint8)
        text[:, ::2] = rows + ord("0")
        text[:, -1] = ord("\n")
        assert hashlib.sha256(text.tobytes()).hexdigest() == file.sha256


def test_content_digests_are_those_of_the_real_mirror(real_mirror: Path) -> None:
    from elbogap.data.formats import digest, newsgroups_digest, newsgroups_npz

    def expected(name: str) -> str:
        content = sources.source(name).variant("canonical").files[0].content
        assert content is not None
        return content.sha256

    assert newsgroups_digest(newsgroups_npz(real_mirror / "20ng.npz")) == expected("newsgroups")
    hapt = npz(real_mirror / "hapt_rebuilt.npz")
    assert digest({name: hapt[name] for name in hapt if not name.endswith("_x")}) == expected("hapt")


def test_gunzipped_digest_ignores_the_compression(tmp_path: Path) -> None:
    path = tmp_path / "file.gz"
    digests = set()
    for level in (1, 9):
        path.write_bytes(gzip.compress(b"text " * 1000, level))
        digests.add(CONTENT["gunzipped bytes"](path, 5000))
    assert digests == {hashlib.sha256(b"text " * 1000).hexdigest()}
