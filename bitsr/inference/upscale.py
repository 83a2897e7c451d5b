"""Upscale pictures: arrays and files, row of tiles by row of tiles.

Memory holds the picture, one tile and one row of enlarged tiles, and the whole enlargement where its format needs it;
what does not fit is refused before the work starts. What will be done is planned in :mod:`bitsr.inference.plan`.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitsr.common.errors import BitsrError
from bitsr.common.memory import available_memory
from bitsr.common.pictures import READ_BYTES, Picture, output_format, read_picture, write_rows
from bitsr.common.progress import Progress
from bitsr.inference.plan import Job
from bitsr.inference.session import Session, SessionInfo, check_rgb
from bitsr.inference.tiler import Tile, plan_tiles

DEFAULT_TILE_PIXELS = 512 * 512
# A pixel of the picture as it is held, and of its enlargement: Pillow's 4 bytes.
_HELD_BYTES = 4
_IMAGE_BYTES = 4
# A tile's output for each of its pixels: three float32 channels, and what rounding them makes.
_OUTPUT_BYTES = 40
# Bicubic interpolation looks two pixels to each side.
_BICUBIC_RADIUS = 2

Rows = NDArray[np.uint8]


@dataclass(frozen=True)
class Block:
    """A finished part of the result: ``rgb`` (h, w, 3) uint8, its upper left corner at row ``top``, column ``left``."""

    top: int
    left: int
    rgb: NDArray[np.uint8]


def upscale_blocks(
    session: Session,
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
    for tile in _tiles(info, height=rgb.shape[0], width=rgb.shape[1], tile_pixels=tile_pixels):
        part = rgb[tile.top : tile.bottom, tile.left : tile.right]
        part = _fill(part, min_side=info.min_side, multiple=info.multiple)
        x = np.ascontiguousarray(part.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255)
        top, left = tile.keep_top * info.scale, tile.keep_left * info.scale
        bottom, right = tile.keep_bottom * info.scale, tile.keep_right * info.scale
        y = session.run(x)[0]
        if np.isnan(y).any():
            raise BitsrError(
                f"{info.model} gives values that are not numbers, expected finite ones; its weights are broken, "
                "use others"
            )
        offset_y, offset_x = tile.top * info.scale, tile.left * info.scale
        yield Block(top, left, to_8bit(y[:, top - offset_y : bottom - offset_y, left - offset_x : right - offset_x]))
        if progress is not None:
            done += (tile.keep_bottom - tile.keep_top) * (tile.keep_right - tile.keep_left)
            progress.advance(done, rgb.shape[0] * rgb.shape[1])


def _tiles(info: SessionInfo, *, height: int, width: int, tile_pixels: int) -> list[Tile]:
    limit = tile_pixels if info.max_pixels is None else min(tile_pixels, info.max_pixels)
    return plan_tiles(height, width, overlap=info.receptive_field_radius, max_pixels=limit, max_side=info.fixed_side)


def _fill(rgb: NDArray[np.uint8], *, min_side: int, multiple: int) -> NDArray[np.uint8]:
    """Repeat the last row and column until the network takes the size."""
    missing = [max(side, min_side) + -max(side, min_side) % multiple - side for side in rgb.shape[:2]]
    return np.pad(rgb, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge") if any(missing) else rgb


def to_8bit(y: NDArray[np.float32]) -> NDArray[np.uint8]:
    """(3, H, W) float32 in [0, 1] -> (H, W, 3) uint8: clipped, rounded half up, as the evaluation rounds."""
    scaled = np.floor(np.clip(y, 0, 1) * np.float32(255) + np.float32(0.5))
    return np.ascontiguousarray(scaled.astype(np.uint8).transpose(1, 2, 0))


def upscale_pixels(
    session: Session,
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


def upscale_rows(
    session: Session, picture: Picture, *, tile_pixels: int = DEFAULT_TILE_PIXELS, progress: Progress | None = None
) -> Iterator[Rows]:
    """Upscale a picture into parts (h, scale * W, C) uint8 from top to bottom.

    C is 3, or 1 where the picture is grey (BT.601 luma of the network's output), and one more with transparency, which
    is enlarged by bicubic interpolation.
    """
    scale = session.info.scale
    part: Rows | None = None
    for block in upscale_blocks(session, picture.rgb, tile_pixels=tile_pixels, progress=progress):
        height, width = block.rgb.shape[:2]
        pixels = np.asarray(Image.fromarray(block.rgb).convert("L"))[..., None] if picture.grey else block.rgb
        if part is None:
            part = np.empty((height, picture.width * scale, channels(picture)), np.uint8)
            if picture.alpha is not None:
                part[..., -1] = _enlarge(picture.alpha, block.top // scale, (block.top + height) // scale, scale=scale)
        part[:, block.left : block.left + width, : pixels.shape[2]] = pixels
        if block.left + width == part.shape[1]:
            yield part
            part = None


def channels(picture: Picture) -> int:
    """Channels of the enlargement: grey or RGB, and transparency."""
    return (1 if picture.grey else 3) + (picture.alpha is not None)


def _enlarge(plane: NDArray[np.uint8], top: int, bottom: int, *, scale: int) -> NDArray[np.uint8]:
    """Rows ``top:bottom`` of a plane (H, W), enlarged as they are within the whole plane."""
    first, last = max(0, top - _BICUBIC_RADIUS), min(len(plane), bottom + _BICUBIC_RADIUS)
    image = Image.fromarray(plane[first:last])
    enlarged = image.resize((image.width * scale, image.height * scale), Image.Resampling.BICUBIC)
    return np.asarray(enlarged)[(top - first) * scale : (bottom - first) * scale]


@dataclass(frozen=True)
class Result:
    """A finished job: sizes as (width, height), time in seconds with reading and writing."""

    job: Job
    size: tuple[int, int]
    result_size: tuple[int, int]
    seconds: float


def upscale_file(
    session: Session, job: Job, *, tile_pixels: int = DEFAULT_TILE_PIXELS, progress: Progress | None = None
) -> Result:
    """Upscale one picture; the output appears when it is complete.

    Raises:
        BitsrError: it does not fit into memory or into the output's format, the picture is broken, or the output
            cannot be written.
    """
    started = time.perf_counter()
    scale = session.info.scale
    width, height = job.width * scale, job.height * scale
    output_format(job.target, alpha=False, width=width, height=height)
    _check_memory(job, session.info, tile_pixels=tile_pixels)
    picture = read_picture(job.source, keep_gps=job.keep_gps)
    width, height = picture.width * scale, picture.height * scale  # turned by EXIF, perhaps
    write_rows(
        job.target,
        upscale_rows(session, picture, tile_pixels=tile_pixels, progress=progress),
        width=width,
        height=height,
        channels=channels(picture),
        metadata=picture.metadata,
        quality=job.quality,
        replace=job.replace,
    )
    return Result(job, (picture.width, picture.height), (width, height), time.perf_counter() - started)


def _check_memory(job: Job, info: SessionInfo, *, tile_pixels: int) -> None:
    pixels, area = job.width * job.height, info.scale**2
    tiles = _tiles(info, height=job.height, width=job.width, tile_pixels=tile_pixels)
    row_pixels = max(tile.keep_bottom - tile.keep_top for tile in tiles) * job.width
    tile = max(tile.pixels for tile in tiles)
    form = output_format(job.target, alpha=False, width=job.width, height=job.height)
    image_pixels = 0 if form.streamed else pixels
    needed = max(
        pixels * READ_BYTES,
        pixels * _HELD_BYTES
        + (row_pixels + image_pixels) * area * _IMAGE_BYTES
        + tile * (info.bytes_per_pixel + area * _OUTPUT_BYTES)
        + info.fixed_bytes,
    )
    available = available_memory()
    if needed > available:
        advice = "a smaller --tile" if form.streamed else "a smaller --tile or .png, which is written row by row"
        raise BitsrError(
            f"{job.source} ({job.width}x{job.height}) needs about {needed / 2**30:.1f} GiB for its x{info.scale} "
            f"enlargement, and {available / 2**30:.1f} GiB are free; use {advice}, or a machine with more memory"
        )
