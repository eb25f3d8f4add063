"""Snakemake's own HTML report in a browser, of a small workflow; the workflow tests open the smoke run's."""

import subprocess
import sys
from pathlib import Path

import pytest
from browser import browser, check_html
from matplotlib.figure import Figure

from elbogap.places import Places
from elbogap.report.catalogue import documents, targets

pytestmark = pytest.mark.browser

DESCRIPTION = "workflow/report/workflow.rst"
WORKFLOW = """
report: "workflow.rst"
rule all:
    input: "figures/smoke/qiw/fig01.png", "results/smoke/claims.html"
rule figure:
    output: report("figures/{scale}/qiw/fig01.png", caption="figure.rst", category="qiw")
    shell: "cp picture.png {output}"
rule claims:
    output: report("results/{scale}/claims.html", category="claims")
    shell: "echo '<p>All claims.</p>' > {output}"
"""


def expected_words(places: Places) -> list[str]:
    """What the report of the project has to show: its description, each document, each figure's caption."""
    first = (places.project / DESCRIPTION).read_text(encoding="utf-8").partition(",")[0]
    words = [first, "claims"]
    for document in documents(places.paper):
        figures = [target for target in targets(places.paper, document.key) if target.kind == "figure"]
        words += [document.key] * bool(figures) + [f"{figure.label}: {figure.title}" for figure in figures]
    return words


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a workflow with one figure and one page, under the project's own description."""
    browser()
    folder = tmp_path_factory.mktemp("workflow")
    (folder / "Snakefile").write_text(WORKFLOW, encoding="utf-8")
    (folder / "workflow.rst").write_text(
        (Places.here().project / DESCRIPTION).read_text(encoding="utf-8"), encoding="utf-8"
    )
    (folder / "figure.rst").write_text(
        "The density of *q_IW* at scale {{ snakemake.wildcards.scale }}.", encoding="utf-8"
    )
    figure = Figure()
    figure.subplots().plot([0, 1], [0, 1])
    figure.savefig(folder / "picture.png")
    for words in (["all"], ["--report", "report.html"]):
        command = [str(Path(sys.executable).with_name("snakemake")), "--cores", "1", *words]
        answer = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
    return folder / "report.html"


def test_description_categories_and_captions_are_shown(report: Path, tmp_path: Path) -> None:
    expected = ["elbogap replicates documents", "qiw", "claims", "The density of q_IW at scale smoke."]
    results = check_html(report, expected, tmp_path)
    assert results == ["figures/smoke/qiw/fig01.png", "results/smoke/claims.html"]


def test_a_missing_caption_is_noticed(report: Path, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="does not show: The mass of q_IW"):
        check_html(report, ["The mass of q_IW"], tmp_path)


def test_a_failing_script_is_noticed(report: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(
        report.read_text(encoding="utf-8").replace("<body>", "<body><script>missing();</script>", 1),
        encoding="utf-8",
    )
    with pytest.raises(AssertionError, match="missing is not defined"):
        check_html(broken, [], tmp_path)


def test_a_page_from_the_network_is_noticed(report: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    broken.write_text(
        report.read_text(encoding="utf-8").replace("<body>", '<body><img src="https://a.example/b.png">', 1),
        encoding="utf-8",
    )
    with pytest.raises(AssertionError, match="loads from the network"):
        check_html(broken, [], tmp_path)
