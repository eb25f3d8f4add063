"""The benchmarks run, tiny, and leave a table with provenance and a picture."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks.libraries import OURS, agree

ROOT = Path(__file__).parents[1]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of two jobs of one rule."""
    results = tmp_path / "results" / "mine"
    (results / "benchmarks").mkdir(parents=True)
    for name, seconds in (("one", 3.0), ("two", 5.0)):
        table = results / f"{name}.csv"
        words = f"--outputs table={table}"
        record = {"rule_name": "train", "wildcards": {"cell": name}, "s": seconds, "params": {"files": words}}
        (results / f"benchmarks/{name}.jsonl").write_text(json.dumps(record), encoding="utf-8")
        spent = {"spent_s": {"training": seconds / 2, "writing": 0.5}}
        table.with_name(f"{name}.csv.provenance.json").write_text(json.dumps(spent), encoding="utf-8")
    return results


def test_they_run_and_agree(tmp_path: Path, run: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "--points", "300", "--training-points", "200",
         "--seconds", "0.02", "--rounds", "1", "--folder", str(tmp_path), "--runs", str(run)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True, capture_output=True,
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "speed.csv").set_index("contender")
    assert (table["median_s"] > 0).all()
    errors = table["worst_error_nats"]
    assert errors["trapezoid, 8,000 nodes"] < errors["trapezoid, 1,000 nodes"]
    libraries = pd.read_csv(tmp_path / "libraries.csv")
    missing = libraries["reason"].notna()
    for name, packages in (("torch", ()), ("pythae", ("pythae",)), ("JAX", ("jax", "optax"))):
        installed = all(map(importlib.util.find_spec, packages))
        assert (missing[libraries["contender"].str.startswith(name)] == (not installed)).all()
    assert (libraries["model_steps_per_s"].isna() == missing).all()
    assert (libraries.loc[~missing, ["model_steps_per_s", "ratio_low"]] > 0).all(axis=None)
    assert libraries.loc[libraries["contender"] == OURS, "ratio"].tolist() == [1] * 6
    (account,) = pd.read_csv(tmp_path / "account.csv").to_dict("records")
    assert account == {
        "scale": "mine", "rule": "train", "jobs": 2, "wall": 8, "start-up": 3, "data": 0, "training": 4,
        "evaluation": 0, "writing": 1,
    }  # fmt: skip
    for name in ("speed", "libraries", "account"):
        assert (tmp_path / f"{name}.png").stat().st_size > 0
        assert (tmp_path / f"{name}.csv.provenance.json").is_file()


def test_contenders_that_train_something_else_are_found_out() -> None:
    random = np.random.default_rng(0)
    losses = {name: random.normal(100, 1, 40) for name in ("a", "b")}
    agree(losses)
    with pytest.raises(AssertionError, match="a and c do not train the same"):
        agree(losses | {"c": losses["b"] + 2})
    with pytest.raises(AssertionError, match="first losses nan"):
        agree({"c": losses["a"] * np.nan} | losses)
