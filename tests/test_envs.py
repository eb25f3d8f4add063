"""The lock, the conda environment, the Dockerfile and the project's requirements agree."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[1]


def pinned(lines: list[str]) -> dict[str, str]:
    requirements = [line.split(";")[0].strip() for line in lines if line and not line.startswith("#")]
    return dict(requirement.split("==") for requirement in requirements)


@pytest.fixture(scope="module")
def lock() -> dict[str, str]:
    return pinned((ROOT / "envs/lock.txt").read_text(encoding="utf-8").splitlines())


def test_conda_environment_pins_the_same_versions(lock: dict[str, str]) -> None:
    environment = yaml.safe_load((ROOT / "envs/environment.yaml").read_text(encoding="utf-8"))
    assert pinned(environment["dependencies"][-1]["pip"]) == lock


def test_dockerfile_installs_the_lock_on_the_conda_python() -> None:
    dockerfile = (ROOT / "envs/Dockerfile").read_text(encoding="utf-8")
    environment = yaml.safe_load((ROOT / "envs/environment.yaml").read_text(encoding="utf-8"))
    assert re.search(r"COPY envs/lock\.txt (\S+)\nRUN pip install --no-cache-dir -r \1", dockerfile)
    assert re.search(r"FROM python:(\d+\.\d+)", dockerfile).group(1) in environment["dependencies"][0]


def test_all_say_the_same_of_python() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = project["requires-python"].removeprefix(">=")
    ci = (ROOT / ".ci/run").read_text(encoding="utf-8")
    lowest, newest = re.search(r"for version in (\S+) (\S+); do", ci).groups()
    assert lowest == oldest
    for name in ("README.md", "envs/README.md", "Makefile"):
        said = re.findall(r"Python \d\.[^\n;:,)]*\)?", (ROOT / name).read_text(encoding="utf-8"))
        assert said == [f"Python {oldest} or newer (tested on {lowest} and {newest})"], name
    major, minor = oldest.split(".")
    assert f"sys.version_info < ({major}, {minor})" in (ROOT / "Makefile").read_text(encoding="utf-8")


def test_every_requirement_is_locked_at_an_admitted_version(lock: dict[str, str]) -> None:
    requirements = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
        "dependencies"
    ]
    for requirement in requirements:
        name, least = requirement.split(",")[0].split(">=")
        assert name in lock, f"{name} is not in envs/lock.txt"
        version = tuple(int(part) for part in re.findall(r"\d+", lock[name])[:2])
        assert version >= tuple(int(part) for part in least.split(".")), name


def test_torch_and_torchvision_are_a_matching_pair(lock: dict[str, str]) -> None:
    # torchvision 0.n belongs to torch 2.(n - 14); another pairing lacks operators that pytorch-fid needs
    torch, vision = lock["torch"].split("."), lock["torchvision"].split(".")
    assert int(vision[1]) - int(torch[1]) == 14


def test_the_lock_names_no_host(lock: dict[str, str]) -> None:
    assert "://" not in (ROOT / "envs/lock.txt").read_text(encoding="utf-8")
