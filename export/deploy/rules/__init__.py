"""Fold rules, one file per family; importing a file registers its rules. ``folding`` has what they share."""

from bitsr.export.deploy.rules import (
    e2fif,
    ebsr,
    edsr,
)

__all__ = ["e2fif", "ebsr", "edsr"]
