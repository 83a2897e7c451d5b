"""Upscale pictures: arrays, files and folders, tile by tile.

Memory holds the picture, its enlargement and one tile; what does not fit is refused before the work starts.
"""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitsr.common.errors import BitsrError, UsageError
from bitsr.common.pictures import (
    FORMATS,
    READ_EXTENSIONS,
    Picture,
    output_format,
    picture_size,
    read_picture,
    write_image,
)
from bitsr.inference.memory import available_memory
from bitsr.inference.session import Session
from bitsr.inference.tiler import plan_tiles

DEFAULT_TILE_PIXELS = 512 * 512
# Feature maps and buffers of one tile, for each of its pixels: five float32 maps of 64 channels. An upper bound that
# only decides whether a picture is refused.
_TILE_BYTES = 5 * 64 * 4
# A pixel that is read is held by Pillow (4 bytes) and as an array (3); one that is written by Pillow alone.
_INPUT_BYTES = 7
_OUTPUT_BYTES = 4

Progress = Callable[[int], None]
Existing = Literal["refuse", "overwrite", "skip"]


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

    ``tile_pixels`` limits a tile beside the limit of the session. ``progress`` is called after each tile with the
    number of input pixels that became final.

    Raises:
        UsageError: a tile of ``tile_pixels`` has no room for the network's receptive field.
    """
    info = session.info
    height, width = rgb.shape[:2]
    limit = tile_pixels if info.max_pixels is None else min(tile_pixels, info.max_pixels)
    for tile in plan_tiles(height, width, overlap=info.receptive_field_radius, max_pixels=limit):
        part = rgb[tile.top : tile.bottom, tile.left : tile.right]
        part = _fill(part, min_side=info.min_side, multiple=info.multiple)
        x = np.ascontiguousarray(part.transpose(2, 0, 1)[None], dtype=np.float32) / np.float32(255)
        top, left = tile.keep_top * info.scale, tile.keep_left * info.scale
        bottom, right = tile.keep_bottom * info.scale, tile.keep_right * info.scale
        y = session.run(x)[0]
        offset_y, offset_x = tile.top * info.scale, tile.left * info.scale
        yield Block(top, left, to_8bit(y[:, top - offset_y : bottom - offset_y, left - offset_x : right - offset_x]))
        if progress is not None:
            progress((tile.keep_bottom - tile.keep_top) * (tile.keep_right - tile.keep_left))


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


def upscale_picture(
    session: Session, picture: Picture, *, tile_pixels: int = DEFAULT_TILE_PIXELS, progress: Progress | None = None
) -> Image.Image:
    """Upscale a picture into a Pillow image of mode L, LA, RGB or RGBA.

    Grey stays grey (BT.601 luma of the network's output); transparency is enlarged by bicubic interpolation.
    """
    scale = session.info.scale
    size = (picture.width * scale, picture.height * scale)
    image = Image.new("L" if picture.grey else "RGB", size)
    for block in upscale_blocks(session, picture.rgb, tile_pixels=tile_pixels, progress=progress):
        part = Image.fromarray(block.rgb)
        image.paste(part.convert("L") if picture.grey else part, (block.left, block.top))
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha).resize(size, Image.Resampling.BICUBIC))
    return image


@dataclass(frozen=True)
class Job:
    """One picture to upscale; ``pixels`` is the size of the source."""

    source: Path
    target: Path
    pixels: int


@dataclass(frozen=True)
class Plan:
    """What will be done, what is done already (``skipped``), and what cannot be done."""

    jobs: list[Job]
    skipped: list[Path]
    failures: list[tuple[Path, BitsrError]]

    @property
    def pixels(self) -> int:
        return sum(job.pixels for job in self.jobs)


def plan_file(source: Path, target: Path, *, scale: int, existing: Existing = "refuse") -> Plan:
    """Check everything that can be known before a file is upscaled.

    Raises:
        UsageError: no source, an output that exists (with "refuse"), is the source, or has no usable format or folder.
        PictureError: the source is no picture.
        BitsrError: the result does not fit into memory.
    """
    width, height = picture_size(source)
    if target.is_dir():
        raise UsageError(f"{target} is a folder, the input {source} is a file; name an output file")
    output_format(target, alpha=False, width=width * scale, height=height * scale)
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target} is the input; choose another output")
    if not target.parent.is_dir():
        raise UsageError(f"the folder {target.parent} does not exist; create it or choose another output")
    if target.exists() and existing == "skip":
        return Plan([], [target], [])
    if target.exists() and existing == "refuse":
        raise UsageError(f"{target} exists; choose another output, or replace it with --overwrite")
    _check_memory(source, width=width, height=height, scale=scale)
    return Plan([Job(source, target, width * height)], [], [])


def plan_folder(
    source: Path, target: Path, *, scale: int, extension: str = ".png", existing: Existing = "refuse"
) -> Plan:
    """Plan every picture of a folder into the folder ``target``, which is created; sub-folders are not entered.

    Pictures that cannot be read or are too large become ``failures`` and do not stop the others.

    Raises:
        UsageError: no pictures, two that would become the same file, an output that exists (with "refuse"), or an
            unknown extension.
    """
    pictures = sorted(p for p in source.iterdir() if p.suffix.lower() in READ_EXTENSIONS and p.is_file())
    if not pictures:
        raise UsageError(f"there is no picture in {source}; expected files like name.png or name.jpg")
    if extension not in FORMATS:
        raise UsageError(f"'{extension}' names no format for results; use one of {' '.join(FORMATS)}")
    if target.exists() and not target.is_dir():
        raise UsageError(f"{target} is a file, the input {source} is a folder; name an output folder")
    targets: dict[Path, Path] = {}
    for picture in pictures:
        path = target / f"{picture.stem}{extension}"
        if path in targets:
            raise UsageError(f"{targets[path].name} and {picture.name} would both become {path}; rename one of them")
        targets[path] = picture
    try:
        target.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BitsrError(f"cannot create the folder {target}: {error.strerror}; choose another output") from error
    plan = Plan([], [], [])
    for path, picture in targets.items():
        try:
            part = plan_file(picture, path, scale=scale, existing=existing)
        except UsageError:
            raise
        except BitsrError as error:
            plan.failures.append((picture, error))
        else:
            plan.jobs.extend(part.jobs)
            plan.skipped.extend(part.skipped)
    return plan


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
        BitsrError: the picture is broken, the output cannot carry it or cannot be written.
    """
    started = time.perf_counter()
    picture = read_picture(job.source)
    scale = session.info.scale
    output_format(
        job.target, alpha=picture.alpha is not None, width=picture.width * scale, height=picture.height * scale
    )
    image = upscale_picture(session, picture, tile_pixels=tile_pixels, progress=progress)
    write_image(job.target, image, icc_profile=picture.icc_profile)
    return Result(job, (picture.width, picture.height), image.size, time.perf_counter() - started)


def _check_memory(source: Path, *, width: int, height: int, scale: int) -> None:
    needed = width * height * (_INPUT_BYTES + _OUTPUT_BYTES * scale**2) + DEFAULT_TILE_PIXELS * _TILE_BYTES
    available = available_memory()
    if needed > available:
        raise BitsrError(
            f"{source} ({width}x{height}) needs about {needed / 2**30:.1f} GiB for its x{scale} enlargement, "
            f"and {available / 2**30:.1f} GiB are free; cut it into parts or use a machine with more memory"
        )
