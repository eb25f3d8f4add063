"""Print the installed packages as lock lines: `.venv/bin/python envs/lock.py > envs/lock.txt` (`make lock`)."""

import re
from importlib import metadata

# Wheels that exist on Linux alone; elsewhere torch does not ask for them.
LINUX_ONLY = re.compile(r"nvidia-|cuda-|triton$")
OMITTED = {"pip", "elbogap"}

print("# Written by envs/lock.py (`make lock`); torch and torchvision are a matching pair: change them together.")
for name, version in sorted({(re.sub(r"[-_.]+", "-", d.name).lower(), d.version) for d in metadata.distributions()}):
    if name not in OMITTED:
        marker = ' ; sys_platform == "linux"' if LINUX_ONLY.match(name) else ""
        print(f"{name}=={version}{marker}")
