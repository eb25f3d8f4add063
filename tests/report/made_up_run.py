"""A small finished run with made-up numbers: a figure and a table that are built, and a missing figure."""

import functools
import io
import json
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from elbogap.places import Places
from elbogap.provenance import publish
from published import write_result

CHECKOUT = Path(__file__).parents[2]

NOTES = """# qiw

## Protocol

The *marginal* **q_IW** with `k` samples, see [the poster](https://arxiv.org/abs/1704.02916):

1. draw `k - 1` others; #strong[not typst] $x$ <label> @ref
2. average.

| k | KL |
| --- | ---: |
| 1 | 0.445 |

```
log_w = log_p - log_q
```
"""

CLAIMS = """claims:
  - id: qiw-kl-falls-with-k
    item: "Figure 1"
    statement: "KL falls with k."
    table: qiw/tab01_bounds.csv
    check: {kind: monotone, metric: kl, along: k, direction: decreasing}
    nature: identity
    origin: ours
    exact: true
    scales:
      smoke: {status: require, tolerance: 0.01}
      laptop: {status: require, tolerance: 0.01}
      paper: {status: require, tolerance: 0.01}
"""

SHA = "4c52be9252dbe88bbfe8db441ee117c3d1a6be9e80c71f41601869445a1622a5"
RECORD = {
    "dataset": "binarized_mnist",
    "kind": "stand-in",
    "variant": "synthetic",
    "files": [{"name": "binarized_mnist.npz", "sha256": SHA}],
    "licence": "CC BY-SA 3.0",
    "citation": "Larochelle and Murray 2011",
    "note": "made up",
    "state": "stand-in",
}


def provenance(module: str, inputs: list[str], *, data: list[dict] | None = None) -> dict:
    return {
        "module": module,
        "settings": {"seed": 0, "adam": {"rate": 1e-4}} if "experiments" in module else {},
        "git": {"commit": "0123456789abcdef", "dirty": False},
        "inputs": dict.fromkeys(inputs, "0" * 64),
        "data": data or [],
        "versions": {"torch": "2.12.0"},
        "platform": {"python": "3.11.9", "machine": "x86_64", "system": "Linux"},
        "run": {"device": "cpu", "device_name": None, "threads": 1, "wall_s": 2.0},
    }


def write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(content, str):
        path.write_text(content, encoding="utf-8")
    else:
        path.write_text(json.dumps(content), encoding="utf-8")


@functools.cache
def drawing(suffix: str) -> bytes:
    """A figure as a file of this kind."""
    figure, file = Figure(figsize=(3.4, 2.0)), io.BytesIO()
    figure.subplots().plot([0, 1], [0, 1])
    figure.savefig(file, format=suffix)
    return file.getvalue()


def draw(path: Path) -> None:
    path.write_bytes(drawing(path.suffix.removeprefix(".")))


def finished_run(folder: Path) -> Places:
    """A project with captions, notes and claims, and a run at scale smoke."""
    project, work = folder / "project", folder / "work"
    for source in (*CHECKOUT.glob("paper/*.typ"), *CHECKOUT.glob("paper/*/paper.yaml")):
        write(project / source.relative_to(CHECKOUT), source.read_text(encoding="utf-8"))
    texts = project / "paper" / "qiw"
    write(texts / "notes.md", NOTES)
    write(texts / "claims.yaml", CLAIMS)
    write(texts / "published" / "tab01_bounds.csv", "k,kl_published\n1,0.445\n10,0.031\n")
    captions = {
        "fig01_posterior_2d": "**Figure 1: The density of q_IW**\n\nGrid of *101 x 101* points.",
        "tab01_bounds": "**Table 1 (ours): Bounds in nats**\n\nAverages over 4000 batches.",
        "fig03_posterior_1d": "**Figure 3: One-dimensional panels**\n",
    }
    for name, caption in captions.items():
        write(texts / "captions" / f"{name}.rst", caption)

    results, figures = work / "results" / "smoke", work / "figures" / "smoke"
    bounds = pd.DataFrame(
        {"document": "qiw", "k": [1, 10, 100], "kl": [0.4449123, 0.0312345, 0.00078], "data": "real"}
    )
    module, record = "elbogap.papers.qiw.experiments.posterior_2d", "results/smoke/data/binarized_mnist.json"
    made_by = provenance(module, [record], data=[RECORD])
    write_result(results / "qiw" / "tab01_bounds.csv", bounds, made_by)
    write(results / "qiw" / "density.csv.provenance.json", made_by)
    drawn_by = provenance("elbogap.papers.qiw.figures", ["results/smoke/qiw/density.csv"])
    drawings = {figures / "qiw" / f"fig01_posterior_2d.{suffix}": draw for suffix in ("pdf", "png")}
    publish(drawn_by, drawings)
    write_result(results / "data" / "binarized_mnist.json", RECORD)
    claim = {
        "id": "qiw-kl-falls-with-k", "document": "qiw", "item": "Figure 1",
        "statement": "KL falls below 1e-2.", "kind": "monotone", "nature": "finding", "origin": "document",
        "scale": "smoke", "status": "require", "verdict": "reproduced",
        "criterion": "kl decreasing along k, up to 0.01 a step", "measured": "0.4449123, 0.00078",
        "effect": -0.0304, "ci_low": -0.04, "ci_high": -0.02, "replicates": 3, "needed": None, "holding": 1,
        "contradicted": 0, "undecided": 0, "published": "0.445", "source": "poster", "tolerance": 0.01,
        "detail": "", "note": "",
    }  # fmt: skip
    write_result(results / "claims.csv", pd.DataFrame([claim]))
    write_result(results / "claims_effects.csv", pd.DataFrame({"id": [claim["id"]], "effect": "kl"}))
    benchmark = {
        "s": 12.5, "max_rss": 850.2, "rule_name": "qiw_posterior_2d", "wildcards": {"scale": "smoke"},
        "threads": 1,
        "params": {
            "files": f"--inputs data={record} "
            "--outputs bounds=results/smoke/qiw/tab01_bounds.csv density=results/smoke/qiw/density.csv"
        },
    }  # fmt: skip
    write(results / "benchmarks" / "qiw" / "posterior_2d.jsonl", json.dumps(benchmark) + "\n")
    return Places(project=project, work=work)
