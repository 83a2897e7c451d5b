"""What every runtime gives for a loaded artifact."""

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


class Network(Protocol):
    """One loaded network from a map to a map.

    Maps are float32 (1, C, H, W), whatever the layout of the file; ``channels`` is the C of the input.
    """

    channels: int

    def run(self, x: Map, *others: NDArray[Any]) -> Map:
        """Run on a map and the other inputs, if there are any; the result is a new contiguous array."""
        ...
