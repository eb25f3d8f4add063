"""Kind B: a result that changed between two runs of the workflow.

Promise: Snakemake shows the one line that names the changed file; once that is deleted, as the line says, the
same command builds what it built before.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TABLE, FIGURE = "results/smoke/qiw/posterior_2d.npz", "figures/smoke/qiw/fig01_posterior_2d.png"


@pytest.mark.dag
def test_a_changed_table_stops_the_workflow_and_is_built_again_when_deleted(tmp_path: Path) -> None:
    command = [str(Path(sys.executable).with_name("snakemake")), "--snakefile", str(ROOT / "Snakefile"),
               "--directory", str(tmp_path), "--cores", "1", "--", FIGURE]  # fmt: skip

    def build() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=600,
        )  # fmt: skip

    first = build()
    assert first.returncode == 0, first.stdout
    table, figure = (tmp_path / name for name in (TABLE, FIGURE))
    before = [table.read_bytes(), figure.read_bytes()]
    table.write_bytes(before[0].replace(b"1", b"2"))
    answer = build()
    assert answer.returncode != 0
    assert f"elbogap: {TABLE}: changed since it was made: sha256 expected " in answer.stdout
    assert f"delete it and build it again: snakemake --cores 1 {TABLE}" in answer.stdout
    table.unlink()
    again = build()
    assert again.returncode == 0, again.stdout
    assert [table.read_bytes(), figure.read_bytes()] == before
