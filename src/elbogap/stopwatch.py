"""What the time of this process is spent on."""

import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

_spent: defaultdict[str, float] = defaultdict(float)
_inside: list[str] = []
_since: float = 0.0


@contextmanager
def spending(what: str) -> Iterator[None]:
    """Count the time inside, but for that of other calls in it, which counts there alone."""
    _count()
    _inside.append(what)
    try:
        yield
    finally:
        _count()
        _inside.pop()


def spent() -> dict[str, float]:
    """Seconds until now, by what they were spent on."""
    _count()
    return {what: round(seconds, 3) for what, seconds in sorted(_spent.items())}


def _count() -> None:
    global _since
    now = time.perf_counter()
    if _inside:
        _spent[_inside[-1]] += now - _since
    _since = now
