"""The exceptions that are meant for the user, printed as one line without a traceback, and words for them."""

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

Value = TypeVar("Value")

TRY_AGAIN = 75  # exit status of a command that ran out of time: EX_TEMPFAIL of sysexits.h


class UserError(Exception):
    """A mistake or a circumstance that the user can mend: one line, what is wrong and what to do."""


def shown(value: Any, width: int = 80) -> str:
    """A value as Python writes it, cut to `width` characters; of a large one only the beginning is read."""
    words = reprlib.Repr()
    words.maxlevel, words.maxstring, words.maxother, words.maxlong = 3, width, width, width
    text = words.repr(value)
    return text if len(text) <= width else f"{text[: width - 4]} ..."


def shortened(text: object, width: int) -> str:
    """A text in one line, cut to about `width` characters."""
    words = " ".join(str(text).split())
    return words if len(words) <= width else f"{words[:width]} ..."


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The hint ` (did you mean 'x'?)` with the known word that is nearest, or nothing if none is near."""
    close = difflib.get_close_matches(word, list(known), 1)
    return f" (did you mean '{close[0]}'?)" if close else ""


def named(table: Mapping[str, Value], name: str, complaint: str) -> Value:
    """The value of that name; UserError, the complaint with the name and all known ones, if there is none."""
    if name not in table:
        raise UserError(f"{complaint} '{name}'; there are: {', '.join(table)}")
    return table[name]


def refuse_too_large(batch: int, count: int, experiment: str, what: str = "training images") -> None:
    """Raise a UserError for a minibatch that is larger than the training set."""
    if batch > count:
        raise UserError(f"{experiment}: batch {batch} exceeds the {count} {what}")


class Unresolved(UserError):
    """An integral cannot be had: the integrand varies too fast or is not finite. Other models may go on."""


MEMORY_WORDS = ("can't allocate memory", "CUDA error: out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
GPU_WORDS = ("CUDA error", "CUDNN_STATUS", "CUBLAS_STATUS")


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch has a class of its own for GPUs, a plain RuntimeError for CPUs."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or any(words in str(error) for words in MEMORY_WORDS)


def circumstance(error: BaseException) -> str | None:
    """What a failure of the machine, not of the program, means to the user; None for all others."""
    first = str(error).strip().partition("\n")[0]
    if out_of_memory(error):
        return f"out of memory ({first}); use smaller chunks, fewer jobs or another machine, then run again"
    if isinstance(error, OSError):
        return f"{first}; mend it and run the same command again: finished results are kept"
    if type(error).__name__ == "AcceleratorError" or any(words in str(error) for words in GPU_WORDS):
        return f"the GPU failed ({first}); run the same command again, it goes on from the last checkpoint"
    return None


class OutOfTime(Exception):
    """The time budget is spent; everything done is checkpointed, so the same command goes on from there."""
