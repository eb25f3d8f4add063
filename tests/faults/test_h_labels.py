"""Kind H: one thing under two names, and texts that nobody reads as a whole.

Promise: the first line of a caption holds the one label and the one title of a figure or table, which the
browsable report, the pages of `docs/`, the PDF and the claims use; settings are described in sentences.
"""

import html
import re
import string
from collections import Counter
from pathlib import Path

import pytest
from docutils.core import publish_parts

from config_fields import fields
from elbogap.claims.specification import Claim
from elbogap.claims.specification import load as load_claims
from elbogap.errors import UserError
from elbogap.papers.mapa.methods import CELL, Cell
from elbogap.places import Places
from elbogap.report import pages
from elbogap.report.catalogue import Target, documents, heading, targets
from elbogap.report.gather import gather

ROOT = Path(__file__).parents[2]
PAPER = ROOT / "paper"
DOCUMENTS = [document.key for document in documents(PAPER)]
TARGETS = [target for document in DOCUMENTS for target in targets(PAPER, document)]
CAPTIONS = {f"{path.parts[-3]}_{path.stem}": path for path in sorted(PAPER.glob("*/captions/*.rst"))}
QUIET = {"report_level": 2, "halt_level": 5, "warning_stream": False}
KINDS = "figure|table|slide|theorem|lemma|corollary|proposition|example|equation"
NAMED = re.compile(rf"({KINDS})s?((?:[ ,]|and|to|[A-Z]\.|\d)+)", re.IGNORECASE)


def names(text: str) -> set[tuple[str, str]]:
    """What a text refers to by number: `Figures 4 and 5` are ("figure", "4") and ("figure", "5")."""
    found = set()
    for kind, numbers in NAMED.findall(text):
        listed = re.findall(r"(?:[A-Z]\.)?\d+", numbers)
        if " to " in numbers:
            first, last = map(int, listed)
            listed = list(map(str, range(first, last + 1)))
        found |= {(kind.lower(), number) for number in listed}
    return found


def test_names_in_texts_are_found() -> None:
    assert names("Figures 4 and 5, appendix D.2") == {("figure", "4"), ("figure", "5")}
    assert names("Figures 6 to 8") == {("figure", "6"), ("figure", "7"), ("figure", "8")}
    assert names("Table 2 (slide 60), part b") == {("table", "2"), ("slide", "60")}
    assert names("Proposition A.1 and Figure 2 (b to d)") == {("proposition", "A.1"), ("figure", "2")}
    assert names("Section 5") == set()


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target.document}_{target.name}")
def test_titles_are_one_short_line(target: Target) -> None:
    assert 10 <= len(target.title) <= 90
    assert target.title[0] in string.ascii_uppercase or target.title.startswith("q_")
    assert not target.title.endswith((".", "?", ":"))
    assert 5 <= len(target.label) <= 40
    assert target.title not in target.caption


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: f"{target.document}_{target.name}")
def test_captions_are_sentences_that_hold_at_every_scale(target: Target) -> None:
    """Settings stand in the report's own tables; a number of one scale would be wrong at the others."""
    assert target.caption.endswith((".", ")."))
    assert not re.search(r"laptop|smoke|figures/|results/", f"{target.title} {target.caption}")


@pytest.mark.parametrize("path", CAPTIONS.values(), ids=CAPTIONS)
def test_captions_begin_with_their_heading_in_the_browsable_report(path: Path) -> None:
    """As Snakemake makes HTML of them."""
    body = publish_parts(path.read_text(encoding="utf-8"), writer="html", settings_overrides=QUIET)["body"]
    assert body.startswith(f"<p><strong>{html.escape(': '.join(heading(path)), quote=False)}</strong></p>")
    assert "system-message" not in body


@pytest.mark.parametrize("document", DOCUMENTS)
def test_labels_are_unique_within_a_document(document: str) -> None:
    labels = Counter(target.label for target in TARGETS if target.document == document)
    assert [label for label, count in labels.items() if count > 1] == []


def test_numbers_in_file_names_are_those_of_the_labels() -> None:
    for target in TARGETS:
        numbered = re.match(r"(fig|tab)(\d+)_", target.name)
        if numbered and int(numbered[2]):
            kind = {"fig": "Figure", "tab": "Table"}[numbered[1]]
            assert re.match(rf"{kind} {int(numbered[2])}( \(|$)", target.label), target.name
        else:
            assert not re.match(r"(Figure|Table) \d+( \(|$)", target.label), target.name


def test_rules_name_no_label_and_no_caption_of_their_own() -> None:
    """What the browsable report shows goes through `reported` and `labels`, which read the caption."""
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        text = path.read_text(encoding="utf-8")
        if path.name == "common.smk":
            assert "heading(" in text
            continue
        literal = [
            line.strip() for line in text.splitlines() if re.search(r"\blabels=|\bcaption=|\breport\(", line)
        ]
        claims = ["html=report(", 'caption="../report/claims.rst",', 'labels=labels("../report/claims.rst"),']
        assert literal == (claims if path.name == "report.smk" else []), path.name


def test_every_place_shows_the_label_and_the_title_of_the_caption(tmp_path: Path) -> None:
    """The pages with all targets and all pictures, and what the PDF prints; the rules read the same line."""
    label, title = heading(CAPTIONS["implicit_fig05_vcd_toys"])
    places = Places.here()
    assert f"| `fig05_vcd_toys` | {label} | {title} |" in "\n".join(pages.PARTS["targets"](places))
    assert f"implicit, {label}: {title}" in "\n".join(pages.PARTS["gallery"](places))
    (tmp_path / "results/smoke").mkdir(parents=True)
    report = gather("smoke", Places(project=ROOT, work=tmp_path))
    shown = {target["name"]: target for document in report["documents"] for target in document["targets"]}
    assert (shown["fig05_vcd_toys"]["label"], shown["fig05_vcd_toys"]["title"]) == (label, title)


CLAIMS = load_claims(PAPER)


@pytest.mark.parametrize(("document", "claim"), CLAIMS, ids=[claim.id for _, claim in CLAIMS])
def test_claims_name_figures_and_tables_as_their_captions_do(document: str, claim: Claim) -> None:
    """A claim may also name a section; what is ours measures what the claim names in the document."""
    own = [target for target in TARGETS if target.document == document]
    known = set().union(*(names(target.label) for target in own))
    named = names(claim.item)
    assert {name for name in named if name[0] in ("figure", "table", "slide")} <= known
    for target in own:
        label = target.label
        if (
            claim.table == f"{document}/{target.name}.csv"
            and named
            and names(label)
            and "(ours)" not in label
        ):
            assert named & names(label), label
        number, _, place = label.partition(" (")
        if place and re.search(rf"\b{number}\b", claim.item):
            assert label in claim.item


SETTINGS = [(name, field.description, field.json_schema_extra["unit"]) for name, field, _ in fields()]


@pytest.mark.parametrize(("name", "description", "unit"), SETTINGS, ids=[name for name, _, _ in SETTINGS])
def test_every_setting_is_described_in_a_sentence(name: str, description: str, unit: str) -> None:
    """A unit stands in its own field, where programs find it."""
    assert description[0].isupper()
    assert description.endswith(".")
    assert not re.search(r" in (nats|seconds|rounds|measurements|pixels)\b", description)
    assert not re.search(r"\b(\w+) \1\b|  ", description)
    assert unit == "s" or not name.endswith("_seconds")


@pytest.mark.parametrize(
    "name",
    ["vae", "mapa_exact", "iwae_S1", "iwae_plain_S50", "mapa_S50_k10", "mapa_naive_S5_k99", "mapa_gt_S10_k5"],
)
def test_the_names_of_mapa_s_cells_have_one_grammar(name: str) -> None:
    """Settings, experiments and the wildcard of the rules read the same pattern."""
    assert re.fullmatch(CELL, name)
    cell = Cell.parse(name)
    budget = "" if cell.method.budget == "none" else f"_S{cell.samples}"
    part = "" if cell.fraction is None else f"_k{round(100 * cell.fraction)}"
    assert f"{cell.method.name}{budget}{part}" == cell.name == name


WRONG = ["", "vae_S10", "iwae", "iwae_S0", "iwae_S10_k10", "mapa_S10", "mapa_S10_k0", "mapa_S10_k100"]


@pytest.mark.parametrize("name", [*WRONG, "mapa_exact_S10", "vaes", "mapa_S\N{ARABIC-INDIC DIGIT ONE}_k10"])
def test_other_names_of_cells_are_refused(name: str) -> None:
    assert re.fullmatch(CELL, name) is None
    with pytest.raises(UserError, match="no cell"):
        Cell.parse(name)


def test_the_grammar_of_cells_stands_once() -> None:
    files = [*(ROOT / "src").rglob("*.py"), *(ROOT / "workflow/rules").glob("*.smk")]
    found = [path for path in files if "_S(" in path.read_text(encoding="utf-8")]
    assert found == [ROOT / "src/elbogap/papers/mapa/methods.py"]
