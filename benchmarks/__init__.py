"""Side-by-side speed measurements: `make bench`, or `python -m benchmarks` with `src` on the path."""

import os


def available_cores() -> int:
    """The cores that this process may use, or all where the system, such as macOS, does not tell."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
