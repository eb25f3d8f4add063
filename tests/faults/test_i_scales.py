"""Kind I: scales of a user's own.

Promise: a file that gives only what it changes is a scale; a broken one disturbs no other; its claims are not
assessed but measured, and its report is made; a misspelt scale or target is told with the nearest one.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from made_up_run import finished_run

from elbogap.checksums import write_list
from elbogap.claims import engine, specification
from elbogap.claims.decide import decide
from elbogap.cli import main
from elbogap.errors import UserError
from elbogap.report.gather import gather
from elbogap.report.pdf import typeset
from elbogap.scales import Scales, load
from published import write_result

ROOT = Path(__file__).parents[2]
Write = Callable[[str, str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a scale file beside the three of the project."""
    shutil.copytree(ROOT / "config", tmp_path / "config")

    def scale(name: str, text: str) -> Path:
        path = tmp_path / "config" / f"{name}.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return scale


def dump(path: Path) -> dict[str, Any]:
    return json.loads(load(path).model_dump_json())


def test_a_scale_extends_another_by_the_changed_keys_alone(write: Write) -> None:
    whole = dump(ROOT / "config" / "smoke.yaml")
    mine = dump(
        write(
            "mine",
            "extends: smoke\n"
            "stand_ins: never\n"
            "qiw: {posterior_2d: {ks: [1, 3]}}\n"
            "implicit: {vae_train: {cells: {uivi: null, sivi: {seeds: 3}}}}\n",
        )
    )
    assert mine["stand_ins"] == "never"
    assert mine["qiw"]["posterior_2d"] == whole["qiw"]["posterior_2d"] | {"ks": [1, 3]}
    cells = whole["implicit"]["vae_train"]["cells"]
    assert cells.pop("uivi")
    cells["sivi"]["seeds"] = 3
    assert mine["implicit"]["vae_train"]["cells"] == cells
    assert mine["mapa"] == whole["mapa"]


def test_a_scale_extends_one_that_extends_another(write: Write) -> None:
    write("first", "extends: smoke\nqiw: {posterior_2d: {seed: 5, ks: [1, 3]}}\n")
    mine = load(write("second", "extends: first\nqiw: {posterior_2d: {seed: 6}}\n"))
    assert (mine.qiw.posterior_2d.seed, mine.qiw.posterior_2d.ks) == (6, (1, 3))


def test_the_operative_settings_are_printed_whole(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    path = write("mine", "extends: smoke\nstand_ins: never\n")
    assert main(["config", str(path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == dump(ROOT / "config" / "smoke.yaml") | {"stand_ins": "never"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("extends: mine", "mine.yaml: scales extend each other in a circle: mine -> mine"),
        ("extends: other", "other.yaml: scales extend each other in a circle: mine -> other -> mine"),
        ("extends: smok", "mine.yaml: extends: no scale 'smok' (did you mean 'smoke'?); the files in"),
        ("extends: ../config/smoke", "mine.yaml: extends: no scale '../config/smoke'"),
        ("extends: [smoke]", "mine.yaml: extends: no scale ['smoke']"),
        ("extends: null", "mine.yaml: extends: no scale None"),
        ("extend: smoke", "mine.yaml: unknown key 'extend' (did you mean 'extends'?)"),
        ("extends: smoke\nqiv: {}", "mine.yaml: unknown key 'qiv' (did you mean 'qiw'?)"),
        ("extends: smoke\nqiw: 3", "mine.yaml: bad value for 'qiw': keys and their values are needed"),
        ("extends: smoke\nqiw: null", "mine.yaml: missing key 'qiw'"),
        (
            "extends: smoke\nqiw: {posterior_2d: {points: 1}}",
            "bad value for 'qiw.posterior_2d.points'",
        ),
    ],
)
def test_what_cannot_be_extended_is_one_line(write: Write, text: str, says: str) -> None:
    write("other", "extends: mine")
    with pytest.raises(UserError) as error:
        load(write("mine", text))
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_a_mistake_in_the_extended_file_is_told_of_that_file(write: Write) -> None:
    write("other", "extends: smoke\nstand_ins: sometimes")
    with pytest.raises(UserError, match=r"other\.yaml: bad value for 'stand_ins'"):
        load(write("mine", "extends: other"))


def test_a_broken_scale_disturbs_no_other(write: Write) -> None:
    folder = write("bad", "stand_ins: [").parent
    scales = Scales(folder)
    assert scales.names == ["bad", "laptop", "paper", "smoke", "workstation"]
    assert scales["smoke"] == load(folder / "smoke.yaml")
    assert scales["smoke"] is scales["smoke"]
    with pytest.raises(UserError, match=r"bad\.yaml: not valid YAML"):
        scales["bad"]
    with pytest.raises(UserError, match=r"no scale 'lpatop' \(did you mean 'laptop'\?\)"):
        scales["lpatop"]


# Claims and report

REQUIRED, REPORTED = (
    {scale: {"status": status, "tolerance": 0.01} for scale in ("smoke", "laptop", "paper")}
    for status in ("require", "report")
)
CLAIM = {
    "id": "qiw-falls",
    "item": "Figure 1",
    "statement": "KL falls with k.",
    "table": "qiw/tab01_bounds.csv",
    "check": {"kind": "monotone", "metric": "kl", "along": "k", "direction": "decreasing"},
    "nature": "identity",
    "origin": "ours",
    "exact": True,
    "scales": REQUIRED,
}
TABLE = pd.DataFrame({"k": [1, 3], "kl": [0.5, 0.7]})


def assessed(folder: Path, **changes: Any) -> dict[str, Any]:
    """The verdict at scale mine on a trend that is in the wrong direction."""
    claims = {"claims": [CLAIM | changes]}
    (folder / "paper/qiw").mkdir(parents=True)
    (folder / "paper/qiw/claims.yaml").write_text(yaml.safe_dump(claims), encoding="utf-8")
    (folder / "results/mine/qiw").mkdir(parents=True)
    TABLE.to_csv(folder / "results/mine/qiw/tab01_bounds.csv", index=False)
    claims = specification.load(folder / "paper")
    (row,) = engine.assess_all(claims, "mine", folder / "results", folder / "paper")[0].to_dict("records")
    return row


def test_claims_are_measured_but_not_assessed(tmp_path: Path) -> None:
    row = assessed(tmp_path)
    assert row["verdict"] == "not assessed"
    assert row["measured"] == "0.5, 0.7"
    assert row["criterion"] == "kl decreasing along k"
    assert row["detail"] == "claims ask nothing of this scale"


def test_a_level_that_the_scale_lacks_is_told_not_raised(tmp_path: Path) -> None:
    row = assessed(tmp_path, select={"k": [1, 10]})
    assert (row["verdict"], row["measured"]) == ("not assessed", "")
    assert "k=10" in row["detail"]


def test_the_report_of_a_scale_of_ones_own_is_made(tmp_path: Path) -> None:
    places = finished_run(tmp_path)
    for folder in ("results", "figures"):
        (places.work / folder / "smoke").rename(places.work / folder / "mine")
    for path in places.work.rglob("*.json*"):
        path.write_text(path.read_text(encoding="utf-8").replace("/smoke/", "/mine/"), encoding="utf-8")
    results = places.results("mine")
    outputs = {kind: results / f"claims.{kind}" for kind in ("csv", "html")}
    outputs["effects"] = results / "claims_effects.csv"
    decide("mine", places.work / "results", places.paper, outputs, partial=False)
    report = gather("mine", places)
    (claim,) = report["documents"][0]["others"]
    assert (claim["verdict"], claim["measured"]) == ("not assessed", "0.4449, 0.03123, 7.8 × 10⁻⁴")
    (pdf,) = typeset(report, places.paper, places.work)
    assert pdf.startswith(b"%PDF")
    assert "not assessed" in outputs["html"].read_text(encoding="utf-8")


def test_a_report_of_nothing_says_how_to_build_it(tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        gather("smok", finished_run(tmp_path))
    assert str(error.value) == (
        "no results at scale 'smok' (did you mean 'smoke'?); build them first: "
        "snakemake --cores 2 --config scale=smok -- all"
    )


def test_what_failed_is_listed_with_its_criterion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "paper/qiw").mkdir(parents=True)
    (tmp_path / "paper/report.typ").touch()
    claims = {"claims": [CLAIM | {"scales": REPORTED}]}
    (tmp_path / "paper/qiw/claims.yaml").write_text(yaml.safe_dump(claims), encoding="utf-8")
    recorded = tmp_path / "results/reference"
    (recorded / "smoke/qiw").mkdir(parents=True)
    (tmp_path / "figures/reference/smoke").mkdir(parents=True)
    write_result(recorded / "smoke/qiw/tab01_bounds.csv", TABLE)
    outputs = {"csv": recorded / "smoke/claims.csv", "effects": recorded / "smoke/claims_effects.csv"}
    decide("smoke", recorded, tmp_path / "paper", outputs, partial=False)
    for folder in (recorded / "smoke", tmp_path / "figures/reference/smoke"):
        write_list(folder)
    assert main(["verify", "--project", str(tmp_path), "--failed"]) == 0
    first, *listed = capsys.readouterr().out.splitlines()
    assert first == "smoke: 1 claims, 1 contradicted"
    assert listed[0].strip() == "qiw-falls: KL falls with k."
    assert "kl decreasing along k, up to 0.01 a step; measured 0.5, 0.7" in listed[1]
    assert main(["verify", "--project", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{first}\n"


# The workflow


@pytest.fixture
def snakemake(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Dry runs in a copy of the project with the scales mine, which is good, and bad."""
    for name in ("config", "paper", "profiles", "src", "workflow"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", tmp_path)
    (tmp_path / "config/mine.yaml").write_text("extends: smoke\n", encoding="utf-8")
    (tmp_path / "config/bad.yaml").write_text("stand_ins: [\n", encoding="utf-8")

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("snakemake")), "-n", "--quiet", "rules", "--cores", "1"]
        return subprocess.run(
            [*command, *words], cwd=tmp_path, env=os.environ, text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    return run


@pytest.mark.dag
def test_a_scale_of_ones_own_is_planned_whole_beside_a_broken_one(
    snakemake: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    answer = snakemake("--config", "scale=mine", "--", "all")
    assert answer.returncode == 0, answer.stdout[-3000:]
    for rule in ("claims_checked", "report_pdf", "qiw_posterior_2d"):
        assert rule in answer.stdout


@pytest.mark.dag
@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("figures/bad/qiw/fig01_posterior_2d.pdf",), "bad.yaml: not valid YAML"),
        ((), "My Notes.yaml: no scale can be called 'My Notes'"),
        (("results/smoke/qiw/tab1_bounds.csv",), "(did you mean 'results/smoke/qiw/tab01_bounds.csv'?)"),
    ],
)
def test_a_mistake_in_what_is_asked_for_is_one_line(
    snakemake: Callable[..., subprocess.CompletedProcess[str]],
    tmp_path: Path,
    words: tuple[str, ...],
    says: str,
) -> None:
    if not words:
        (tmp_path / "config/My Notes.yaml").touch()
    answer = snakemake(*words)
    assert answer.returncode == 1
    lines = [line for line in answer.stdout.splitlines() if "elbogap: " in line]
    assert len(lines) == 1
    assert says in lines[0]
    assert "Traceback" not in answer.stdout
    assert "src/elbogap" not in answer.stdout  # no frame of ours
