"""Pictures of the report as data URIs, small enough for one file."""

import base64
import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]
# Longest sides of what is shown: enough for a desktop column, and for a phone held upright with twice the pixels.
MAX_SIDE = 720
_QUALITY = 88
# From no difference to the largest that the scale names; dark to bright, readable without colour vision.
_HEAT = np.array([(0, 0, 4), (66, 10, 104), (147, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)], float)


def window(height: int, width: int) -> tuple[slice, slice]:
    """The middle part of a picture that is shown, at most :data:`MAX_SIDE` a side."""
    top, left = max(0, height - MAX_SIDE) // 2, max(0, width - MAX_SIDE) // 2
    return slice(top, top + min(height, MAX_SIDE)), slice(left, left + min(width, MAX_SIDE))


def picture_uri(pixels: Pixels) -> str:
    """(H, W, 3) uint8 as WebP."""
    return _uri(Image.fromarray(np.ascontiguousarray(pixels)), "WEBP", quality=_QUALITY, method=4)


def heat_uri(reference: Pixels, other: Pixels, *, full_scale: int) -> str:
    """Largest difference of a pixel's channels, in colours from 0 to ``full_scale`` steps of 255, as PNG."""
    difference = np.abs(reference.astype(np.int16) - other.astype(np.int16)).max(axis=-1)
    image = Image.fromarray(heat_colours(difference / full_scale)).quantize(colors=64, dither=Image.Dither.NONE)
    return _uri(image, "PNG", optimize=True)


def heat_colours(share: NDArray[np.floating]) -> Pixels:
    """(H, W) of any values, 0 the darkest and 1 the brightest colour -> (H, W, 3) uint8."""
    place = np.clip(share, 0, 1) * (len(_HEAT) - 1)
    low = np.floor(place).astype(int).clip(0, len(_HEAT) - 2)
    part = (place - low)[..., None]
    return np.asarray((_HEAT[low] * (1 - part) + _HEAT[low + 1] * part).round(), dtype=np.uint8)


def heat_gradient() -> str:
    """The colours as a CSS gradient, for the legend."""
    stops = ", ".join(f"rgb({int(r)} {int(g)} {int(b)})" for r, g, b in _HEAT)
    return f"linear-gradient(to right, {stops})"


def _uri(image: Image.Image, form: str, **options: object) -> str:
    buffer = io.BytesIO()
    image.save(buffer, format=form, **options)
    return f"data:image/{form.lower()};base64,{base64.b64encode(buffer.getvalue()).decode()}"
