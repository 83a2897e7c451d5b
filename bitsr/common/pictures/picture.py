"""A picture in memory."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Picture:
    """Pixels with what a file says of them.

    Attributes:
        rgb: (H, W, 3), uint8, 0 to 255. A grey picture has three equal channels.
        alpha: (H, W), uint8, 255 is opaque; None when the file has no transparency.
        icc_profile: the embedded colour profile, for RGB or, where ``grey`` is set, for grey values.
        grey: the file holds grey values; the result is written in grey too.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    icc_profile: bytes | None = None
    grey: bool = False

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])
