"""The exceptions that are meant for the user: printed as one line, without a traceback."""


class UserError(Exception):
    """A mistake or a circumstance that the user can mend: one line, what is wrong and what to do."""


class Unresolved(UserError):
    """An integral cannot be had: the integrand varies too fast or is not finite. Other models may go on."""


class OutOfTime(Exception):
    """The time budget is spent; everything done is checkpointed, so the same command goes on from there."""
