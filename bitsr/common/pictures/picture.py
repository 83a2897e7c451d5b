"""A picture in memory."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

# Kind and content of a PNG chunk.
Chunk = tuple[bytes, bytes]


@dataclass(frozen=True)
class Metadata:
    """What a file says beside its pixels, as far as a result keeps it (docs/pictures.md has the policy).

    Attributes:
        icc_profile: the embedded colour profile; its space, grey or RGB, is that of the stored pixels.
        colour_chunks: the chunks of a PNG that describe its colours without a profile (cICP, sRGB, gAMA, cHRM).
        dpi: pixels per inch, across and down.
        exif: EXIF data that begins with ``Exif\\0\\0``, without a thumbnail and with orientation 1.
        rgb: the file has red, green and blue, be they equal or not, and so has the result.
    """

    icc_profile: bytes | None = None
    colour_chunks: tuple[Chunk, ...] = ()
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    rgb: bool = False


@dataclass(frozen=True)
class Picture:
    """Pixels with what a file says of them.

    Attributes:
        rgb: (H, W, 3), uint8, 0 to 255. Below alpha 0 stand the colours of the nearest visible pixels.
        alpha: (H, W), uint8, 255 is opaque; None when the file has no transparency.
        grey: the three channels are equal everywhere, and so they are in the result.
        metadata: what is kept of the rest of the file.
    """

    rgb: NDArray[np.uint8]
    alpha: NDArray[np.uint8] | None = None
    grey: bool = False
    metadata: Metadata = field(default_factory=Metadata)

    @property
    def height(self) -> int:
        return int(self.rgb.shape[0])

    @property
    def width(self) -> int:
        return int(self.rgb.shape[1])
