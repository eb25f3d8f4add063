"""Working off jobs: what is skipped, what a failure stops, the time budget, and the lock."""

import io
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from elbogap import digest, provenance
from elbogap.errors import OutOfTime, UserError
from elbogap.plan import work
from elbogap.plan.jobs import Job
from elbogap.plan.work import Means
from elbogap.report import lineage

MODULE = "elbogap.tables"
SCRIPT = """
import json, os, sys
from pathlib import Path
from elbogap import digest, provenance, tables
status, settings = int(sys.argv[1]), json.loads(sys.argv[2])
files = dict(word.split("=") for word in sys.argv[3:] if "=" in word)
inputs = [Path(path) for name, path in files.items() if name.startswith("in")]
if status == 0:
    for name, path in files.items():
        if name.startswith("out"):
            record = {"settings": settings, "inputs": {str(one): provenance.sha256(one) for one in inputs},
                      "module": "elbogap.tables", "code_digest": digest.code_digest("elbogap.tables")}
            tables.write(record, provenance.path_for(Path(path)))
            if "killed" in settings:
                os.kill(os.getpid(), 9)
            Path(path).write_text(str(settings) + "".join(one.read_text() for one in inputs))
with open("ran", "a") as log:
    log.write(" ".join(files) + "\\n")
raise SystemExit(status)
"""


def job(name: str, needs: str = "", status: int = 0, settings: str = '{"n":1}') -> Job:
    words = [str(status), "--settings", settings]
    words += ["--inputs", f"in_{needs}=results/{needs}.csv"] if needs else []
    return Job(
        name,
        (*words, "--outputs", f"out_{name}=results/{name}.csv"),
        gpu=False,
        benchmark=f"benchmarks/{name}.jsonl",
    )


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    def command(job: Job, means: Means) -> list[str]:
        return [sys.executable, "-c", SCRIPT, job.words[0], *job.words[2:]]

    monkeypatch.setattr(work, "command", command)


def ran(folder: Path) -> list[str]:
    path = folder / "ran"
    found = (
        [line.split()[-1] for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )
    path.unlink(missing_ok=True)
    return [name.removeprefix("out_") for name in found]


def means(folder: Path, budget: float = math.inf) -> Means:
    return Means(folder, gpus=0, threads=1, deadline=time.monotonic() + budget)


def test_what_is_done_is_left_and_what_changed_is_done_again(tmp_path: Path) -> None:
    say = io.StringIO()
    work.work([job("a"), job("b", "a"), job("c")], {"a": 60.0, "b": 60.0}, means(tmp_path), say)
    assert ran(tmp_path) == ["a", "b", "c"]
    assert "a: 3 of 3 jobs left, 2 min as recorded and 1 without a record" in say.getvalue()
    work.work([job("a"), job("b", "a"), job("c")], {}, means(tmp_path), say)
    assert ran(tmp_path) == []
    work.work([job("a", settings='{"n":2}'), job("b", "a"), job("c")], {}, means(tmp_path), say)
    assert ran(tmp_path) == ["a", "b"]
    (tmp_path / "results/c.csv").unlink()
    work.work([job("a", settings='{ "n": 2 }'), job("b", "a"), job("c")], {}, means(tmp_path), say)
    assert ran(tmp_path) == ["c"]


def test_changed_code_is_done_again(tmp_path: Path) -> None:
    work.work([job("a")], {}, means(tmp_path), io.StringIO())
    path = provenance.path_for(tmp_path / "results/a.csv")
    record = json.loads(path.read_text(encoding="utf-8"))
    assert record["code_digest"] == digest.code_digest(MODULE)
    path.write_text(json.dumps(record | {"code_digest": "old"}), encoding="utf-8")
    ran(tmp_path)
    work.work([job("a")], {}, means(tmp_path), io.StringIO())
    assert ran(tmp_path) == ["a"]


def test_a_failure_stops_only_what_needs_it(tmp_path: Path) -> None:
    say = io.StringIO()
    todo = [job("a", status=2), job("b", "a"), job("c", "b"), job("d")]
    with pytest.raises(UserError, match="3 of 4 jobs failed or were left out"):
        work.work(todo, {}, means(tmp_path), say)
    assert ran(tmp_path) == ["a", "d"]
    assert "a: failed with status 2" in say.getvalue()
    assert "c: left out, it needs b" in say.getvalue()


def test_a_job_killed_between_record_and_result_is_done_again(tmp_path: Path) -> None:
    """The command line writes provenance first: no old result may stand beside it."""
    say = io.StringIO()
    work.work([job("a")], {}, means(tmp_path), say)
    changed = '{"n": 2, "killed": true}'
    with pytest.raises(UserError, match="1 of 1 jobs failed"):
        work.work([job("a", settings=changed)], {}, means(tmp_path), say)
    assert "a: killed, perhaps because memory ran out" in say.getvalue()
    assert not (tmp_path / "results/a.csv").exists()
    assert not work.done(job("a", settings=changed), tmp_path)


def test_a_record_of_another_version_is_not_of_this_one(tmp_path: Path) -> None:
    work.work([job("a")], {}, means(tmp_path), io.StringIO())
    path = provenance.path_for(tmp_path / "results/a.csv")
    for other in ({}, {"module": "elbogap.gone", "settings": {"n": 1}, "inputs": {}}):
        path.write_text(json.dumps(other), encoding="utf-8")
        assert not work.done(job("a"), tmp_path)


def test_out_of_time_ends_the_run_and_a_later_one_goes_on(tmp_path: Path) -> None:
    with pytest.raises(OutOfTime):
        work.work([job("a", status=work.TRY_AGAIN), job("b")], {}, means(tmp_path), io.StringIO())
    assert ran(tmp_path) == ["a"]
    with pytest.raises(OutOfTime):
        work.work([job("a"), job("b")], {}, means(tmp_path, budget=0), io.StringIO())
    assert ran(tmp_path) == []
    work.work([job("a"), job("b")], {}, means(tmp_path), io.StringIO())
    assert ran(tmp_path) == ["a", "b"]


HOLDER = """
import math, sys
from pathlib import Path
from elbogap.plan import work
from elbogap.plan.jobs import Job
script = "import os, time; open('started', 'w').write(str(os.getpid())); time.sleep(60)"
work.command = lambda *_: [sys.executable, "-c", script]
one = Job("a", ("--outputs", "a=results/a.csv"), gpu=False, benchmark="a.jsonl")
work.work([one], {}, work.Means(Path(sys.argv[1]), gpus=0, threads=1, deadline=math.inf))
"""


def test_each_job_has_its_cost_recorded_whatever_it_took_to_end(tmp_path: Path) -> None:
    with pytest.raises(OutOfTime):
        work.work([job("a", status=work.TRY_AGAIN)], {}, means(tmp_path), io.StringIO())
    assert lineage.jobs(tmp_path / "benchmarks") == []  # it has not ended
    first = json.loads((tmp_path / "benchmarks/a.jsonl").read_text(encoding="utf-8"))["s"]
    work.work([job("a")], {}, means(tmp_path), io.StringIO())
    (found,) = lineage.jobs(tmp_path / "benchmarks")
    assert (found.rule, found.outputs) == ("a", ("results/a.csv",))
    assert found.seconds > first > 0
    assert 5 < found.max_rss_mib < 5000


def test_the_command_has_what_the_run_grants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    words = ("doc.one", "--settings", "{}", "--outputs", "a=b", "--threads", "1", "--gpus", "1")
    granted = Means(Path(), gpus=1, threads=4, deadline=time.monotonic() + 100)
    found = work.command(Job("a", words, gpu=True, benchmark=""), granted)
    assert found[:4] == [sys.executable, "-m", "elbogap", "doc.one"]
    assert found[8:-1] == ["--threads", "4", "--gpus", "1", "--time-budget"]
    assert 90 <= float(found[-1]) <= 100
    free = Means(Path(), gpus=0, threads=1, deadline=math.inf)
    assert work.command(Job("a", words, gpu=True, benchmark=""), free)[3:] == [
        *words[:-1],
        "0",
    ]
    kept = [*words[:-3], "4", "--gpus", "0", "--time-budget"]
    assert work.command(Job("a", words, gpu=False, benchmark=""), granted)[3:-1] == kept
    drawing = ("figure", "doc.fig", "--outputs", "a=b")
    assert work.command(Job("a", drawing, gpu=False, benchmark=""), granted)[3:] == [*drawing]


def test_two_runs_do_not_share_a_folder(tmp_path: Path) -> None:
    """Not even when the first was killed and its job still works there."""
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)])
    started = tmp_path / "started"
    while not (started.exists() and started.read_text(encoding="utf-8")):
        assert holder.poll() is None
        time.sleep(0.05)
    holder.kill()
    holder.wait()
    with pytest.raises(UserError, match="another run works here"):
        work.work([job("b")], {}, means(tmp_path), io.StringIO())
    os.kill(int(started.read_text(encoding="utf-8")), signal.SIGKILL)
    while work_is_refused(tmp_path):
        time.sleep(0.05)
    assert ran(tmp_path) == ["b"]


STOPPED = """
import math, signal, sys
from pathlib import Path
from elbogap import cli
from elbogap.plan import work
from elbogap.plan.jobs import Job
script = '''
import signal, sys, time
def save(*_):
    time.sleep(0.5)
    open("saved", "w").close()
    sys.exit(130)
signal.signal(signal.SIGTERM, save)
open("started", "w").close()
time.sleep(60)
'''
work.command = lambda *_: [sys.executable, "-c", script]
signal.signal(signal.SIGTERM, cli._interrupt)
one = Job("a", ("--outputs", "a=results/a.csv"), gpu=False, benchmark="a.jsonl")
work.work([one], {}, work.Means(Path(sys.argv[1]), gpus=0, threads=1, deadline=math.inf))
"""


def test_a_run_that_is_stopped_waits_for_its_job_to_save(tmp_path: Path) -> None:
    holder = subprocess.Popen([sys.executable, "-c", STOPPED, str(tmp_path)], stderr=subprocess.DEVNULL)
    while not (tmp_path / "started").exists():
        assert holder.poll() is None
        time.sleep(0.05)
    holder.terminate()
    assert holder.wait() != 0
    assert (tmp_path / "saved").exists()
    work.work([job("b")], {}, means(tmp_path), io.StringIO())
    assert ran(tmp_path) == ["b"]


def work_is_refused(folder: Path) -> bool:
    try:
        work.work([job("b")], {}, means(folder), io.StringIO())
    except UserError:
        return True
    return False
