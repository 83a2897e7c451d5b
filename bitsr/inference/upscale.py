"""Upscale pictures and files, row of tiles by row of tiles.

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
from bitsr.common.tiler import DEFAULT_TILE_PIXELS
from bitsr.inference.plan import Job
from bitsr.inference.session import Session
from bitsr.inference.session_info import SessionInfo
from bitsr.inference.tiled import tiles_of, upscale_blocks

# A pixel of the picture as it is held, and of its enlargement: Pillow's 4 bytes.
_HELD_BYTES = 4
_IMAGE_BYTES = 4
# A tile's output for each of its pixels: three float32 channels, and what rounding them makes.
_OUTPUT_BYTES = 40
# Bicubic interpolation looks two pixels to each side.
_BICUBIC_RADIUS = 2

Rows = NDArray[np.uint8]


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
    tiles = tiles_of(info, height=job.height, width=job.width, tile_pixels=tile_pixels)
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
