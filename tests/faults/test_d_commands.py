"""Kind D: names that come from elsewhere, in commands and folders.

Promise: every path and wildcard in every command of a rule is quoted, so a checkout and a working folder may
have any name without braces; a scale has a plain name or is refused in one line; hidden files of editors and
file managers are nobody's.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from elbogap import cli
from elbogap.claims import specification
from elbogap.config.scale import scale_name, scale_names
from elbogap.errors import UserError
from elbogap.report import lineage

ROOT = Path(__file__).parents[2]
RULES = [ROOT / "Snakefile", *sorted((ROOT / "workflow/rules").glob("*.smk"))]
NUMBERS = {"threads", "resources.gpu"}
QUOTED = {"params.files"}
"""Words that files() in common.smk has quoted."""


def shells(path: Path) -> list[tuple[str, str]]:
    """The indentation and the text of each `shell:` of a rule file."""
    return re.findall(r"^( +)shell:\n((?:\1 +.*\n?)+)", path.read_text(encoding="utf-8"), re.MULTILINE)


def test_every_placeholder_of_every_command_is_quoted() -> None:
    found = [
        (path.name, word)
        for path in RULES
        for _, text in shells(path)
        for word in re.findall(r"\{(.*?)\}", text)
    ]
    assert len(found) > 20, "the test reads the rules"
    assert {(name, word) for name, word in found if not word.endswith(":q")} <= {
        (path.name, word) for path in RULES for word in NUMBERS | QUOTED
    }


def test_every_shell_is_seen() -> None:
    for path in RULES:
        assert len(shells(path)) == path.read_text(encoding="utf-8").count("shell:\n"), path


@pytest.mark.dag
def test_a_checkout_and_a_folder_with_shell_characters_work(tmp_path: Path) -> None:
    checkout, work = tmp_path / "a b;c'd" / "elbogap", tmp_path / "w $o;\"r'k"
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        if (ROOT / name).is_file():
            (checkout / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, checkout / name)
    work.mkdir()
    target = "results/smoke/implicit/tab_hmc_iterations.csv"  # reads a file of the checkout
    words = ["--cores", "1", "--snakefile", str(checkout / "Snakefile"), "--directory", str(work), target]
    answer = subprocess.run(
        [str(Path(sys.executable).with_name("snakemake")), *words], cwd=tmp_path, timeout=900, check=False,
        text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stdout[-3000:]
    assert (work / target).is_file()
    assert {path.name for path in tmp_path.iterdir()} == {"a b;c'd", work.name}


@pytest.mark.parametrize("name", ["laptop", "mine", "a-b_2", "2"])
def test_plain_names_of_scales(name: str) -> None:
    assert scale_name(name) == name


BAD = [
    "",
    "Mine",
    "a b",
    "a;touch x",
    "$(id)",
    "../x",
    "a/b",
    "a.b",
    "-n",
    "é",
    "{scale}",
    "a\n",
    "reference",
    "logs",
]


@pytest.mark.parametrize("name", BAD)
def test_a_scale_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(UserError, match="no scale can be called"):
        scale_name(name)


@pytest.mark.parametrize("name", ["Mine", "a b", "a;b", "x{y}", "reference", "logs"])
def test_the_refusal_names_the_file(name: str, tmp_path: Path) -> None:
    (tmp_path / f"{name}.yaml").touch()
    with pytest.raises(UserError, match=re.escape(str(tmp_path / f"{name}.yaml"))) as raised:
        scale_names(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "words",
    [
        ["reference", "--scale", "../.."],
        ["report", "--scale", "reference", "--outputs", "pdf=x.pdf"],
        ["claims", "--scale", "a b", "--outputs", "csv=a", "effects=c", "html=b"],
        ["figure", "qiw.fig01_posterior_2d", "--scale", "/tmp", "--outputs", "pdf=x.pdf"],
    ],
    ids=lambda words: words[0],
)
def test_commands_refuse_such_a_scale_in_one_line(words: list[str], capsys: pytest.CaptureFixture) -> None:
    assert cli.main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "no scale can be called" in line


def test_hidden_files_in_config_are_no_scales(tmp_path: Path) -> None:
    (tmp_path / "smoke.yaml").touch()
    for name in ("._smoke.yaml", ".smoke.yaml"):
        (tmp_path / name).write_bytes(b"\0\5\26\7")
    (tmp_path / ".#smoke.yaml").symlink_to("somebody@host.1234")
    assert scale_names(tmp_path) == ["smoke"]


def test_hidden_files_among_claims_and_measurements_are_not_read(tmp_path: Path) -> None:
    (tmp_path / "qiw").mkdir()
    shutil.copy(ROOT / "paper/qiw/claims.yaml", tmp_path / "qiw")
    (tmp_path / "._qiw").mkdir()
    (tmp_path / "._qiw/claims.yaml").write_bytes(b"\0\5\26\7")
    (tmp_path / "qiw/.#claims.yaml").symlink_to("somebody@host.1234")
    assert {document for document, _ in specification.load(tmp_path)} == {"qiw"}
    (tmp_path / "._job.jsonl").write_text('{"s": 1, "rule_name": "hidden"}\n', encoding="utf-8")
    (tmp_path / "job.jsonl").write_text('{"s": 1, "rule_name": "seen"}\n', encoding="utf-8")
    assert [job.rule for job in lineage.jobs(tmp_path)] == ["seen"]
