"""A network on RGB pixels of any size, tile by tile."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import BitsrError
from bitsr.common.progress import Progress
from bitsr.common.tiler import DEFAULT_TILE_PIXELS, Tile, filled, tiles_within
from bitsr.inference.checks import check_rgb
from bitsr.inference.session_info import SessionInfo

# Rows that are rounded at a time.
_ROWS = 64


class Runs(Protocol):
    """What tiles are run on: a :class:`bitsr.inference.session.Session`."""

    @property
    def info(self) -> SessionInfo: ...

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]: ...


@dataclass(frozen=True)
class Block:
    """A finished part of the result: ``rgb`` (h, w, 3) uint8, its upper left corner at row ``top``, column ``left``."""

    top: int
    left: int
    rgb: NDArray[np.uint8]


def upscale_blocks(
    session: Runs,
    rgb: NDArray[np.uint8],
    *,
    tile_pixels: int = DEFAULT_TILE_PIXELS,
    progress: Progress | None = None,
) -> Iterator[Block]:
    """Upscale RGB (H, W, 3) uint8 tile by tile; the blocks cover (scale * H, scale * W) exactly once.

    ``tile_pixels`` limits a tile beside the limit of the session. ``progress`` is told of the input pixels that became
    final after each tile.

    Raises:
        UsageError: ``rgb`` is no such array, or a tile has no room for the network's receptive field.
        BitsrError: the network gives values that are not numbers.
    """
    check_rgb(rgb)
    info = session.info
    done = 0
    for tile in tiles_of(info, height=rgb.shape[0], width=rgb.shape[1], tile_pixels=tile_pixels):
        part = rgb[tile.top : tile.bottom, tile.left : tile.right]
        part = _fill(part, min_side=info.min_side, multiple=info.multiple)
        x = np.ascontiguousarray(part.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255)
        top, left = tile.keep_top * info.scale, tile.keep_left * info.scale
        bottom, right = tile.keep_bottom * info.scale, tile.keep_right * info.scale
        y = session.run(x)[0]
        if np.isnan(y.min()):
            raise BitsrError(
                f"{info.model} gives values that are not numbers, expected finite ones; its weights are broken, "
                "use others"
            )
        offset_y, offset_x = tile.top * info.scale, tile.left * info.scale
        kept = to_8bit(y[:, top - offset_y : bottom - offset_y, left - offset_x : right - offset_x])
        del x, y  # a tile's floats are most of what an enlargement holds
        yield Block(top, left, kept)
        if progress is not None:
            done += (tile.keep_bottom - tile.keep_top) * (tile.keep_right - tile.keep_left)
            progress.advance(done, rgb.shape[0] * rgb.shape[1])


def tiles_of(info: SessionInfo, *, height: int, width: int, tile_pixels: int) -> list[Tile]:
    """The tiles of a picture: what one call of the network gets, in the limits of both."""
    return tiles_within(
        height,
        width,
        overlap=info.receptive_field_radius,
        max_pixels=tile_pixels if info.max_pixels is None else min(tile_pixels, info.max_pixels),
        min_side=info.min_side,
        only_side=info.fixed_side,
    )


def _fill(rgb: NDArray[np.uint8], *, min_side: int, multiple: int) -> NDArray[np.uint8]:
    """Repeat the last row and column until the network takes the size."""
    missing = [filled(side, min_side=min_side, multiple=multiple) - side for side in rgb.shape[:2]]
    return np.pad(rgb, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge") if any(missing) else rgb


def to_8bit(y: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(3, H, W) float32 in [0, 1] -> (H, W, 3) uint8: clipped, rounded half up, as the evaluation rounds."""
    result = np.empty((*y.shape[1:], len(y)), np.uint8)
    # A few rows at a time: floats of the largest tile are not held twice.
    for top in range(0, y.shape[1], _ROWS):
        scaled = np.clip(y[:, top : top + _ROWS], 0, 1)
        scaled *= np.float32(255)
        scaled += np.float32(0.5)
        result[top : top + _ROWS] = np.floor(scaled, out=scaled).transpose(1, 2, 0)
    return result


def upscale_pixels(
    session: Runs,
    rgb: NDArray[np.uint8],
    *,
    tile_pixels: int = DEFAULT_TILE_PIXELS,
    progress: Progress | None = None,
) -> NDArray[np.uint8]:
    """RGB (H, W, 3) uint8 -> (scale * H, scale * W, 3) uint8; parameters as :func:`upscale_blocks`."""
    scale = session.info.scale
    result = np.empty((rgb.shape[0] * scale, rgb.shape[1] * scale, 3), np.uint8)
    for block in upscale_blocks(session, rgb, tile_pixels=tile_pixels, progress=progress):
        height, width = block.rgb.shape[:2]
        result[block.top : block.top + height, block.left : block.left + width] = block.rgb
    return result
