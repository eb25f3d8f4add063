"""The docs site: every page can be reached, every part is whole, and a built page fits any screen."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import site_parts
from browser import look

from config_fields import fields
from elbogap.places import Places
from elbogap.report.gather import claims
from elbogap.scales import DOCUMENTS

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = {
    path.relative_to(DOCS).with_suffix("").as_posix(): path.read_text(encoding="utf-8")
    for path in DOCS.rglob("*.md")
    if "_build" not in path.parts
}

# Opens the pages in frames of a phone's and a desktop's width, and searches; then notes what there is to see.
HARNESS = """<!doctype html><body><script>
const seen = {};
const frame = (url, width) => new Promise(done => {
    const element = document.createElement("iframe");
    Object.assign(element, {src: url, width, height: 900, onload: () => done(element.contentWindow)});
    document.body.append(element);
});
const show = async (url, width) => {
    const view = await frame(url, width);
    const {scrollWidth, clientWidth} = view.document.documentElement;
    const beyond = element => element.getBoundingClientRect().right > clientWidth + 1;
    seen[width] = {
        overflow: scrollWidth - clientWidth,
        beyond: [...view.document.querySelectorAll("article > section *")]
            .filter(element => beyond(element) && !element.closest(".table-wrapper, .formula-block, pre"))
            .map(element => element.outerHTML.slice(0, 80)),
        images: view.document.images.length,
        broken: [...view.document.images].filter(image => !image.naturalWidth).map(image => image.src),
    };
};
(async () => {
    for (const width of [390, 1280]) await show("papers/qiw.html", width);
    const claims = (await frame("claims-recorded.html", 1280)).document;
    const explorer = claims.querySelector(".explorer"), form = explorer.querySelector("form");
    const rows = () => [...explorer.querySelector("table").tBodies].filter(claim => claim.checkVisibility());
    const cells = column => rows().map(claim => claim.rows[0].cells[column].textContent);
    seen.claims = rows().length;
    form.elements.verdict.value = "contradicted";
    form.elements.text.value = "passes";
    form.dispatchEvent(new Event("input", {bubbles: true}));
    seen.chosen = cells(2);
    explorer.querySelectorAll("th button")[3].click();
    seen.sorted = cells(3);
    rows()[0].querySelector("button[aria-expanded]").click();
    seen.unfolded = rows()[0].rows[1].innerText;
    seen.folded = !rows()[1].rows[1].checkVisibility();
    const view = await frame("search.html?q=reconstructions", 1280);
    for (let turn = 0; turn < 200 && !view.document.querySelector("#search-results li a"); turn++)
        await new Promise(done => setTimeout(done, 50));
    const links = [...view.document.querySelectorAll("#search-results li a")];
    seen.found = links.map(link => link.getAttribute("href"));
    document.body.innerHTML = "<template></template>";
    document.querySelector("template").setAttribute("data-seen", JSON.stringify(seen));
})();
</script></body>"""


def reached(page: str) -> set[str]:
    """The pages of the tables of contents below a page, and the page."""
    folder, found = Path(page).parent, {page}
    for block in re.findall(r"```{toctree}\n(.*?)```", PAGES[page], re.DOTALL):
        for entry in re.findall(r"^[\w/-]+$", block, re.MULTILINE):
            found |= reached((folder / entry).as_posix())
    return found


def test_every_page_is_in_a_table_of_contents() -> None:
    assert reached("index") == set(PAGES)


def test_every_link_between_pages_and_into_the_repository_leads_somewhere() -> None:
    for name, text in PAGES.items():
        for link in re.findall(r"\]\(([^)#\s]+)\)", text):
            assert link.startswith("http") or ((DOCS / name).parent / link).exists(), f"{name}: {link}"


@pytest.mark.parametrize("key", DOCUMENTS)
def test_a_document_s_page_shows_every_recorded_figure_in_words_too(key: str) -> None:
    assert f"<!-- site: paper {key} -->" in PAGES[f"papers/{key}"]
    page = site_parts.paper(Places.here(), key)
    shown = re.findall(r"figure:: /\.\./(\S+)\n +:alt: \S.*\n\n.*``snakemake --cores 2 (figures/\S+)``", page)
    recorded = (ROOT / "figures" / "reference").glob(f"*/{key}/*.png")
    assert sorted(image for image, _ in shown) == sorted(str(path.relative_to(ROOT)) for path in recorded)
    assert all(
        Path(image.replace("reference/", "")).with_suffix(".pdf") == Path(made) for image, made in shown
    )


def test_the_table_of_settings_has_every_value() -> None:
    tables = site_parts.settings(Places.here(), "")
    for name, field, is_value in fields():
        if is_value and "." in name:
            document, section, *keys = name.split(".")
            assert f"### `{document}.{section}`" in tables
            assert f"{keys[-1] if keys else section}`" in tables, name
            assert site_parts._plain(field.description or "")[:40] in tables, name


def test_the_explorer_has_every_recorded_claim_with_its_groups() -> None:
    places = Places.here()
    page = site_parts.explorer(places, "")
    for scale in site_parts.RECORDED:
        rows = claims(places.recorded_results(scale) / "claims.csv")
        assert page.count(f'data-scale="{scale}"') == len(rows) > 0
    group = "dataset=binarized_mnist, method=denoising, alpha=0.5"
    assert f"<td>{group}</td><td>gain</td>" in page
    assert str(ROOT) not in page


def test_the_atlas_has_a_row_per_problem_and_method_with_its_intervals() -> None:
    places = Places.here()
    page = site_parts.atlas(places, "")
    table = pd.read_csv(places.recorded_results("laptop") / "atlas" / "tab_intervals.csv")
    assert page.count("<tbody") == len(table)
    assert page.count("<td>sliced_wasserstein</td>") == table["sliced_wasserstein"].notna().sum() > 0
    assert 'data-problem="banana" data-method="uivi"' in page


@pytest.mark.parametrize(
    ("item", "numbers"),
    [
        ("Figures 2 and 3, section 6", {2, 3}),
        ("Figures 6 to 8", {6, 7, 8}),
        ("Figure 5, 7", {5, 7}),
        ("Table 2", set()),
    ],
)
def test_an_item_names_figures(item: str, numbers: set[int]) -> None:
    assert site_parts._figure_numbers(item) == numbers


def test_tables_stand_beside_their_published_numbers() -> None:
    page = "\n".join(site_parts._tables(Places.here(), "qiw"))
    assert "| 10 | 2.002 | 2.05 | 0.031 |" in page
    shown = site_parts._rows(
        pd.DataFrame({"document": "qiw", "k": range(41), "seed": 0, "kl_q": float("nan")})
    )
    assert "kl\\_q = –" in shown
    assert "In all rows seed = 0" in shown
    assert "The first 12 of 41 rows." in shown
    assert shown.count("\n| ") == 13


def test_commands_are_shown_with_their_help() -> None:
    page = site_parts.commands(Places.here(), "")
    assert all(f"## `{name}`" in page for name in ("figure", "provenance", "data fetch", "verify"))
    assert "| `qiw.posterior_1d` |" in page


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site of a few pages, built with the configuration of the whole one."""
    pytest.importorskip("furo")
    folder = tmp_path_factory.mktemp("project")
    (folder / "docs" / "papers").mkdir(parents=True)
    (folder / "figures").symlink_to(ROOT / "figures")
    for name in ("papers/qiw.md", "security.md", "claims-recorded.md"):
        (folder / "docs" / name).write_text((DOCS / name).read_text(encoding="utf-8"), encoding="utf-8")
    index = "# Home\n\n```{toctree}\npapers/qiw\nclaims\nclaims-recorded\nsecurity\n```\n"
    (folder / "docs" / "index.md").write_text(index, encoding="utf-8")
    (folder / "docs" / "claims.md").write_text("# Claims\n", encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-W", "-c", DOCS, folder / "docs", folder / "site"],
        env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True,
    )  # fmt: skip
    return folder / "site"


@pytest.mark.browser
def test_a_page_fits_phone_and_desktop_and_search_finds_it(site: Path, tmp_path: Path) -> None:
    harness = site / "harness.html"
    harness.write_text(HARNESS, encoding="utf-8")
    seen = look(harness, tmp_path, "--allow-file-access-from-files")
    assert seen is not None, "the page's scripts did not run to their end"
    for width in (390, 1280):
        view = seen[str(width)]
        assert view["overflow"] == 0
        assert view["beyond"] == []
        assert view["images"] >= 3
        assert view["broken"] == []
    assert any(link.startswith("papers/qiw.html") for link in seen["found"])

    recorded = [claims(Places.here().recorded_results(scale) / "claims.csv") for scale in site_parts.RECORDED]
    assert seen["claims"] == sum(map(len, recorded))
    assert set(seen["chosen"]) == {"✗ contradicted"}
    assert len(seen["sorted"]) == len(seen["chosen"]) >= 3
    assert seen["sorted"] == sorted(seen["sorted"], key=str.lower)
    assert "snakemake --cores 2 results/" in seen["unfolded"]
    assert "95 % interval" in seen["unfolded"]
    assert seen["folded"]


def test_a_page_loads_nothing_from_the_network(site: Path) -> None:
    for page in site.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"<(script|link|img)[^>]+(src|href)=.https?://", text), page.name
