"""What is timed where no picture is given: a time can depend on the values, and a photo's are not noise."""

import math

import torch
from torch import Tensor

# Sides of patches of one value in pixels, and how much of the whole contrast each has.
_PATCHES = ((16, 0.625), (4, 0.25), (1, 0.125))


def photo_pattern(shape: tuple[int, ...], *, seed: int = 0) -> Tensor:
    """A map of ``shape`` (N, C, H, W) in [0, 1]: patches that hold patches, as a photo has areas, edges and texture.

    Kernels of integers take more time for values that photos do not have, as the noise that `torch.rand` gives.
    """
    generator = torch.Generator().manual_seed(seed)
    *planes, height, width = shape
    total = torch.zeros(shape)
    for side, contrast in _PATCHES:
        rows, columns = math.ceil(height / side), math.ceil(width / side)
        patches = torch.rand((*planes, rows, columns), generator=generator)
        whole = patches.repeat_interleave(side, dim=-2).repeat_interleave(side, dim=-1)
        total += contrast * whole[..., :height, :width]
    return total
