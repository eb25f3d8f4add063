"""What a product rests on, and what it cost: provenance records followed upstream, benchmarks beside them."""

import json
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

import pandas as pd

from elbogap import provenance
from elbogap.places import visible

COST_COLUMNS = [
    "document", "target", "scale", "rule", "seconds", "max_rss_mib", "threads", "device", "max_gpu_mib"
]  # fmt: skip


@dataclass(frozen=True)
class MeasuredJob:
    """One job of the workflow as Snakemake measured it.

    Attributes:
        rule: its rule, with the wildcards of the cell, e.g. `mapa_posterior[problem=circle]`.
        seconds: wall time.
        max_rss_mib: peak memory in MiB; NaN for a job too short to be sampled.
        threads: how many it was given, if that is recorded.
        outputs: the files it made, as its command line names them.
    """

    rule: str
    seconds: float
    max_rss_mib: float
    threads: int | None
    outputs: tuple[str, ...]

    @property
    def drawn_for(self) -> str | None:
        """The document whose figure it drew; None for other jobs."""
        figures = [path.split("/") for path in self.outputs if path.startswith("figures/")]
        return figures[0][2] if figures else None


def label(rule: str, wildcards: Mapping[str, str]) -> str:
    """A rule and its cell, `rule[name=value, ...]` by name; the scale is not part of it."""
    cell = ", ".join(f"{name}={wildcards[name]}" for name in sorted(wildcards) if name != "scale")
    return f"{rule}[{cell}]" if cell else rule


def jobs(benchmarks: Path) -> list[MeasuredJob]:
    """The jobs in a folder of Snakemake's extended benchmark records (JSON lines, the last one counts)."""
    return [job for path in visible(benchmarks, "**/*.jsonl") if (job := _job(path))]


def _job(path: Path) -> MeasuredJob | None:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        record = json.loads(next(line for line in reversed(lines) if line.strip()))
    except (OSError, StopIteration, ValueError):
        return None
    if not isinstance(record, dict):
        return None
    files = (record.get("params") or {}).get("files") or ""
    return MeasuredJob(
        rule=label(record.get("rule_name") or path.stem, record.get("wildcards") or {}),
        seconds=_float(record.get("s")),
        max_rss_mib=_float(record.get("max_rss")),
        threads=record.get("threads"),
        outputs=_outputs(shlex.split(files)),
    )


def _float(value: Any) -> float:
    return float(pd.to_numeric(value, errors="coerce")) if value is not None else float("nan")


def _outputs(words: Sequence[str]) -> tuple[str, ...]:
    """The files of the `NAME=FILE` words of a command behind `--outputs`, up to the next option."""
    behind = [*dropwhile(lambda word: word != "--outputs", words)][1:]
    return tuple(word.partition("=")[2] for word in takewhile(lambda word: not word.startswith("--"), behind))


class Lineage:
    """The provenance records of a run, by product."""

    def __init__(self, work: Path) -> None:
        """Read records in `work`, the folder that the recorded paths are relative to."""
        self._work = work
        self._records: dict[str, dict[str, Any] | None] = {}

    def record(self, product: str) -> dict[str, Any] | None:
        """What made a product, or None where no record stands beside it.

        Raises:
            UserError: the record is damaged.
        """
        if product not in self._records:
            path = self._work / product
            stands = provenance.path_for(path).is_file()
            self._records[product] = provenance.read(path) if stands else None
        return self._records[product]

    def upstream(self, products: Iterable[str]) -> list[str]:
        """The given products and everything that their records say they were made from."""
        found: dict[str, None] = {}
        waiting = list(products)
        while waiting:
            product = waiting.pop(0)
            if product not in found:
                found[product] = None
                waiting.extend((self.record(product) or {}).get("inputs", {}))
        return list(found)

    def rests_on_stand_in(self, products: Iterable[str]) -> bool:
        """Whether any data set upstream is a declared stand-in."""
        return any(data.get("kind") == "stand-in" for data in self._data(products))

    def _data(self, products: Iterable[str]) -> Iterator[dict[str, Any]]:
        for product in self.upstream(products):
            yield from (self.record(product) or {}).get("data", [])

    def costs(self, products: Iterable[str], measured: Iterable[MeasuredJob]) -> list[dict[str, Any]]:
        """The measured jobs behind some products: rows of all cost columns from the rule on."""
        producer = {output: job for job in measured for output in job.outputs}
        rows: dict[str, dict[str, Any]] = {}
        for product in self.upstream(products):
            job = producer.get(product)
            if job is not None and job.rule not in rows:
                run = (self.record(product) or {}).get("run", {})
                rows[job.rule] = {
                    "rule": job.rule,
                    "seconds": job.seconds,
                    "max_rss_mib": job.max_rss_mib,
                    "threads": job.threads,
                    "device": run.get("device_name") or run.get("device"),
                    "max_gpu_mib": run.get("peak_gpu_memory_mib"),
                }
        return list(rows.values())
