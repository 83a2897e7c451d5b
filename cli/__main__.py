"""``python -m bitsr.cli``: the `bitsr` command where its script is not on the path."""

import sys

from bitsr.cli.app import main

sys.exit(main())
