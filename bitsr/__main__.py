"""``python -m bitsr``: the command line."""

import sys

from bitsr.cli import main

sys.exit(main())
