"""The exceptions that are meant for the user: printed as one line, without a traceback."""


class UserError(Exception):
    """A mistake or a circumstance that the user can mend: one line, what is wrong and what to do."""


class Unresolved(UserError):
    """An integral cannot be had: the integrand varies too fast or is not finite. Other models may go on."""


def out_of_memory(error: BaseException) -> bool:
    """Whether memory ran out: torch has a class of its own for GPUs, a plain RuntimeError for CPUs."""
    known = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return known or "can't allocate memory" in str(error)


def circumstance(error: BaseException) -> str | None:
    """What a failure of the machine, not of the program, means to the user; None for all others."""
    first = str(error).strip().partition("\n")[0]
    if out_of_memory(error):
        return f"out of memory ({first}); use smaller chunks, fewer jobs or another machine, then run again"
    if isinstance(error, OSError):
        return f"{first}; mend it and run the same command again: finished results are kept"
    if type(error).__name__ == "AcceleratorError" or "CUDA error" in str(error):
        return (
            f"the GPU failed ({first}); run the same command again, it goes on from the last checkpoint, or "
            "compute on the CPU with --gpus 0"
        )
    return None


class OutOfTime(Exception):
    """The time budget is spent; everything done is checkpointed, so the same command goes on from there."""
