"""`python -m elbogap`: see :mod:`elbogap.cli`."""

import sys

from elbogap.cli import main

sys.exit(main())
