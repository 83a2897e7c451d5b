"""Folds, one file per family; importing a file registers its folds. ``common`` has what they share."""

from bitsr.export.deploy.folds import (  # noqa: F401
    attention,
    backbones,
    baselines,
    bbcu,
    bidiffsr,
    compact,
    diffusion,
    e2fif,
    ebsr,
    edsr,
    frb,
    scales,
    sr3,
    swinir,
    transposed,
)
