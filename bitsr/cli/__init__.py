"""The `bitsr` command. Every module here handles arguments and output only."""

from bitsr.cli.app import main

__all__ = ["main"]
