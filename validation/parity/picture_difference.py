"""How far the pictures of two runtimes differ."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Parity:
    """Two 8-bit pictures compared.

    Attributes:
        psnr: dB over all RGB values, range 255; infinite where nothing differs.
        differing: share of pixels, 0 to 1, with a difference in any channel.
        largest: largest difference of a value, in steps of 8 bit.
    """

    psnr: float
    differing: float
    largest: int


def compare(reference: NDArray[np.uint8], other: NDArray[np.uint8]) -> Parity:
    """Compare RGB pictures (H, W, 3), uint8.

    Raises:
        ValueError: the shapes differ.
    """
    if reference.shape != other.shape:
        raise ValueError(f"the pictures have shapes {reference.shape} and {other.shape}, expected the same")
    difference = np.abs(reference.astype(np.int16) - other.astype(np.int16))
    mean_square = float(np.mean(np.square(difference, dtype=np.int64)))
    return Parity(
        psnr=math.inf if mean_square == 0 else 10 * math.log10(255**2 / mean_square),
        differing=float(np.mean(difference.any(axis=-1))),
        largest=int(difference.max()),
    )
