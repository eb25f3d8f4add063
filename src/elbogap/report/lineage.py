"""What a product was made from, and what it cost: provenance records followed upstream, and benchmarks."""

import functools
import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from elbogap import provenance
from elbogap.places import Places, visible
from elbogap.report.costs import COLUMNS


@dataclass(frozen=True)
class MeasuredJob:
    """One job of the workflow as Snakemake measured it.

    Attributes:
        rule: its rule, with the wildcards of the cell, e.g. `mapa_posterior[problem=circle]`.
        seconds: wall time.
        max_rss_mib: peak memory in MiB; NaN for a job too short to be sampled. The record of its results may
            know better.
        threads: how many it was given, if that is recorded.
        outputs: the files it made, as its command line names them.
    """

    rule: str
    seconds: float
    max_rss_mib: float
    threads: int | None
    outputs: tuple[str, ...]


def label(rule: str, wildcards: Mapping[str, str]) -> str:
    """A rule and its cell, `rule[name=value, ...]` by name; the scale is not part of it."""
    cell = ", ".join(f"{name}={wildcards[name]}" for name in sorted(wildcards) if name != "scale")
    return f"{rule}[{cell}]" if cell else rule


def jobs(benchmarks: Path) -> list[MeasuredJob]:
    """The jobs in a folder of Snakemake's extended benchmark records (JSON lines, the last one counts)."""
    return [job for path in visible(benchmarks, "**/*.jsonl") if (job := _job(path))]


def _job(path: Path) -> MeasuredJob | None:
    try:
        *_, last = filter(str.strip, path.read_text(encoding="utf-8").split("\n"))
        record = json.loads(last)
    except (OSError, ValueError):
        return None
    if not isinstance(record, dict):
        return None
    words = shlex.split((record.get("params") or {}).get("files") or "")
    behind = [*dropwhile(lambda word: word != "--outputs", words)][1:]
    outputs = takewhile(lambda word: not word.startswith("--"), behind)
    measured = pd.to_numeric(pd.Series([record.get("s"), record.get("max_rss")]), errors="coerce")
    return MeasuredJob(
        rule=label(record.get("rule_name") or path.stem, record.get("wildcards") or {}),
        seconds=float(measured[0]),
        max_rss_mib=float(measured[1]),
        threads=record.get("threads"),
        outputs=tuple(word.partition("=")[2] for word in outputs),
    )


class Lineage:
    """The provenance records and the measured jobs of a run, by product."""

    def __init__(self, places: Places, scale: str) -> None:
        """Of the run of a scale; products are named relative to the folder of the run."""
        self.places, self.scale = places, scale
        measured = jobs(places.results(scale) / "benchmarks")
        self.producers = {output: job for job in measured for output in job.outputs}
        self.record = functools.cache(self._record)

    def _record(self, product: str) -> dict[str, Any]:
        """What made a product; empty if there is no record beside it.

        Raises:
            UserError: the record is damaged.
        """
        path = self.places.work / product
        return provenance.read(path) if provenance.path_for(path).is_file() else {}

    def upstream(self, products: Iterable[str]) -> list[str]:
        """The given products and everything that their records say they were made from."""
        found: dict[str, None] = {}
        waiting = list(products)
        while waiting:
            product = waiting.pop(0)
            if product not in found:
                found[product] = None
                waiting.extend(self.record(product).get("inputs", {}))
        return list(found)

    def rests_on_stand_in(self, products: Iterable[str]) -> bool:
        """Whether any data set upstream is a declared stand-in."""
        upstream = self.upstream(products)
        return any(
            d.get("kind") == "stand-in" for name in upstream for d in self.record(name).get("data", [])
        )

    def costs(self, products: Iterable[str]) -> pd.DataFrame:
        """The measured jobs behind some products, each once: all cost columns from the rule on."""
        rows: dict[str, tuple[Any, ...]] = {}
        for product in self.upstream(products):
            if job := self.producers.get(product):
                run = self.record(product).get("run", {})
                memory = run.get("peak_memory_mib", job.max_rss_mib)
                device, on_gpu = run.get("device_name") or run.get("device"), run.get("peak_gpu_memory_mib")
                cost = job.rule, job.seconds, memory, job.threads, device, on_gpu
                rows.setdefault(job.rule, cost)
        return pd.DataFrame(rows.values(), columns=COLUMNS[3:])
