"""Numbers that look random and are the same on every machine and by every library."""

import numpy as np
from numpy.typing import NDArray


def mix_bits(numbers: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """A permutation of the numbers of 32 bits, any shape, in which each bit depends on all of the argument's.

    runtime/pattern/photo_pattern.h has the same one.
    """
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):
        numbers = (numbers ^ (numbers >> np.uint32(shift))) * np.uint32(factor)
    return numbers
