"""The `bitsr` command. Every module here handles arguments and output only."""

import sys
from collections.abc import Sequence

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code. Ctrl-C is no traceback, not even while modules are loaded."""
    try:
        from bitsr.cli.app import run

        return run(arguments)
    except KeyboardInterrupt:
        print("error: interrupted", file=sys.stderr)
        return INTERRUPTED
