"""Low resolution as phones and the web make it: blur, resizing, noise and JPEG, once or twice.

The order is that of the second-order degradation of Real-ESRGAN (Wang et al., ICCVW 2021), its strengths are milder:
what a photo that was shrunk and saved has suffered, not a ruin.
"""

from io import BytesIO

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from bitsr.training.recipe import Degradation

Rgb = NDArray[np.uint8]

# Filters of resizing, all of them antialiased, and how often each is taken: bicubic is what most programs do.
_FILTERS = (Image.Resampling.BICUBIC, Image.Resampling.BILINEAR, Image.Resampling.BOX, Image.Resampling.LANCZOS)
_FILTER_SHARES = (0.7, 0.1, 0.1, 0.1)
# How many of the noises are the same in all channels, as those of a raw sensor behind its grey balance are not.
_GREY_NOISE = 0.4
# Coordinates of a low-resolution picture up to which a degradation mixes pixels: 8 of a JPEG block, and a filter.
MARGIN = 8


def jpeg(picture: Rgb, *, quality: int) -> Rgb:
    """A picture (H, W, 3) after JPEG of this quality, 1 to 100; colour has half the resolution, libjpeg's default."""
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(picture)).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer).convert("RGB"))


def degraded(high: Rgb, *, scale: int, settings: Degradation, rng: Generator) -> Rgb:
    """A low-resolution picture of ``high``: (s*h, s*w, 3) -> (h, w, 3), uint8, as ``settings`` and ``rng`` have it."""
    height, width = high.shape[0] // scale, high.shape[1] // scale
    picture = Image.fromarray(np.ascontiguousarray(high))
    blur = rng.uniform(0, settings.blur) * scale
    picture = picture.filter(ImageFilter.GaussianBlur(blur))
    if rng.random() < settings.twice:
        between = rng.uniform(1, scale)
        picture = _resized(picture, height=round(height * between), width=round(width * between), rng=rng)
        picture = Image.fromarray(_stored(np.asarray(picture), settings=settings, rng=rng))
    picture = _resized(picture, height=height, width=width, rng=rng)
    return _stored(np.asarray(picture), settings=settings, rng=rng)


def _resized(picture: Image.Image, *, height: int, width: int, rng: Generator) -> Image.Image:
    return picture.resize((width, height), _FILTERS[rng.choice(len(_FILTERS), p=_FILTER_SHARES)])


def _stored(picture: Rgb, *, settings: Degradation, rng: Generator) -> Rgb:
    """Noise, then JPEG."""
    deviation = rng.uniform(0, settings.noise)
    channels = 1 if rng.random() < _GREY_NOISE else 3
    noise = rng.normal(0, deviation, (*picture.shape[:2], channels))
    noisy = np.clip(np.rint(picture + noise), 0, 255).astype(np.uint8)
    lowest, highest = settings.quality
    return jpeg(noisy, quality=int(rng.integers(lowest, highest + 1)))
