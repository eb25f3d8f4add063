"""What a product was made from, and what it cost: provenance records followed upstream, and benchmarks."""

import functools
import json
import shlex
from collections.abc import Iterable
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from elbogap import provenance
from elbogap.modules import label
from elbogap.places import Places, visible
from elbogap.report.costs import COLUMNS


class MeasuredJob(NamedTuple):
    """One job of the workflow as Snakemake measured it."""

    rule: str  # with the wildcards of the cell, e.g. `mapa_posterior[problem=circle]`
    seconds: float
    max_rss_mib: float  # NaN for a job too short to be sampled
    threads: int | None
    outputs: tuple[str, ...]  # as its command line names them


def jobs(benchmarks: Path) -> list[MeasuredJob]:
    """The jobs in a folder of Snakemake's extended benchmark records (JSON lines, the last one counts)."""
    found = []
    for path in visible(benchmarks, "**/*.jsonl"):
        try:
            *_, last = filter(str.strip, path.read_text(encoding="utf-8").split("\n"))
            record = json.loads(last)
        except (OSError, ValueError):
            continue
        if isinstance(record, dict):
            words = shlex.split((record.get("params") or {}).get("files") or "")
            behind = [*dropwhile(lambda word: word != "--outputs", words)][1:]
            outputs = takewhile(lambda word: not word.startswith("--"), behind)
            seconds, memory = pd.to_numeric([record.get("s"), record.get("max_rss")], errors="coerce")
            rule = label(record.get("rule_name") or path.stem, record.get("wildcards") or {})
            files = tuple(word.partition("=")[2] for word in outputs)
            found.append(MeasuredJob(rule, float(seconds), float(memory), record.get("threads"), files))
    return found


class Lineage:
    """The provenance records and the measured jobs of a run, by product (a path from the run's folder)."""

    def __init__(self, places: Places, scale: str) -> None:
        """Read the benchmarks of a scale."""
        self.places, self.scale = places, scale
        measured = jobs(places.results(scale) / "benchmarks")
        self.producers = {output: job for job in measured for output in job.outputs}
        self.record = functools.cache(self._record)

    def _record(self, product: str) -> dict[str, Any]:
        """What made a product; empty if there is no record beside it."""
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
        data = (data for name in self.upstream(products) for data in self.record(name).get("data", []))
        return any(record.get("kind") == "stand-in" for record in data)

    def costs(self, products: Iterable[str]) -> pd.DataFrame:
        """The measured jobs behind some products, each once: all cost columns from the rule on."""
        rows: dict[str, tuple[Any, ...]] = {}
        for product in self.upstream(products):
            if job := self.producers.get(product):
                run = self.record(product).get("run", {})
                memory = run.get("peak_memory_mib", job.max_rss_mib)  # Snakemake may see the caller alone
                device, on_gpu = run.get("device_name") or run.get("device"), run.get("peak_gpu_memory_mib")
                rows.setdefault(job.rule, (job.rule, job.seconds, memory, job.threads, device, on_gpu))
        return pd.DataFrame(rows.values(), columns=COLUMNS[3:])
