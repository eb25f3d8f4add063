"""Kind B: a result that is not what was written.

Promise: the provenance beside a result holds the SHA-256 of every output of its command. Whoever reads a
result compares, and refuses a changed, unreadable or unaccounted one in one line that names the file, both
digests and how to build it again. No kill leaves a result that passes for another.
"""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_up_run import finished_run

from elbogap import provenance, tables
from elbogap.checksums import sha256
from elbogap.claims.engine import read_verdicts
from elbogap.cli import main
from elbogap.errors import UserError
from elbogap.places import Places
from published import change_result, write_result

TABLE = Path("results/smoke/qiw/tab01_bounds.csv")
CLAIMS = Path("results/smoke/claims.csv")
PICTURE = Path("figures/smoke/qiw/fig01_posterior_2d.png")
DATA = Path("results/smoke/data/binarized_mnist.json")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A finished run, in the current folder."""
    places = finished_run(tmp_path)
    monkeypatch.chdir(places.work)
    return places


def change(path: Path) -> None:
    """Change one character: a digit of a table where there is one."""
    content = bytearray(path.read_bytes())
    digits = [i for i, byte in enumerate(content) if chr(byte).isdigit()]
    content[digits[-1]] = ord("1") if content[digits[-1]] != ord("1") else ord("2")
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


DAMAGE = [change, cut, empty, zero]


def figure() -> list[str]:
    files = ["--inputs", "density=results/density.csv", "histogram=results/histogram.csv"]
    return ["figure", "qiw.fig03_posterior_1d", "--scale", "smoke", *files, "--outputs", "png=f.png"]


def gather_tables() -> list[str]:
    return ["mapa.gather", "--scale", "smoke", "--settings", "{}", "--inputs", "circle=results/circle.csv",
            "--outputs", "table=results/all.csv"]  # fmt: skip


def of_project(places: Places, command: str, *words: str) -> list[str]:
    return [command, "--scale", "smoke", "--project", str(places.project), *words]


def decide(places: Places) -> list[str]:
    made = [f"{kind}=results/smoke/claims.{kind}" for kind in ("csv", "effects", "html")]
    return ["claims", "--scale", "smoke", "--paper", str(places.paper), "--outputs", *made]


READERS: dict[str, tuple[Path, Callable[[Places], list[str]]]] = {
    "experiment": (Path("results/circle.csv"), lambda places: gather_tables()),
    "figure": (Path("results/density.csv"), lambda places: figure()),
    "claims": (TABLE, decide),
    "claims-check": (CLAIMS, lambda places: ["claims-check", str(CLAIMS)]),
    "report: table": (TABLE, lambda places: of_project(places, "report", "--outputs", "pdf=r.pdf")),
    "report: figure": (PICTURE, lambda places: of_project(places, "report", "--outputs", "pdf=r.pdf")),
    "report: claims": (CLAIMS, lambda places: of_project(places, "report", "--outputs", "pdf=r.pdf")),
    "report: data": (DATA, lambda places: of_project(places, "report", "--outputs", "pdf=r.pdf")),
    "reference: table": (TABLE, lambda places: of_project(places, "reference")),
    "reference: figure": (PICTURE, lambda places: of_project(places, "reference", "--add")),
    "reference: data": (DATA, lambda places: of_project(places, "reference")),
    "provenance": (TABLE, lambda places: ["provenance", str(TABLE)]),
}


def sources() -> None:
    """The inputs of the experiment and of the figure."""
    write_result(Path("results/circle.csv"), pd.DataFrame({"problem": ["circle"], "kl": [0.25]}))
    write_result(Path("results/density.csv"), pd.DataFrame({"x": [0.5]}))
    write_result(Path("results/histogram.csv"), pd.DataFrame({"x": [0.5]}))


def refusal(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """The one line with which a command refuses, having made nothing."""
    before = {path: path.read_bytes() for path in Path.cwd().parent.rglob("*") if path.is_file()}
    capsys.readouterr()
    assert main(words) == 2
    (line,) = capsys.readouterr().err.splitlines()
    after = {path: path.read_bytes() for path in Path.cwd().parent.rglob("*") if path.is_file()}
    assert {path: after[path] for path in after if ".partial" not in path.parts} == before
    return line


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_every_reader_refuses_a_changed_result(
    run: Places, reader: str, damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    sources()
    path, words = READERS[reader]
    expected = sha256(path)
    damage(path)
    line = refusal(words(run), capsys)
    assert str(path) in line
    if damage is change:
        assert f"sha256 expected {expected}, found {sha256(path)}" in line
        assert line.endswith(f"delete it and build it again: snakemake --cores 1 {path}")


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_refuses_a_result_without_provenance(
    run: Places, reader: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sources()
    path, words = READERS[reader]
    provenance.path_for(path).unlink()
    assert f"{path}: no provenance beside it" in refusal(words(run), capsys)


@pytest.mark.parametrize(
    ("record", "says"),
    [
        ("", "damaged"),
        ("\0" * 40, "damaged"),
        ("[1]", "damaged"),
        ("{}", "holds no SHA-256 of circle.csv"),
        ('{"outputs": []}', "holds no SHA-256 of circle.csv"),
        ('{"outputs": {"other.csv": "00"}}', "holds no SHA-256 of circle.csv"),
    ],
)
def test_a_damaged_provenance_is_one_line(
    run: Places, record: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    sources()
    Path("results/circle.csv.provenance.json").write_text(record, encoding="utf-8")
    assert says in refusal(gather_tables(), capsys)


def test_what_was_verified_is_what_provenance_records(run: Places) -> None:
    sources()
    assert main(gather_tables()) == 0
    record = provenance.read(Path("results/all.csv"))
    assert record["inputs"] == {"results/circle.csv": sha256(Path("results/circle.csv"))}
    assert record["outputs"] == {"all.csv": sha256(Path("results/all.csv"))}


def test_inputs_are_hashed_once(run: Places, monkeypatch: pytest.MonkeyPatch) -> None:
    sources()
    hashed = []

    def count(path: Path) -> str:
        hashed.append(path.name)
        return sha256(path)

    monkeypatch.setattr(provenance, "sha256", count)
    assert main(gather_tables()) == 0
    assert hashed.count("circle.csv") == 1


def test_texts_of_the_checkout_need_no_provenance(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "TEXTS", tmp_path / "paper")
    for folder in ("paper", "elsewhere/paper"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "numbers.csv").write_text("k\n1\n", encoding="utf-8")
    text = tmp_path / "paper" / "numbers.csv"
    assert provenance.verified([text]) == {str(text): sha256(text)}
    with pytest.raises(UserError, match="no provenance beside it"):
        provenance.verified([tmp_path / "elsewhere/paper/numbers.csv"])
    with pytest.raises(UserError, match="is missing; build it first"):
        provenance.verified([tmp_path / "paper" / "other.csv"])


def test_two_outputs_of_one_name_are_refused(tmp_path: Path) -> None:
    writers = dict.fromkeys([tmp_path / "a" / "t.csv", tmp_path / "b" / "t.csv"], print)
    with pytest.raises(UserError, match=r"two outputs are called t\.csv"):
        provenance.publish({}, writers)


def publish(folder: Path, word: str) -> None:
    def write(path: Path) -> None:
        path.write_text(f"{word}\n", encoding="utf-8")

    provenance.publish({"made": word}, dict.fromkeys([folder / "a.csv", folder / "b.csv"], write))


def killed_at(replacement: int, folder: Path) -> bool:
    """Whether publishing was killed before the file of that number got its name."""
    child = os.fork()
    if child == 0:
        done = 0
        replace = Path.replace

        def counted(path: Path, target: Path) -> Path:
            nonlocal done
            if done == replacement:
                os._exit(9)
            done += 1
            return replace(path, target)

        try:
            Path.replace = counted  # type: ignore[method-assign]
            publish(folder, "new")
            os._exit(0)
        finally:
            os._exit(1)  # never back into pytest
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) in (0, 9)
    return os.waitstatus_to_exitcode(status) == 9


def states(folder: Path) -> Iterator[str]:
    """What each output passes for: `old` or `new`, `nothing`, or `refused`."""
    for path in (folder / "a.csv", folder / "b.csv"):
        if not path.exists():
            yield "nothing"
            continue
        try:
            provenance.verify(path)
        except UserError:
            yield "refused"
        else:
            made = provenance.read(path)["made"]
            assert path.read_text(encoding="utf-8") == f"{made}\n"
            yield made


@pytest.mark.parametrize("before", ["nothing", "old"])
def test_killed_at_any_moment_nothing_passes_for_what_it_is_not(tmp_path: Path, before: str) -> None:
    seen = []
    for replacement in range(10):
        folder = tmp_path / str(replacement)
        if before == "old":
            publish(folder, "old")
        if not killed_at(replacement, folder):
            break
        seen.append(list(states(folder)))
        publish(folder, "new")  # the next call mends it
        assert list(states(folder)) == ["new", "new"]
    assert list(states(folder)) == ["new", "new"]
    assert len(seen) == 4  # two records, two results
    assert seen[0] == [before] * 2
    assert all(state in (before, "refused", "new") for pair in seen for state in pair)


@pytest.mark.parametrize("content", [b"", bytes(100), b"\xff\xfe\x00", b"PK\x03\x04\0 cut short"])
@pytest.mark.parametrize(
    ("name", "read"),
    [("a.csv", tables.read_table), ("a.npz", tables.read_arrays), ("a.json", tables.read_json),
     ("claims.csv", read_verdicts)],
)  # fmt: skip
def test_an_unreadable_file_is_one_line(
    tmp_path: Path, content: bytes, name: str, read: Callable[[Path], object]
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=name) as caught:
        read(tmp_path / name)
    assert len(str(caught.value).splitlines()) == 1


def test_arrays_with_any_byte_changed_are_one_line_or_arrays(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    tables.write({"x": np.arange(5.0)}, path)
    content, refused = path.read_bytes(), 0
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([255 - content[i]]) + content[i + 1 :])
        try:
            tables.read_arrays(path)
        except UserError:
            refused += 1
    assert refused > len(content) / 2


CLAIMS_DAMAGE = {
    "no rows": lambda text: text.splitlines()[0] + "\n",
    "an unknown verdict": lambda text: text.replace(",reproduced,", ",reproduzed,"),
    "an unknown status": lambda text: text.replace(",require,", ",requires,"),
    "no number": lambda text: text.replace(",0.01,", ",x,"),
    "other columns": lambda text: text.replace("verdict", "judgement"),
}


@pytest.mark.parametrize("damage", CLAIMS_DAMAGE)
def test_claims_are_not_passed_by_a_table_that_says_nothing(
    run: Places, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Even if its provenance is right."""
    assert main(["claims-check", str(CLAIMS)]) == 0
    text = CLAIMS.read_text(encoding="utf-8")
    changed = CLAIMS_DAMAGE[damage](text)
    assert changed != text
    write_result(CLAIMS, changed)
    assert str(CLAIMS) in refusal(["claims-check", str(CLAIMS)], capsys)


def test_a_data_record_that_is_damaged_is_made_anew(tmp_path: Path) -> None:
    path = tmp_path / "hapt.json"
    words = ["data", "record", "hapt", "--stand-ins", "always", "--outputs", f"record={path}"]
    assert main(words) == 0
    whole = path.read_bytes()
    for damage in DAMAGE:
        damage(path)
        assert main(words) == 0
        assert path.read_bytes() == whole
        provenance.verify(path)
    provenance.path_for(path).unlink()
    assert main(words) == 0
    before = path.stat().st_mtime_ns
    assert main(words) == 0
    assert path.stat().st_mtime_ns == before  # a new date would rebuild what rests on it


def test_a_result_made_anew_passes_again(run: Places, capsys: pytest.CaptureFixture[str]) -> None:
    change(TABLE)
    refusal(["provenance", str(TABLE)], capsys)
    change_result(TABLE, "real", "real")
    assert main(["provenance", str(TABLE)]) == 0
