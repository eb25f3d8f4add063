"""Copies of the project, as a fresh clone would be, and one finished smoke run that the tests share."""

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SNAKEMAKE = Path(sys.executable).with_name("snakemake")


@dataclass(frozen=True)
class Project:
    """A copy of the project in a folder of its own, with an empty data cache and no mirror."""

    folder: Path

    @property
    def log(self) -> str:
        """What Snakemake printed while the shared run was built."""
        return (self.folder / "build.log").read_text(encoding="utf-8")

    @property
    def environment(self) -> dict[str, str]:
        ours = ("ELBOGAP_", "PYTHONDONTWRITE")
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return {**inherited, "ELBOGAP_CACHE": str(self.folder.parent / "cache")}

    def command(self, *words: str) -> list[str]:
        return [str(SNAKEMAKE), "--cores", "2", *words]

    def snakemake(self, *words: str, timeout: float = 1800) -> subprocess.CompletedProcess[str]:
        """Run Snakemake; its two output streams come back as one."""
        return subprocess.run(
            self.command(*words), cwd=self.folder, env=self.environment, timeout=timeout, check=False,
            text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    def edit(self, path: str, old: str, new: str) -> None:
        file = self.folder / path
        text = file.read_text(encoding="utf-8")
        assert old in text, f"{path} does not contain {old!r}"
        file.write_text(text.replace(old, new, 1), encoding="utf-8")

    def jobs(self, *words: str) -> dict[str, int]:
        """How many jobs of each rule a dry run wants."""
        answer = self.snakemake("-n", "--quiet", "rules", "--", *words)
        assert answer.returncode == 0, answer.stdout
        rows = re.findall(r"^(\w+) +(\d+)$", answer.stdout, re.MULTILINE)
        return {rule: int(count) for rule, count in rows if rule != "total"}

    def results(self, scale: str = "smoke") -> dict[str, bytes]:
        """The content of each table and array file of a scale."""
        folder = self.folder / "results" / scale
        kinds = {".csv", ".npz"}
        files = [p for p in sorted(folder.rglob("*")) if p.suffix in kinds and not p.name.startswith(".")]
        return {str(p.relative_to(folder)): p.read_bytes() for p in files}


def copy_project(folder: Path) -> Project:
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    for name in listed.stdout.splitlines():
        source = ROOT / name
        if source.is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, folder / name)
    return Project(folder)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A fresh copy in which nothing has been built."""
    return copy_project(tmp_path / "elbogap")


@pytest.fixture(scope="session")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy with the whole smoke scale built by one command."""
    project = copy_project(tmp_path_factory.mktemp("smoke") / "elbogap")
    answer = project.snakemake("smoke")
    (project.folder / "build.log").write_text(answer.stdout, encoding="utf-8")
    assert answer.returncode == 0, answer.stdout[-6000:]
    return project


@pytest.fixture
def built(smoke: Project, tmp_path: Path) -> Project:
    """A private copy of the finished smoke run, for tests that edit something and look what reruns."""
    folder = tmp_path / "elbogap"
    shutil.copytree(smoke.folder, folder, copy_function=shutil.copy2)
    return Project(folder)
