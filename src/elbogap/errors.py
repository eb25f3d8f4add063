"""The one exception whose message is meant for the user and printed without a traceback."""


class UserError(Exception):
    """A mistake or a circumstance that the user can mend: one line, what is wrong and what to do."""
