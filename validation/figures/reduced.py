"""A photo, reduced, so that its enlargements can be compared with it."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bitsr.common.errors import UsageError
from bitsr.common.pictures import read_picture
from bitsr.training.evaluate import score
from bitsr.training.resize import imresize

Pixels = NDArray[np.uint8]
# Sides of the reduced photo below this are too small for SSIM and for a picture that shows something.
_MIN_SIDE = 16


@dataclass(frozen=True)
class ReducedPhoto:
    """RGB (H, W, 3), uint8: the photo cut to multiples of the scale, and reduced by MATLAB's bicubic interpolation."""

    original: Pixels
    low: Pixels
    scale: int

    @classmethod
    def read(cls, photo: Path, *, scale: int) -> "ReducedPhoto":
        """Read and reduce a photo.

        Raises:
            UsageError: it is too small.
            PictureError: see :func:`bitsr.common.pictures.read_picture`.
        """
        rgb = read_picture(photo).rgb
        height, width = rgb.shape[0] // scale * scale, rgb.shape[1] // scale * scale
        if min(height, width) < _MIN_SIDE * scale:
            raise UsageError(f"{photo} has {size(rgb)} pixels; expected at least {_MIN_SIDE * scale} on each side")
        original = np.ascontiguousarray(rgb[:height, :width])
        return cls(original, np.asarray(imresize(original, scale=1 / scale), dtype=np.uint8), scale)

    def bicubic(self) -> Pixels:
        """The reduced photo, enlarged by bicubic interpolation."""
        return np.asarray(imresize(self.low, scale=self.scale), dtype=np.uint8)

    def psnr(self, enlarged: Pixels) -> float:
        """PSNR in dB on luminance against the original, without ``scale`` pixels at each border."""
        first, second = (torch.from_numpy(p).permute(2, 0, 1)[None].double() / 255 for p in (enlarged, self.original))
        return score(first, second, scale=self.scale)[0]


def size(rgb: Pixels) -> str:
    """``512x384``: width and height of (H, W, 3)."""
    return f"{rgb.shape[1]}x{rgb.shape[0]}"
