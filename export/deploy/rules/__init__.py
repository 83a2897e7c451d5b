"""Fold rules, one file per family; importing a file registers its rules. ``folding`` has what they share."""

from bitsr.export.deploy.rules import (
    attention,
    baselines,
    bbcu,
    bidiffsr,
    diffusion,
    e2fif,
    ebsr,
    edsr,
    frames,
    frb,
    sr3,
    swinir,
)

__all__ = [
    "attention",
    "baselines",
    "bbcu",
    "bidiffsr",
    "diffusion",
    "e2fif",
    "ebsr",
    "edsr",
    "frames",
    "frb",
    "sr3",
    "swinir",
]
