"""The subcommands `plan`, `run` and `profile`."""

import argparse
import math
from pathlib import Path
from typing import Any

from elbogap.budget import add_time_budget, deadline_of


def register(commands: Any) -> None:
    """Add the subcommands to the command line."""
    plan = commands.add_parser("plan", help="write the list of jobs of a scale (needs Snakemake)")
    plan.add_argument("--scale", required=True)
    plan.set_defaults(call=_plan)

    run = commands.add_parser("run", help="run the jobs of a scale without Snakemake")
    _add_jobs(run)
    add_time_budget(run)
    run.add_argument("--list", action="store_true", help="run nothing; list the jobs and what they cost")
    run.set_defaults(call=_run)

    profile = commands.add_parser(
        "profile", help="measure the pace of jobs, and how busy they keep the device"
    )
    _add_jobs(profile)
    profile.add_argument(
        "--jobs", nargs="*", default=[], metavar="RULE[CELL]",
        help="names or beginnings of names as run --list shows them; default: one of each rule with a GPU",
    )  # fmt: skip
    profile.add_argument("--seconds", type=float, default=20.0, help="how long to time each (20)")
    profile.add_argument(
        "--table", type=Path, default=Path("results/profile.csv"),
        help="where to add the rows (results/profile.csv)",
    )  # fmt: skip
    profile.set_defaults(call=_profile)


def _add_jobs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--scale", required=True)
    parser.add_argument(
        "--targets", nargs="*", default=[], metavar="DOCUMENT[/NAME]", help="e.g. qiw air/tab01; default: all"
    )
    parser.add_argument(
        "--out", type=Path, default=Path(), help="folder of results/ and figures/; default: here"
    )
    parser.add_argument("--threads", type=int, default=1, help="threads of each job")
    parser.add_argument("--gpus", type=int, help="GPUs to compute on; default: 1 if there is one")


def _plan(options: argparse.Namespace) -> None:
    from elbogap.plan import jobs
    from elbogap.plan.ask import ask, made_from, stored

    found, path = ask(options.scale), stored(options.scale)
    jobs.write(found, made_from(options.scale), path)
    print(f"{path}: {len(found)} jobs")


def _run(options: argparse.Namespace) -> None:
    from elbogap.plan import jobs
    from elbogap.plan.ask import jobs_now
    from elbogap.plan.costs import seconds_by_cell
    from elbogap.plan.work import Means, progress, work
    from elbogap.report.numbers import duration

    deadline = deadline_of(options.time_budget)
    everything = jobs_now(options.scale)
    wanted = jobs.needed(everything, jobs.products(everything, options.targets))
    seconds = seconds_by_cell(options.scale)
    if options.list:
        for job in wanted:
            print(f"{duration(seconds.get(job.rule, math.nan)):>10}  {job.rule}")
        print(progress(wanted, len(wanted), seconds))
        return
    gpus = _gpus() if options.gpus is None else options.gpus
    options.out.mkdir(parents=True, exist_ok=True)
    work(wanted, seconds, Means(options.out, gpus, options.threads, deadline))


def _profile(options: argparse.Namespace) -> None:
    from elbogap.errors import UserError
    from elbogap.plan import jobs
    from elbogap.plan.ask import jobs_now
    from elbogap.plan.profile import add, one_of_each, profile
    from elbogap.plan.work import Means

    everything = jobs_now(options.scale)
    wanted = jobs.needed(everything, jobs.products(everything, options.targets))
    experiments = [job for job in wanted if "--settings" in job.words]
    chosen = one_of_each(experiments)
    if options.jobs:
        chosen = [job for job in experiments if job.rule.startswith(tuple(options.jobs))]
        if not chosen:
            raise UserError(f"no experiment is called {' or '.join(options.jobs)}; run --list names all jobs")
    gpus = _gpus() if options.gpus is None else options.gpus
    options.out.mkdir(parents=True, exist_ok=True)
    means = Means(options.out, gpus, options.threads, math.inf)
    measured = []
    for row in profile(chosen, options.scale, options.seconds, means):
        add(row, options.table)  # at once: the next may be stopped
        measured.append(row["rule"])
    if not measured:
        raise UserError("nothing was measured, see above")
    print(f"{options.table}: {len(measured)} jobs measured")


def _gpus() -> int:
    """1 where torch sees a GPU, else 0."""
    import torch

    return int(torch.cuda.is_available())
