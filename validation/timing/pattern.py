"""What is timed where no picture is given: a time can depend on the values, and a photo's are not noise."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitsr.common.mixing import mix_bits

# Sides of patches of one grey in pixels, and how much of the whole contrast each has; the planes of a picture differ by
# less. As in runtime/pattern/photo_pattern.h, number for number.
_PATCHES = ((16, 0.625), (4, 0.25), (1, 0.0625))
_COLOUR = (16, 0.0625)


def photo_pattern(shape: tuple[int, ...]) -> Tensor:
    """A map of ``shape`` (N, C, H, W) in [0, 1]: patches that hold patches, as a photo has areas, edges and texture.

    The same numbers as `bitsr-run` takes where it is given no picture. Kernels of integers take more time for values
    that photos do not have, as the noise that ``torch.rand`` gives.
    """
    images, planes, height, width = (np.arange(size, dtype=np.uint32) for size in shape)
    plane = (images[:, None] * np.uint32(shape[1]) + planes)[:, :, None, None]
    rows, columns = height[:, None], width[None, :]
    total = np.zeros(shape, np.float32)
    for side, contrast in _PATCHES:
        total += np.float32(contrast) * _hashed(np.zeros_like(plane), rows // side, columns // side, side)
    side, contrast = _COLOUR
    total += np.float32(contrast) * _hashed(plane + np.uint32(1), rows // side, columns // side, side)
    return torch.from_numpy(total)


def _hashed(
    plane: NDArray[np.uint32], row: NDArray[np.uint32], column: NDArray[np.uint32], salt: int
) -> NDArray[np.float32]:
    """A number in [0, 1) of each place."""
    mixed = plane * np.uint32(0x9E3779B1) + row * np.uint32(0x85EBCA6B) + column * np.uint32(0xC2B2AE35)
    mixed = mixed + np.uint32(salt * 0x27D4EB2F % (1 << 32))
    return (mix_bits(mixed) >> np.uint32(8)).astype(np.float32) / np.float32(1 << 24)
