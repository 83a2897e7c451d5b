"""Sizes that an artefact is validated with: its only one, or what its budget of pixels allows."""

import math

from bitsr.export.artifact import SizeRules


def fixed_side(sizes: SizeRules) -> int | None:
    """Side of the square that is the only input, ``None`` where there is a choice."""
    only = sizes.min_side == sizes.multiple and sizes.max_pixels == sizes.min_side**2
    return sizes.min_side if only else None


def part_side(sizes: SizeRules, *, most: int) -> int:
    """Side of a square input: the only one, or the largest that is not above ``most``."""
    largest = min(most, math.isqrt(sizes.max_pixels))
    return max(largest - largest % sizes.multiple, sizes.min_side)
