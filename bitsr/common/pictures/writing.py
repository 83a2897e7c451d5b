"""Pictures to files, completely or not at all."""

import io
import logging
import struct
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitsr.common.files import atomic_write
from bitsr.common.pictures.colour import GREY, RGB, chunks_profile, profile_space, to_srgb
from bitsr.common.pictures.exif import PREFIX
from bitsr.common.pictures.formats import Format, output_format
from bitsr.common.pictures.picture import Chunk, Metadata, Picture
from bitsr.common.pictures.tiff_exif import add_directories, split_exif
from bitsr.common.png import PngWriter

log = logging.getLogger(__name__)

Rows = NDArray[np.uint8]
_MODES = ("L", "LA", "RGB", "RGBA")
_METRES_PER_INCH = 0.0254


def write_picture(path: Path | str, picture: Picture, *, replace: bool = True) -> None:
    """Write ``picture`` in the format of the extension, completely or not at all.

    Raises:
        UsageError, BitsrError: as :func:`write_rows`.
    """
    colour = picture.rgb[..., :1] if picture.grey else picture.rgb
    pixels = colour if picture.alpha is None else np.concatenate([colour, picture.alpha[..., None]], axis=-1)
    write_rows(path, [pixels], width=picture.width, height=picture.height, metadata=picture.metadata, replace=replace)


def write_image(path: Path | str, image: Image.Image) -> None:
    """Write a Pillow image of mode L, LA, RGB or RGBA in the format of the extension, completely or not at all.

    Raises:
        UsageError, BitsrError: as :func:`write_rows`.
    """
    pixels = np.asarray(image)
    write_rows(path, [pixels if pixels.ndim == 3 else pixels[..., None]], width=image.width, height=image.height)


def write_rows(
    path: Path | str,
    rows: Iterable[Rows],
    *,
    width: int,
    height: int,
    channels: int | None = None,
    metadata: Metadata | None = None,
    quality: int | None = None,
    replace: bool = True,
) -> None:
    """Write parts (h, width, C) uint8 from top to bottom in the format of the extension, completely or not at all.

    ``channels`` C is 1 (grey), 2 (with alpha), 3 (RGB) or 4 (RGBA); without it the first part says so. The output is
    opened before the first part is asked for. PNG is written part by part; the encoders of the other formats need the
    whole picture in memory. ``metadata`` is kept as far as the format carries it; colours of a profile that it does not
    carry are converted to sRGB. ``quality``, 1 to 100, is for formats that have one. Without ``replace`` a file that
    exists, be it since a moment ago, stays.

    Raises:
        UsageError: the extension names no format, or its format has no transparency or no room for so many pixels, or
            without ``replace`` the file exists.
        BitsrError: the folder does not exist or cannot be written, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    if channels is None:
        rows = list(rows)
        channels = int(rows[0].shape[2])
    form = output_format(path, alpha=channels in (2, 4), width=width, height=height)
    layout = _Layout(path, form, channels, metadata or Metadata())
    with atomic_write(path, replace=replace) as temporary:
        if form.streamed:
            with temporary.open("wb") as file:
                writer = PngWriter(
                    file, width=width, height=height, channels=layout.channels, chunks=layout.png_chunks()
                )
                for part in rows:
                    writer.write(layout.stored(part))
                writer.close()
        else:
            image = Image.new(_MODES[layout.channels - 1], (width, height))
            top = 0
            for part in rows:
                pixels = layout.stored(part)
                image.paste(Image.fromarray(pixels[..., 0] if layout.channels == 1 else pixels), (0, top))
                top += len(part)
            _save(image, temporary, form, form.options | layout.options(quality))


class _Layout:
    """How rows become stored pixels of a format, and what is written beside them."""

    def __init__(self, path: Path, form: Format, channels: int, metadata: Metadata) -> None:
        self._form, self._metadata = form, metadata
        self._profile = metadata.icc_profile
        self._chunks: Sequence[Chunk] = metadata.colour_chunks
        self._convert: Callable[[Rows], Rows] | None = None
        self._grey = grey = channels in (1, 2)
        space = None if self._profile is None else profile_space(self._profile)
        stored_grey = grey and form.grey and not metadata.rgb and space != RGB
        if not form.streamed:
            self._describe_without_chunks(path, grey=stored_grey)
            space = None if self._profile is None else profile_space(self._profile)
        if self._profile is not None and not self._fits(space, grey=stored_grey):
            if space in (RGB, GREY) and (grey or space == RGB):
                self._convert = to_srgb(self._profile, grey=grey)
                log.info("%s: %s cannot carry the colour profile; colours are converted to sRGB", path, form.name)
            else:
                log.warning("%s: the colour profile is left out, it is not for these pixels", path)
            self._profile = None
        self._colours = 1 if stored_grey else 3
        self.channels = self._colours + (channels in (2, 4))

    def _describe_without_chunks(self, path: Path, *, grey: bool) -> None:
        """Say in a profile what only a PNG says in chunks."""
        if self._profile is None:
            try:
                self._profile = chunks_profile(self._chunks, grey=grey)
            except ValueError as error:
                log.warning("%s: the description of its colours is left out: %s; use .png", path, error)
        self._chunks = ()

    def _fits(self, space: str | None, *, grey: bool) -> bool:
        assert self._profile is not None  # asked only where there is one
        size = len(self._profile) <= self._form.max_profile
        return self._form.profile and size and space == (GREY if grey else RGB)

    def stored(self, rows: Rows) -> Rows:
        """Rows (h, W, 1 to 4) as they are stored: (h, W, channels)."""
        alpha = rows[..., -1:] if rows.shape[2] in (2, 4) else None
        colour = rows if alpha is None else rows[..., :-1]
        if self._convert is not None:
            colour = self._convert(colour)
        if colour.shape[2] != self._colours:
            colour = np.broadcast_to(colour, (*colour.shape[:2], self._colours))
        return np.ascontiguousarray(colour if alpha is None else np.concatenate([colour, alpha], axis=-1))

    def png_chunks(self) -> list[Chunk]:
        """What stands before the pixels of a PNG, in the order that the standard asks for."""
        chunks = list(self._chunks)
        if self._profile is not None:
            chunks.append((b"iCCP", b"ICC Profile\0\0" + zlib.compress(self._profile)))
        if self._metadata.dpi is not None:
            across, down = (round(value / _METRES_PER_INCH) for value in self._metadata.dpi)
            chunks.append((b"pHYs", struct.pack(">IIB", across, down, 1)))
        if self._metadata.exif is not None:
            chunks.append((b"eXIf", self._metadata.exif.removeprefix(PREFIX)))
        return chunks

    def options(self, quality: int | None) -> dict[str, object]:
        """What Pillow's writers take for it."""
        form, metadata = self._form, self._metadata
        found = {
            "quality": quality if form.has_quality else None,
            # A lossy WebP gives grey pixels back with a tint.
            "lossless": True if self._grey and form.name == "WEBP" and quality is None else None,
            "icc_profile": self._profile,
            "dpi": metadata.dpi if form.dpi else None,
            "exif": metadata.exif if form.exif else None,
        }
        return {name: value for name, value in found.items() if value is not None}


def _save(image: Image.Image, path: Path, form: Format, options: dict[str, object]) -> None:
    if form.name != "TIFF":
        image.save(path, format=form.name, **options)
        return
    # libtiff would report a full disk on the standard error, in lines of its own.
    buffer = io.BytesIO()
    exif = options.pop("exif", None)
    directories: dict[int, dict[int, object]] = {}
    if isinstance(exif, bytes):
        options["exif"], directories = split_exif(exif)
    image.save(buffer, format=form.name, **options)
    path.write_bytes(add_directories(buffer.getvalue(), directories) if directories else buffer.getbuffer())
