"""The list of documents and targets."""

from pathlib import Path

import pytest
from made_up_run import write

from elbogap.claims.specification import load
from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.report.catalogue import documents, plain_text, targets

CHECKOUT = Path(__file__).parents[2]


def test_captions_are_the_list_of_targets(tmp_path: Path) -> None:
    for name in ("qiw/tab01_bounds", "qiw/fig03_panels", "qiw/fig01_density", "mapa/fig01_intuition"):
        path = tmp_path / name.replace("/", "/captions/")
        text = f"**Label of {path.name}: What q_IW is**\n\nShows *k* of q_IW.\nMore.\n"
        write(path.with_suffix(".rst"), text)
    found = targets(tmp_path, "qiw")
    assert [target.name for target in found] == ["fig01_density", "fig03_panels", "tab01_bounds"]
    assert found[0].label == "Label of fig01_density"
    assert found[0].title == "What q_IW is"
    assert found[0].caption == "Shows k of q_IW. More."
    assert [target.kind for target in found] == ["figure", "figure", "table"]
    assert found[2].files("smoke") == ["results/smoke/qiw/tab01_bounds.csv"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [("fig10_x", "figure"), ("fig_theory", "figure"), ("tab00_toy", "table"), ("density", None)],
)
def test_names_say_the_kind(tmp_path: Path, name: str, kind: str | None) -> None:
    found = targets(tmp_path, "qiw", made=[tmp_path / f"{name}.csv"])
    assert [target.kind for target in found] == [kind] * (kind is not None)


@pytest.mark.parametrize(
    "text", ["", "The first sentence. More.", "**Only a title**\n", "**Figure 1: A title\nof two lines**"]
)
def test_a_caption_without_label_and_title_is_refused(tmp_path: Path, text: str) -> None:
    write(tmp_path / "qiw/captions/fig01_x.rst", text)
    with pytest.raises(UserError, match=r"fig01_x\.rst: the first line must be '\*\*Label: title\*\*'"):
        targets(tmp_path, "qiw")


def test_markup_of_captions_is_dropped() -> None:
    text = (
        "``k = 1`` and *q*,\nsee `the poster <https://a.org>`_ at 5 * 3 and :math:`x^2`.\n\nSecond paragraph."
    )
    assert plain_text(text) == "k = 1 and q, see the poster at 5 * 3 and x^2. Second paragraph."


def test_the_documents_of_the_project() -> None:
    found = documents(CHECKOUT / "paper")
    assert [document.key for document in found] == ["mapa", "qiw", "air", "implicit", "efvae", "atlas"]


def test_a_document_without_a_title_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "qiw/paper.yaml", "authors: someone")
    with pytest.raises(UserError, match=r"qiw/paper\.yaml: .*title"):
        documents(tmp_path)


def test_a_folder_that_is_no_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is not a checkout"):
        Places.here(tmp_path)


def test_the_markup_of_the_projects_captions_is_sound() -> None:
    """A lone bar or asterisk makes docutils put its complaint into the text."""
    captions = [
        target.caption
        for document in documents(CHECKOUT / "paper")
        for target in targets(CHECKOUT / "paper", document.key)
    ]
    assert captions
    assert [text for text in captions if "start-string" in text or "Unknown target" in text] == []


def test_what_the_first_pages_show_exists() -> None:
    places = Places.here()
    known = {claim.id: (key, claim) for key, claim in load(places.paper)}
    for document in documents(places.paper):
        figures = {target.name for target in targets(places.paper, document.key) if target.kind == "figure"}
        assert {*document.pictures, document.cover or document.pictures[0]} <= figures
        assert 1 <= len(document.central) <= 2 or not document.url  # ours
        for key, claim in (known[name] for name in document.central):
            origin = "document" if document.url else "ours"
            assert (key, claim.nature, claim.origin) == (document.key, "finding", origin)
