"""The benchmarks run, tiny, and leave a table with provenance and a picture."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).parents[1]


def test_they_run_and_agree(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, "-m", "benchmarks", "--points", "300", "--training-points", "200",
         "--seconds", "0.02", "--rounds", "1", "--folder", str(tmp_path)],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT / "src")}, check=True, capture_output=True,
    )  # fmt: skip
    table = pd.read_csv(tmp_path / "speed.csv").set_index("contender")
    assert (table["median_s"] > 0).all()
    errors = table["worst_error_nats"]
    assert errors["trapezoid, 8,000 nodes"] < errors["trapezoid, 1,000 nodes"]
    training = pd.read_csv(tmp_path / "training.csv")
    assert (training["model_steps_per_s"] > 0).all()
    assert training["flops_share"].between(0, 1.5).all()
    plain = training["contender"] == "plain loop"
    assert training.loc[plain, "ratio"].tolist() == [1, 1, 1]
    for name in ("speed", "training"):
        assert (tmp_path / f"{name}.png").stat().st_size > 0
        assert (tmp_path / f"{name}.csv.provenance.json").is_file()
