"""`python -m elbogap`: see :mod:`elbogap.cli`; experiments and figures run warm where they can."""

import sys

from elbogap import warm

words = sys.argv[1:]
status = warm.forward(words) if words and (words[0] == "figure" or "." in words[0]) else None
if status is None:
    from elbogap.cli import main

    status = main()
sys.exit(status)
