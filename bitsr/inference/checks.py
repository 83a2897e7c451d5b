"""What a network and a picture must be before anything is computed: expected, got, what to do."""

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import UsageError


def check_map(x: NDArray[np.float32]) -> None:
    """Refuse an input of :meth:`Session.run` that is no RGB map."""
    if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim != 4 or x.shape[1] != 3 or min(x.shape) < 1:
        raise UsageError(
            f"a network takes float32 RGB of shape (N, 3, H, W) in [0, 1], got {describe(x)}; for a picture as bytes "
            "(H, W, 3) use upscale()"
        )


def check_rgb(rgb: NDArray[np.uint8]) -> None:
    """Refuse a picture that is no RGB in bytes."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise UsageError(f"a picture is RGB in uint8 of shape (H, W, 3), got {describe(rgb)}; {_remedy(rgb)}")
    if min(rgb.shape) < 1:
        raise UsageError(f"a picture has at least one pixel, got {describe(rgb)}; give one with pixels")


def describe(value: object) -> str:
    """Type and shape of what was given instead of an array."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return f"a {type(value).__name__}" if shape is None else f"{dtype} of shape {tuple(shape)}"


def _remedy(rgb: object) -> str:
    dtype, shape = getattr(rgb, "dtype", None), getattr(rgb, "shape", ())
    if not isinstance(rgb, np.ndarray):
        return "bitsr.upscale() takes files and PIL pictures, and numpy.asarray() makes an array of most others"
    if dtype is not None and np.issubdtype(dtype, np.floating):
        return "turn [0, 1] into bytes with (x * 255).round().astype('uint8')"
    if dtype == np.uint16:
        return "turn 16 bits into 8 with (x / 257).round().astype('uint8')"
    if dtype != np.uint8:
        return "turn it into uint8"
    if len(shape) == 2 or shape[-1:] == (1,):
        return "repeat grey three times: numpy.repeat(x.reshape(*x.shape[:2], 1), 3, axis=2)"
    if shape[-1:] == (4,):
        return "leave the transparency out (x[..., :3]), or give bitsr.upscale() a PIL picture"
    if len(shape) == 4:
        return "give one picture at a time"
    return "put the channels last"
