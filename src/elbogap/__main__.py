"""`python -m elbogap`: see :mod:`elbogap.cli`; commands of a run of Snakemake run warm where they can."""

import sys

from elbogap import warm

status = warm.forward(sys.argv[1:])
if status is None:
    from elbogap.cli import main

    status = main()
sys.exit(status)
