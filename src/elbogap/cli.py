"""`python -m elbogap ...`: the only thing that rules call.

An experiment is a module `elbogap.papers.<document>.experiments.<name>` with

    Settings: type[Section]                      the section of the scale file that it reads
    run(settings, run) -> {name: table}          tables (DataFrame), arrays (dict) or plain data

and is called as `python -m elbogap <document>.<name>`. A figure is a function of a module
`elbogap.papers.<document>.figures` that takes the input tables by name and returns a matplotlib figure.
Neither touches files: reading, writing, provenance, threads and error messages are settled here, once.
"""

import argparse
import importlib
import inspect
import io
import json
import os
import shutil
import signal
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_limits

from elbogap import __version__, digest, provenance, tables, words, writer
from elbogap.claims import commands as claims_commands
from elbogap.config.base import validated
from elbogap.config.scale import scale_name
from elbogap.data import commands as data_commands
from elbogap.errors import TRY_AGAIN, OutOfTime, UserError, circumstance, did_you_mean
from elbogap.modules import experiment_module, experiments, figures_module
from elbogap.papers.atlas import commands as atlas_commands
from elbogap.report import commands as report_commands
from elbogap.runtime import Run, limit_torch_threads, peak_memory_mib, set_up
from elbogap.stopwatch import spending


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; status 0, 1 (check failed), 2 (user's mistake), 75 (out of time), 130 (interrupted)."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if any(option.startswith("error") for option in sys.warnoptions):
        warnings.resetwarnings()  # warnings are shown, but do not end a command
    if isinstance(sys.stdout, io.TextIOWrapper):  # as standard error does: any locale can print any text
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        options = _parse(sys.argv[1:] if argv is None else argv)
        with writer.sole(_made(options)):
            return options.call(options) or 0
    except UserError as error:
        return _complain(str(error), 2)
    except OutOfTime:
        return _complain("time budget spent; run the same command again to go on", TRY_AGAIN)
    except KeyboardInterrupt:
        return _complain("interrupted; finished results are kept, run the same command again to go on", 130)
    except BrokenPipeError:
        return 128 + signal.SIGPIPE  # as other programs that write to `head`
    except (MemoryError, OSError, RuntimeError) as error:
        if message := circumstance(error):
            return _complain(message, 2)
        raise


def _made(options: argparse.Namespace) -> list[Path]:
    """The files that a command makes: those of its `--outputs`, or the table if it is only profiled."""
    if getattr(options, "profile", None):
        return [options.profile]
    return [Path(file) for word in getattr(options, "outputs", []) if (file := word.partition("=")[2])]


def _complain(message: str, status: int) -> int:
    print(f"elbogap: {' '.join(message.splitlines())}", file=sys.stderr)
    return status


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="elbogap", description=__doc__.splitlines()[0] if __doc__ else None)
    commit = provenance.git_state()["commit"] if "--version" in argv else None
    version = f"elbogap {__version__}" + (f" (commit {commit})" if commit else "")
    help = "print the version and, in a checkout, the commit"
    parser.add_argument("--version", action="version", version=version, help=help)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument("--scale", type=scale_name, required=True, help="name of the scale, for the record")
    made.add_argument("--inputs", nargs="*", default=[], metavar="NAME=FILE")
    made.add_argument("--outputs", nargs="+", required=True, metavar="NAME=FILE")
    figure = commands.add_parser("figure", parents=[made], help="draw one figure from its tables")
    figure.add_argument("name", help="<document>.<function>, e.g. qiw.fig01_posterior_2d")
    figure.set_defaults(call=_figure)
    for name, call, help in (
        ("provenance", _provenance, "print what made a result"),
        ("config", _config, "check a scale file and print its values"),
    ):
        about = commands.add_parser(name, help=help)
        about.add_argument("file", type=Path)
        about.set_defaults(call=call)
    for package in (data_commands, claims_commands, report_commands, atlas_commands):
        package.register(commands)
    asked = argv[0] if argv else "--help"
    known = [] if asked in commands.choices else experiments()
    for name in [asked] if asked in known else known:  # to read all docstrings takes longer than many a job
        help = digest.summary(experiment_module(name))
        _add_experiment(commands.add_parser(name, parents=[made], help=help), name)
    if not asked.startswith("-") and asked not in commands.choices:
        hint = did_you_mean(asked, commands.choices)
        raise UserError(f"no command '{asked}'{hint}; all of them: python -m elbogap --help")
    return parser.parse_args(argv)


def _add_experiment(parser: argparse.ArgumentParser, name: str) -> None:
    add = parser.add_argument
    add("--settings", type=_json, required=True, help="the experiment's section of the scale file, as JSON")
    add("--keys", nargs="*", default=[], metavar="NAME=VALUE", help="the wildcards of this cell")
    add("--scratch", type=Path, help="folder for checkpoints of unfinished work")
    add("--threads", type=int, default=1)
    add("--gpus", type=int, default=0, help="GPUs granted; 0 computes on the CPU")
    add(
        "--time-budget", type=_seconds, metavar="SECONDS",
        default=os.environ.get("ELBOGAP_TIME_BUDGET", "inf"),
        help="when they have passed, save what is done and stop with status 75; the same command goes on; "
        "default: the environment's ELBOGAP_TIME_BUDGET",
    )  # fmt: skip
    add(
        "--profile", type=Path, metavar="FILE",
        help="make no results: time the long work, and add a row with its pace to the table FILE (CSV)",
    )  # fmt: skip
    add("--profile-seconds", type=_seconds, metavar="S", default=20.0, help="how long to time steps (20)")
    parser.set_defaults(call=_experiment, name=name)


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise UserError(f"--settings: not valid JSON: {error}") from error


def _seconds(text: str) -> float:
    value = float(text)
    if not value >= 0:
        raise ValueError(text)
    return value


def _experiment(options: argparse.Namespace) -> None:
    started = time.perf_counter()
    deadline = time.monotonic() + options.time_budget
    set_up(options.threads)
    name = experiment_module(options.name)
    of_the_runner = frozenset(sys.modules)
    module = importlib.import_module(name)
    source = provenance.source(name)
    settings = validated(module.Settings, options.settings, "--settings")
    inputs, outputs = words.files(options.inputs), words.files(options.outputs)
    keys = words.values(options.keys)
    cell = "-".join([options.name, *keys.values()])
    run = Run(
        scale=options.scale,
        keys=keys,
        inputs=inputs,
        scratch=options.scratch or next(iter(outputs.values())).parent / f".scratch-{cell}",
        threads=options.threads,
        gpus=options.gpus,
        deadline=deadline,
        digests=provenance.verified(inputs.values()),
    )
    if "torch" in sys.modules:
        limit_torch_threads(options.threads)
    if options.gpus and run.device == "cpu":
        print("elbogap: a GPU is granted and torch sees none: computing on the CPU", file=sys.stderr)
    with threadpool_limits(options.threads):
        if options.profile:
            _profile(module, settings, run, options)
            return
        with spending("evaluation"):
            results = module.run(settings, run)
    if set(results) != set(outputs):
        raise UserError(f"{options.name} makes {sorted(results)}, but --outputs names {sorted(outputs)}")
    device, peak_gpu_memory = _gpu(run.device)
    cost = {
        "keys": dict(run.keys),
        "device": run.device,
        "device_name": device,
        "threads": options.threads,
        "wall_s": round(time.perf_counter() - started, 3),
        "peak_memory_mib": round(peak_memory_mib(), 1),
        "peak_gpu_memory_mib": peak_gpu_memory,
    }
    _refuse_undeclared(name, of_the_runner)
    record = provenance.collect(
        source=source, scale=options.scale, settings=settings.model_dump(mode="json"), inputs=run.digests,
        run=cost,
    )  # fmt: skip
    provenance.publish(record, {path: partial(tables.save, results[key]) for key, path in outputs.items()})
    shutil.rmtree(run.scratch, ignore_errors=True)


def _refuse_undeclared(module: str, of_the_runner: frozenset[str]) -> None:
    """A module that was imported by a computed name would escape the rule's code digest: an error."""
    if missed := digest.undeclared(module, ignore=of_the_runner):
        raise UserError(
            f"{module} used {sorted(missed)} without an import statement; add one, so that changes rerun it"
        )


def _profile(module: Any, settings: Any, run: Run, options: argparse.Namespace) -> None:
    from elbogap import profiling

    earlier = profiling.read_paces(options.profile)  # before the work: a mistake is reported at once
    piece = profiling.profile(partial(module.run, settings), run, options.profile_seconds)
    where = {"scale": run.scale, "device": _gpu(run.device)[0] or run.device, "threads": run.threads}
    peak = profiling.peak_gflops(run.device)
    pace = profiling.pace(options.name, run.keys, piece, peak, **where)
    profiling.write_paces([*earlier, pace], options.profile)


def _gpu(device: str) -> tuple[str | None, float | None]:
    """The name of the GPU in use and the peak of its memory in MiB."""
    if device != "cuda":
        return None, None
    import torch

    return torch.cuda.get_device_name(), round(torch.cuda.max_memory_allocated() / 2**20, 1)


def _figure(options: argparse.Namespace) -> None:
    from elbogap import style

    of_the_runner = frozenset(sys.modules)
    document, _, function = options.name.partition(".")
    name = figures_module(document)
    if digest.module_path(name) is None:
        known = [path.parent.name for path in (digest.SOURCE / "papers").glob("*/figures.py")]
        raise UserError(f"no figures of a document '{document}'{did_you_mean(document, known)}")
    module = importlib.import_module(name)
    draw = getattr(module, function, None)
    if not function.startswith("fig") or draw is None:
        hint = did_you_mean(function, (known for known in vars(module) if known.startswith("fig")))
        raise UserError(f"document {document} has no figure '{function}'{hint}")
    source = provenance.source(name)
    inputs, outputs = words.files(options.inputs), words.files(options.outputs)
    expected = set(inspect.signature(draw).parameters)
    if set(inputs) != expected:
        raise UserError(
            f"{options.name} is a function of {sorted(expected)}, but --inputs names {sorted(inputs)}"
        )
    digests = provenance.verified(inputs.values())
    values: Mapping[str, Any] = {
        key: tables.read_arrays(path) if path.suffix == ".npz" else tables.read_table(path)
        for key, path in inputs.items()
    }
    with style.applied():
        with spending("evaluation"):
            save = partial(style.save, draw(**values), source=f"{name}.{function}")
        _refuse_undeclared(name, of_the_runner)
        cost = {"peak_memory_mib": round(peak_memory_mib(), 1)}
        record = provenance.collect(source=source, scale=options.scale, inputs=digests, run=cost)
        provenance.publish(record, dict.fromkeys(outputs.values(), save))


def _provenance(options: argparse.Namespace) -> None:
    result = options.file.with_name(options.file.name.removesuffix(provenance.SUFFIX))
    provenance.verify(result)
    print(json.dumps(provenance.read(result), indent=2))


def _config(options: argparse.Namespace) -> None:
    from elbogap.scales import load

    print(load(options.file).model_dump_json(indent=2))
