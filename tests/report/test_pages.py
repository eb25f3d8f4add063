"""The generated parts of the pages in docs."""

import re
from pathlib import Path

import pytest
from made_up_run import finished_run

from elbogap.cli import main
from elbogap.errors import UserError
from elbogap.places import Places
from elbogap.report import pages, reference
from published import change_result

PARTS = ("findings", "targets", "claims", "gallery", "paper", "paces", "libraries", "faults")


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A project with a page that has every part, still empty, and a run recorded as laptop."""
    places = finished_run(tmp_path)
    text = (
        "# Title\n\n" + "\n".join(f"<!-- generated: {name} -->\n<!-- end -->\n" for name in PARTS) + "Kept.\n"
    )
    places.docs.mkdir()
    (places.docs / "page.md").write_text(text, encoding="utf-8")
    for folder in ("results", "figures"):
        (places.work / folder / "smoke").rename(places.work / folder / "laptop")
    for path in places.work.rglob("*.json*"):
        path.write_text(path.read_text(encoding="utf-8").replace("/smoke/", "/laptop/"), encoding="utf-8")
    return places


def test_refreshed_parts_are_not_stale(places: Places) -> None:
    file = places.docs / "page.md"
    assert pages.refresh(file, places, check=True) == list(PARTS)
    assert pages.refresh(file, places) == list(PARTS)
    assert pages.refresh(file, places, check=True) == []
    assert file.read_text(encoding="utf-8").startswith("# Title\n")
    assert file.read_text(encoding="utf-8").endswith("Kept.\n")


def test_before_any_recorded_run_the_parts_say_so(places: Places) -> None:
    pages.refresh(places.docs / "page.md", places)
    text = (places.docs / "page.md").read_text(encoding="utf-8")
    assert text.count("No run at scale laptop is recorded yet.") == 3
    assert "| qiw | `fig01_posterior_2d` | Figure 1 | The density of q_IW | – | – | – | – |" in text


def test_a_recorded_run_appears(places: Places) -> None:
    reference.record("laptop", places)
    pages.refresh(places.docs / "page.md", places)
    text = (places.docs / "page.md").read_text(encoding="utf-8")
    shown = "| qiw | `fig01_posterior_2d` | Figure 1 | The density of q_IW |"
    assert f"{shown} – | 12 s, 850 MiB | – | – |" in text
    assert (
        "| `qiw-kl-falls-with-k` | KL falls below 1e-2. | **reproduced** "
        "| finding | kl decreasing along k, up to 0.01 a step | 0.4449, 7.8 × 10⁻⁴ "
        "| −0.0304 (−0.04 to −0.02) | 0.445 |" in text
    )
    assert 'src="../figures/reference/laptop/qiw/fig01_posterior_2d.png"' in text
    assert (places.project / "figures/reference/laptop/qiw/fig01_posterior_2d.png").is_file()


def test_central_findings_are_shown_by_the_largest_scale_that_decides(places: Places) -> None:
    paper = places.paper / "qiw" / "paper.yaml"
    text = paper.read_text(encoding="utf-8")
    paper.write_text(re.sub("central: .*", "central: [qiw-kl-falls-with-k]", text), encoding="utf-8")
    detail = '"k=1: kl is 0.5; 95 % interval 0.4 to 0.6; not converged (of 2 groups: 2 reproduced)"'
    change_result(places.results("laptop") / "claims.csv", ",0.01,,", f",0.01,{detail},")
    reference.record("laptop", places)
    pages.refresh(places.docs / "page.md", places)
    text = (places.docs / "page.md").read_text(encoding="utf-8")
    verdict = (
        "**reproduced** at smoke scale: −0.0304 (−0.04 to −0.02); not converged (of 2 groups: 2 reproduced)"
    )
    assert f"(https://arxiv.org/abs/1704.02916), 2017 | KL falls below 1e-2. | {verdict} |" in text


def test_what_a_run_failed_to_show_is_in_the_table(places: Places) -> None:
    change_result(places.results("laptop") / "claims.csv", ",reproduced,", ",contradicted,")
    reference.record("laptop", places)
    pages.refresh(places.docs / "page.md", places)
    assert "**contradicted**" in (places.docs / "page.md").read_text(encoding="utf-8")


def test_what_a_workstation_decided_is_shown_and_has_a_column(places: Places) -> None:
    for folder in ("results", "figures"):
        (places.work / folder / "laptop").rename(places.work / folder / "workstation")
    for path in places.work.rglob("*.json*"):
        text = path.read_text(encoding="utf-8").replace("/laptop/", "/workstation/")
        path.write_text(text, encoding="utf-8")
    change_result(places.results("workstation") / "claims.csv", "smoke", "workstation")
    reference.record("workstation", places)
    pages.refresh(places.docs / "page.md", places)
    text = (places.docs / "page.md").read_text(encoding="utf-8")
    assert "The density of q_IW | – | – | 12 s, 850 MiB | – |" in text
    _, shown = text.split("What the recorded run at scale workstation decides:\n\n| claim |")
    assert "| `qiw-kl-falls-with-k` | KL falls below 1e-2. | **reproduced** |" in shown


def test_what_is_recorded_at_paper_scale_and_what_is_not(places: Places) -> None:
    for folder in ("results", "figures"):
        (places.work / folder / "laptop").rename(places.work / folder / "paper")
    change_result(places.results("paper") / "claims.csv", "smoke", "paper")
    reference.record("paper", places)
    pages.refresh(places.docs / "page.md", places)
    text = (places.docs / "page.md").read_text(encoding="utf-8")
    assert "| qiw | `fig01_posterior_2d`, `tab01_bounds` | `fig03_posterior_1d` |" in text
    assert "| `qiw-kl-falls-with-k` | KL falls below 1e-2. | **reproduced** |" in text
    assert "| mapa | – | – |" in text


def test_injected_faults_are_listed_with_their_promise(places: Places) -> None:
    places.faults.mkdir(parents=True)
    text = (
        '"""Kind Z: a fault.\n\nPromise: no harm\nis done.\n"""\n\ndef test_one(): ...\ndef test_two(): ...\n'
    )
    (places.faults / "test_z.py").write_text(text, encoding="utf-8")
    pages.refresh(places.docs / "page.md", places)
    page = (places.docs / "page.md").read_text(encoding="utf-8")
    assert "| Z: a fault. | no harm is done. | `test_z.py`, 2 |" in page


def test_paces_say_how_long_work_takes(places: Places) -> None:
    places.recorded.mkdir(parents=True)
    places.recorded_paces.write_text(
        "scale,rule,work,device,threads,steps,members,model_steps_per_s,gflop_per_step,peak_share,busy_share,"
        "piece_hours\n"
        "paper,a[x=1],net,cpu,2,25000,100,3910.8,0.619,0.2659,0.92,2.5\n"
        "paper,b,rows,cpu,1,10,1,0.5,,,0.5,0.1\n"
        "laptop,c,rows,cpu,1,10,1,0.5,,,0.5,0.1\n",
        encoding="utf-8",
    )
    pages.refresh(places.docs / "page.md", places)
    text = (places.docs / "page.md").read_text(encoding="utf-8")
    assert "| `a[x=1]` | `net` | cpu | 2 | 25 000 | 100 | 3911 | 0.619 | 27 % | 92 % | 2.5 h |" in text
    assert "| `b` | `rows` | cpu | 1 | 10 | 1 | 0.5 | – | – | 50 % | 6 min |" in text
    assert "| `c` |" not in text


def test_speeds_beside_other_libraries(places: Places) -> None:
    places.recorded.mkdir(parents=True)
    (places.recorded / "libraries.csv").write_text(
        "contender,model,members,k,model_steps_per_s,ratio,ratio_low,ratio_high,ratio_cpu,warm_up_s,reason,version,device\n"
        "JAX,VAE on images,1,5,180.06,1.5014,1.4,1.6,1.45,3.21,,jax 1,A CPU\n"
        "pythae,VAE on images,1,5,,,,,,,not installed: pythae,,A CPU\n",
        encoding="utf-8",
    )
    pages.refresh(places.docs / "page.md", places)
    text = (places.docs / "page.md").read_text(encoding="utf-8")
    assert "CPU: A CPU." in text
    assert "| JAX | VAE on images | 1 | 5 | 180 | 1.5 | 1.4 | 1.6 | 1.45 | 3.21 | – |" in text
    assert "| pythae | VAE on images | 1 | 5 | – | – | – | – | – | – | not installed: pythae |" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "<!-- generated: prices -->\n<!-- end -->\n",
            "unknown generated part 'prices'; known: findings",
        ),
        ("<!-- generated: claims -->\n", "no '<!-- end -->'"),
    ],
)
def test_bad_marks_are_named(places: Places, text: str, message: str) -> None:
    file = places.docs / "page.md"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=message):
        pages.refresh(file, places)


def test_the_command_checks_names_the_stale_part_and_refreshes(
    places: Places, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["pages", "--project", str(places.project)]
    assert main(words) == 0
    assert main([*words, "--check"]) == 0
    file = places.docs / "page.md"
    file.write_text(
        file.read_text(encoding="utf-8").replace("The density of", "The mass of"), encoding="utf-8"
    )
    capsys.readouterr()
    assert main([*words, "--check"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "stale: targets;" in line
    assert "The mass of" in file.read_text(encoding="utf-8")
    assert main(words) == 0
    assert "The density of" in file.read_text(encoding="utf-8")


def test_the_pages_of_the_project_are_current_and_have_every_part() -> None:
    places = Places.here()
    assert {page.name: pages.refresh(page, places, check=True) for page in pages.listed(places)} == {
        page.name: [] for page in pages.listed(places)
    }
    whole = "".join(page.read_text(encoding="utf-8") for page in pages.listed(places))
    assert all(whole.count(f"<!-- generated: {name} -->") == 1 for name in pages.PARTS)
