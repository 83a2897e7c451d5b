"""Colours below full transparency: nobody sees them, but a network looks at them beside the visible ones."""

import numpy as np
from numpy.typing import NDArray

# Hidden pixels up to this far from a visible one get the mean of their neighbours, those further away a coarser one.
_RINGS = 4
# Rows are handled in parts of about this many pixels.
_PART_PIXELS = 1 << 20
_NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1) if (dy, dx) != (0, 0)]


def fill_hidden(rgb: NDArray[np.uint8], alpha: NDArray[np.uint8]) -> None:
    """Continue the visible colours of ``rgb`` (H, W, 3) into the pixels where ``alpha`` (H, W) is 0, in place.

    A neighbour counts as much as it is visible, because the colours of nearly transparent pixels are coarse.
    """
    if not alpha.any():
        return
    weight = alpha.copy()
    for _ in range(_RINGS):
        rows, columns = np.nonzero(_beside_known(weight != 0))
        if not rows.size:
            break
        colour = np.zeros((rows.size, 3), np.int32)
        total = np.zeros(rows.size, np.int32)
        for dy, dx in _NEIGHBOURS:
            y, x = rows + dy, columns + dx
            inside = (y >= 0) & (y < weight.shape[0]) & (x >= 0) & (x < weight.shape[1])
            y, x = np.where(inside, y, 0), np.where(inside, x, 0)
            share = np.where(inside, weight[y, x], 0).astype(np.int32)
            colour += share[:, None] * rgb[y, x]
            total += share
        rgb[rows, columns] = (colour + total[:, None] // 2) // total[:, None]
        weight[rows, columns] = np.maximum(total // len(_NEIGHBOURS), 1)
    _fill_from_half(rgb, weight)


def _beside_known(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The unknown pixels that touch a known one."""
    near = known.copy()
    near[1:] |= known[:-1]
    near[:-1] |= known[1:]
    across = near.copy()
    across[:, 1:] |= near[:, :-1]
    across[:, :-1] |= near[:, 1:]
    return across & ~known


def _fill_from_half(rgb: NDArray[np.uint8], weight: NDArray[np.uint8]) -> None:
    """Fill the pixels of weight 0 with those of the picture of half the size, which is filled the same way first."""
    if weight.all():
        return
    half_rgb, half_weight = _halved(rgb, weight)
    _fill_from_half(half_rgb, half_weight)
    for top, bottom in _parts(*weight.shape):
        rows, columns = np.nonzero(weight[top:bottom] == 0)
        rgb[top + rows, columns] = half_rgb[(top + rows) // 2, columns // 2]


def _halved(rgb: NDArray[np.uint8], weight: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Weighted means of 2x2 pixels, and their weights; a weight stays above 0 where one pixel's is."""
    height, width = weight.shape
    half_rgb = np.zeros((-(-height // 2), -(-width // 2), 3), np.uint8)
    half_weight = np.zeros(half_rgb.shape[:2], np.uint8)
    for top, bottom in _parts(height, width):
        missing = ((0, (bottom - top) % 2), (0, width % 2))
        w = np.pad(weight[top:bottom], missing).astype(np.float32)
        colour = np.pad(rgb[top:bottom], (*missing, (0, 0))) * w[..., None]
        total = w.reshape(w.shape[0] // 2, 2, -1, 2).sum(axis=(1, 3))
        mean = (
            colour.reshape(*total.shape[:1], 2, total.shape[1], 2, 3).sum(axis=(1, 3)) / np.maximum(total, 1)[..., None]
        )
        rows = slice(top // 2, top // 2 + len(total))
        half_rgb[rows] = np.round(mean)
        half_weight[rows] = np.ceil(total / 4)
    return half_rgb, half_weight


def _parts(height: int, width: int) -> list[tuple[int, int]]:
    """Rows of parts, each but the last with an even number of rows."""
    step = max(2, _PART_PIXELS // width // 2 * 2)
    return [(top, min(top + step, height)) for top in range(0, height, step)]
