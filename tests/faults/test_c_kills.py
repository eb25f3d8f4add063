"""Kind C: two writers, after kills at random moments.

Promise: a command that is killed at any moment and run again makes the same files as one that nobody
disturbed; what outlives its killed parent holds its results until it ends, and a second command is refused
meanwhile.
"""

import importlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

import forked
from elbogap import modules, provenance
from elbogap.scales import load, section
from elbogap.writer import claim_of

ROOT = Path(__file__).parents[2]
SEED = 20_240_607
PASSING = {"finished", "wall_s", "peak_memory_mib", "spent_s"}
"""What differs between two records of one result."""

TRIALS = {
    "mapa.train": 4,
    "air.train": 3,
    "qiw.mnist_classifier": 4,
    "qiw.posterior_1d": 2,
    "figure": 4,
    "claims": 4,
}


@dataclass(frozen=True)
class Command:
    """A command whose outputs lie in the working directory, and what it takes and makes undisturbed."""

    words: tuple[str, ...]
    cpu_s: float
    made: dict[str, Any]


def experiment(name: str, *files: str, keys: tuple[str, ...] = (), **changes: object) -> list[str]:
    settings = section(load(ROOT / "config/smoke.yaml"), name).model_copy(update=changes)
    words = [name, "--scale", "smoke", "--settings", settings.model_dump_json()]
    return [*words, *(["--keys", *keys] if keys else []), *files]


def content(folder: Path) -> dict[str, Any]:
    """All that lies in a folder, hidden files too: bytes, and records without what passes."""

    def lasting(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: lasting(one) for name, one in value.items() if name not in PASSING}
        return value

    return {
        str(path.relative_to(folder)): lasting(json.loads(path.read_text(encoding="utf-8")))
        if path.name.endswith(".provenance.json")
        else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def in_folder(folder: Path, words: tuple[str, ...]) -> float:
    """Run a command to its end; the processor's time that it took."""
    folder.mkdir()
    os.chdir(folder)
    log = folder.with_suffix(".log")
    before = sum(os.times()[2:4])
    status = forked.finish(forked.start(words, log))
    assert status == 0, log.read_text(encoding="utf-8")
    return sum(os.times()[2:4]) - before


def await_moment(pid: int, cpu_s: float) -> None:
    """Wait until a child has used so much of the processor's time, which a busy machine does not change."""
    child = psutil.Process(pid)
    while sum(child.cpu_times()[:2]) < cpu_s and child.status() != psutil.STATUS_ZOMBIE:
        time.sleep(0.002)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for all; what commands import and read of the code is ready before they are forked."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("kills")
        patch.chdir(place)
        patch.delenv("ELBOGAP_RUN", raising=False)
        for name in ("mapa.surrogate", "mapa.train", "air.images", "air.train", "qiw.posterior_1d"):
            importlib.import_module(modules.experiment_module(name))
        for name in ("papers.qiw.experiments.mnist_classifier", "papers.qiw.figures", "claims.decide"):
            importlib.import_module(f"elbogap.{name}")
        for name in [one for one in sys.modules if one.startswith("elbogap.")]:
            provenance.source(name)
        provenance.versions()
        yield place


@pytest.fixture(scope="module")
def commands(place: Path) -> dict[str, Command]:
    """The commands, each run once without disturbance."""
    inputs = place / "inputs"
    data, surrogate, images = inputs / "data.json", inputs / "surrogate.npz", inputs / "images.npz"
    words = ["data", "record", "mnist", "--stand-ins", "always", "--outputs", f"record={data}"]
    in_folder(inputs, tuple(words))
    words = experiment(
        "mapa.surrogate", "--outputs", f"surrogate={surrogate}", keys=("problem=circle",),
        steps=300, target_mse=0.1,
    )  # fmt: skip
    in_folder(place / "surrogate", tuple(words))
    words = experiment(
        "air.images", "--inputs", f"data={data}", "--outputs", f"images={images}",
        keys=("dataset=caltech_silhouettes",),
    )  # fmt: skip
    in_folder(place / "images", tuple(words))
    often = {"checkpoint_seconds": 0.05}
    todo = {
        "mapa.train": experiment(
            "mapa.train", "--inputs", f"surrogate={surrogate}", "--outputs", "models=m.npz",
            keys=("problem=circle", "cell=mapa_S10_k10"), **often,
        ),
        "air.train": experiment(
            "air.train", "--inputs", f"images={images}", "--outputs", "models=m.npz", "curves=c.csv",
            keys=("dataset=caltech_silhouettes", "cell=m8"), **often,
        ),
        "qiw.mnist_classifier": experiment(
            "qiw.mnist_classifier", "--inputs", f"data={data}",
            "--outputs", "classifier=c.npz", "accuracy=a.csv", epochs=4,
        ),
        "qiw.posterior_1d": experiment(
            "qiw.posterior_1d", "--outputs", "fits=f.csv", "density=d.csv", "histogram=h.csv",
            "divergences=v.csv", ks=(1, 5), points=121,
        ),
        "figure": [
            "figure", "qiw.fig03_posterior_1d", "--scale", "smoke",
            "--inputs", f"density={place}/qiw.posterior_1d/d.csv",
            f"histogram={place}/qiw.posterior_1d/h.csv", "--outputs", "pdf=f.pdf", "png=f.png",
        ],
        "claims": [
            "claims", "--scale", "smoke", "--paper", str(ROOT / "paper"), "--partial",
            "--outputs", "csv=c.csv", "effects=e.csv", "html=c.html",
        ],
    }  # fmt: skip
    found = {}
    for name, listed in todo.items():
        cpu_s = in_folder(place / name, tuple(listed))
        found[name] = Command(tuple(listed), cpu_s, content(place / name))
    return found


@pytest.mark.parametrize("name", TRIALS)
def test_killed_at_any_moment_and_run_again_makes_the_same_files(
    place: Path, commands: dict[str, Command], name: str
) -> None:
    command, chance = commands[name], random.Random(f"{SEED} {name}")
    assert len(command.made) >= 2
    killed, longest = 0, command.cpu_s
    for trial in range(10 * TRIALS[name]):
        moment = longest * chance.choice([chance.random(), chance.uniform(0.8, 1)])
        folder = place / f"{name}-{trial}"
        folder.mkdir()
        os.chdir(folder)
        pid = forked.start(command.words, place / "log")
        await_moment(pid, moment)
        time.sleep(chance.uniform(0, 0.02))  # the processor's time is counted in hundredths of a second
        os.kill(pid, signal.SIGKILL)
        if forked.finish(pid) == -signal.SIGKILL:
            killed += 1
        else:
            longest = 0.9 * moment  # it had ended: this machine is faster now than when it was measured
        about = f"seed {SEED}, {name}, trial {trial}, killed after {moment:.3f} s of processor time"
        status = forked.finish(forked.start(command.words, place / "log"))
        assert status == 0, f"{about}: {(place / 'log').read_text(encoding='utf-8')}"
        made = content(folder)
        assert set(made) == set(command.made), about
        assert [path for path in made if made[path] != command.made[path]] == [], about
        shutil.rmtree(folder)
        if killed == TRIALS[name]:
            return
    pytest.fail(f"{name}: of {10 * TRIALS[name]} trials only {killed} were killed in time")


def test_what_outlives_its_parent_holds_its_results_until_it_ends(
    place: Path, commands: dict[str, Command]
) -> None:
    first = commands["qiw.mnist_classifier"]
    settings = first.words[4]
    second = tuple(word.replace('"seed":0', '"seed":1') for word in first.words)
    assert second[4] != settings
    in_folder(place / "second", second)
    wanted, chance = content(place / "second"), random.Random(f"{SEED} orphans")
    assert wanted["c.npz"] != first.made["c.npz"]
    log = place / "log"
    for trial in range(4):
        moment = chance.uniform(0, 0.3) * first.cpu_s
        about = f"seed {SEED}, trial {trial}, the second came after {moment:.3f} s of the first"
        folder = place / f"orphan-{trial}"
        folder.mkdir()
        os.chdir(folder)
        parent, job = forked.start_below_another(first.words, place / "log of the first")
        while not claim_of(Path("c.npz")).exists():
            assert psutil.pid_exists(job), about
            time.sleep(0.001)
        await_moment(job, moment)
        os.kill(parent, signal.SIGKILL)
        forked.finish(parent)
        os.kill(job, signal.SIGSTOP)  # so that it lives, however busy the machine
        status = forked.finish(forked.start(second, log))
        text = log.read_text(encoding="utf-8")
        os.kill(job, signal.SIGCONT)
        assert status == 2, f"{about}: {text}"
        assert text.startswith(f"elbogap: a.csv: process {job} on "), f"{about}: {text}"
        assert len(text.splitlines()) == 1, about
        deadline = time.monotonic() + 120
        while psutil.pid_exists(job) and psutil.Process(job).status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, about
            time.sleep(0.01)
        made = content(folder)
        assert [path for path in first.made if made[path] != first.made[path]] == [], about
        assert forked.finish(forked.start(second, log)) == 0, about
        assert content(folder) == wanted, about
        shutil.rmtree(folder)
