"""Kind F: the user's surroundings decide what results are and how figures look.

Promise: no variable of the environment, locale or matplotlibrc changes a byte of a table or figure, or stops
a command; a folder that cannot be written is one line.
"""

import ast
import ctypes
import os
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path

import pytest

from elbogap import runtime
from elbogap.cli import main
from elbogap.scales import load, section

ROOT = Path(__file__).parents[2]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
HOSTILE = ASCII | {
    "COLUMNS": "x",
    "HOME": "/dev/null/home",
    "MATPLOTLIBRC": "hostile",
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "NO_COLOR": "1",
    "OMP_NUM_THREADS": "3",
    "PYTHONHASHSEED": "7",
    "PYTHONWARNINGS": "error",
    "SOURCE_DATE_EPOCH": "1000",
    "TERM": "dumb",
    "TMPDIR": "/nonexistent",
    "TZ": "Asia/Tokyo",
}
HOSTILE_RC = (
    "font.family: serif\ntext.usetex: True\nbackend: tkagg\nsavefig.bbox: tight\nfigure.facecolor: red\n"
)


def elbogap(*words: str, folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    names = {"HOME", "PATH", "TMPDIR", "LANG"}
    kept = {name: value for name, value in os.environ.items() if name in names}
    return subprocess.run(
        [sys.executable, "-m", "elbogap", *words], cwd=folder, check=False, capture_output=True,
        encoding="utf-8", env=kept | {"PYTHONPATH": str(ROOT / "src")} | more,
    )  # fmt: skip


def draw(folder: Path, **more: str) -> dict[str, bytes]:
    """The bytes of a table and of the figure drawn from it."""
    folder.mkdir()
    (folder / "hostile").write_text(HOSTILE_RC, encoding="utf-8")
    settings = section(load(ROOT / "config/smoke.yaml"), "mapa.intuition").model_dump_json()
    words = ["--scale", "smoke", "--outputs"]
    for command in (
        ["mapa.intuition", "--settings", settings, *words, "intuition=table.npz"],
        ["figure", "mapa.fig01_intuition", "--inputs", "intuition=table.npz", *words, "a=a.png", "b=b.pdf"],
    ):
        if command[0] == "figure":
            more.pop("HOME", None)  # without one, matplotlib looks for all fonts of the machine anew
        answer = elbogap(*command, folder=folder, **more)
        assert answer.returncode == 0, answer.stderr
        assert "Traceback" not in answer.stderr
    return {name: (folder / name).read_bytes() for name in ("table.npz", "a.png", "b.pdf")}


def test_table_and_figure_are_the_same_bytes_in_any_surroundings(tmp_path: Path) -> None:
    assert draw(tmp_path / "hostile", **HOSTILE) == draw(tmp_path / "calm")


@pytest.mark.parametrize("backend", ["nonsense", "tkagg", "module://nowhere"])
def test_no_backend_of_the_environment_stops_a_figure(backend: str, tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_text(HOSTILE_RC, encoding="utf-8")
    answer = elbogap(
        "figure", "mapa.fig0", "--scale", "x", "--outputs", "a=a", folder=tmp_path, MPLBACKEND=backend
    )
    assert answer.stderr == "elbogap: document mapa has no figure 'fig0'\n"


def test_a_line_with_other_letters_is_printed_in_an_ascii_locale(tmp_path: Path) -> None:
    program = "from elbogap.cli import main; main(['data', 'status']); print('Sam\\xe0')"
    answer = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, check=False, capture_output=True, encoding="ascii",
        env=os.environ | {"PYTHONPATH": str(ROOT / "src"), "ELBOGAP_CACHE": str(tmp_path)} | ASCII,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr
    assert r"Sam\xe0" in answer.stdout


def test_a_warning_is_no_error_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "warnoptions", ["error"])
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("error")
        assert main(["config", str(ROOT / "config/smoke.yaml")]) == 0
        warnings.warn("of a library", DeprecationWarning, stacklevel=1)


def test_no_text_of_a_process_is_read_in_the_encoding_of_the_locale() -> None:
    """What ruff's rule on `open` cannot see."""
    for path in [*ROOT.glob("src/**/*.py"), *ROOT.glob("benchmarks/*.py"), *ROOT.glob("envs/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                words = {word.arg for word in node.keywords}
                assert not words & {"text", "universal_newlines"} or "encoding" in words, (path, node.lineno)


def test_the_record_of_a_stand_in_is_the_same_without_docstrings() -> None:
    """Its content decides what is rebuilt."""
    program = (
        "from elbogap.data import records, sources\n"
        "print([records.make(name, 'always', 'settled') for name in sources.SOURCES])"
    )
    with_and_without = [
        subprocess.run(
            [sys.executable, *options, "-c", program], check=True, capture_output=True,
            encoding="utf-8", env=os.environ | {"PYTHONPATH": str(ROOT / "src")},
        ).stdout
        for options in ([], ["-OO"])
    ]  # fmt: skip
    assert "STAND-IN, synthetic: " in with_and_without[0]
    assert with_and_without[0] == with_and_without[1]


@pytest.mark.parametrize(("platform", "unit"), [("linux", 2**10), ("darwin", 1)])
def test_peak_memory_is_told_in_mib_on_every_system(
    platform: str, unit: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Usage:
        ru_maxrss = 300 * 2**20 // unit

    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(runtime.resource, "getrusage", lambda who: Usage)
    assert runtime.peak_memory_mib() == 300


@pytest.mark.parametrize("library", [("", ""), ("musl", "1.2.4")])
def test_no_function_of_glibc_is_called_on_another_c_library(
    library: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(runtime.platform, "libc_ver", lambda: library)
    monkeypatch.setattr(ctypes, "CDLL", lambda name: pytest.fail("mallopt is glibc's"))
    runtime.set_up(1)


def without_root_powers() -> None:
    """Let permissions hold for root: what is executed next has no CAP_DAC_OVERRIDE or _READ_SEARCH."""
    if os.geteuid() == 0:
        drop_from_bounding_set = 24
        for capability in (1, 2):
            ctypes.CDLL(None).prctl(drop_from_bounding_set, capability)


@pytest.fixture
def snakemake(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run Snakemake on this checkout in a folder of its own, without network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ELBOGAP_")}
    kept["ELBOGAP_CACHE"] = str(tmp_path)
    folder = tmp_path / "work"
    folder.mkdir()

    def run(*words: str, **more: str) -> subprocess.CompletedProcess[str]:
        command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile")]
        return subprocess.run(
            [*command, "--cores", "1", *words], cwd=folder, env=kept | more,
            check=False, encoding="utf-8", stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            preexec_fn=without_root_powers,
        )  # fmt: skip

    return run


@pytest.mark.dag
def test_a_target_is_made_in_an_ascii_locale(
    snakemake: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    answer = snakemake("results/smoke/data/mnist.json", **ASCII)
    assert answer.returncode == 0, answer.stdout
    assert (tmp_path / "work/results/smoke/data/mnist.json").is_file()


@pytest.mark.dag
@pytest.mark.parametrize("locked", [".", ".snakemake"])
def test_a_folder_that_cannot_be_written_is_one_line(
    snakemake: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, locked: str
) -> None:
    folder = tmp_path / "work" / locked
    folder.mkdir(exist_ok=True)
    folder.chmod(0o555)
    answer = snakemake("--dry-run", "results/smoke/data/mnist.json")
    folder.chmod(0o755)
    assert answer.returncode != 0
    lines = [line for line in answer.stdout.splitlines() if "elbogap" in line and "Snakefile" not in line]
    assert any(
        line.endswith("/.snakemake: cannot be written; name another folder with --directory")
        for line in lines
    ), answer.stdout
    assert "Traceback" not in answer.stdout
    assert "PermissionError" not in answer.stdout


def test_make_gives_a_home_folder_to_a_user_without_one() -> None:
    make = [str(shutil.which("make")), "--print-data-base", "--dry-run", "help"]
    for home, expected in (("/dev/null/home", f"HOME := {ROOT}/.home"), (str(ROOT), f"HOME = {ROOT}")):
        answer = subprocess.run(
            make, cwd=ROOT, env=os.environ | {"HOME": home}, capture_output=True, encoding="utf-8", check=True
        )
        assert expected in answer.stdout.splitlines()
