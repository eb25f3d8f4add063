"""Write lock.txt and environment.yaml from what is installed: `make lock`."""

import re
from importlib import metadata
from pathlib import Path

# Wheels that exist on Linux alone; elsewhere torch does not ask for them.
LINUX_ONLY = re.compile(r"nvidia-|cuda-|triton$")
OMITTED = {"pip", "elbogap"}
HEADER = "# Written by envs/lock.py (`make lock`). Change torch and torchvision together: they are a pair.\n"


def lock_lines() -> list[str]:
    """One pip requirement per installed package."""
    installed = {(re.sub(r"[-_.]+", "-", d.name).lower(), d.version) for d in metadata.distributions()}
    return [
        f"{name}=={version}" + (' ; sys_platform == "linux"' if LINUX_ONLY.match(name) else "")
        for name, version in sorted(installed)
        if name not in OMITTED
    ]


def environment(lines: list[str]) -> str:
    """The conda environment with the same packages; Snakemake copies it, so it names no other file."""
    head = ["name: elbogap", "channels:", "  - conda-forge", "  - nodefaults"]
    head += ["dependencies:", "  - python=3.11", "  - pip", "  - pip:"]
    return HEADER + "\n".join([*head, *(f"      - '{line}'" for line in lines)]) + "\n"


if __name__ == "__main__":
    folder = Path(__file__).parent
    found = lock_lines()
    (folder / "lock.txt").write_text(HEADER + "\n".join(found) + "\n", encoding="utf-8")
    (folder / "environment.yaml").write_text(environment(found), encoding="utf-8")
