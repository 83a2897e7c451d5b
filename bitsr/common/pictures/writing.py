"""Pictures to files, completely or not at all."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bitsr.common.files import atomic_write
from bitsr.common.pictures.formats import Format, output_format
from bitsr.common.pictures.picture import Picture
from bitsr.common.png import PngWriter


def write_picture(path: Path | str, picture: Picture) -> None:
    """Write ``picture`` in the format of the extension, completely or not at all.

    Raises:
        UsageError, BitsrError: as :func:`write_image`.
    """
    image = Image.fromarray(picture.rgb)
    if picture.grey:
        image = image.convert("L")
    if picture.alpha is not None:
        image.putalpha(Image.fromarray(picture.alpha))
    write_image(path, image, icc_profile=picture.icc_profile)


def write_image(path: Path | str, image: Image.Image, *, icc_profile: bytes | None = None) -> None:
    """Write a Pillow image of mode L, LA, RGB or RGBA in the format of the extension, completely or not at all.

    ``icc_profile`` is embedded where it is given; the pixels are written as they are.

    Raises:
        UsageError: the extension names no format, or its format has no transparency or no room for so many pixels.
        BitsrError: the folder does not exist or cannot be written, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    form = output_format(path, alpha="A" in image.getbands(), width=image.width, height=image.height)
    with atomic_write(path) as temporary:
        _save(image, temporary, form, icc_profile)


def write_rows(
    path: Path | str,
    rows: Iterable[NDArray[np.uint8]],
    *,
    width: int,
    height: int,
    channels: int,
    icc_profile: bytes | None = None,
) -> None:
    """Write parts (h, width, C) uint8 from top to bottom in the format of the extension, completely or not at all.

    ``channels`` C is 1 (grey), 2 (with alpha), 3 (RGB) or 4 (RGBA). The output is opened before the first part is asked
    for. PNG is written part by part; the encoders of the other formats need the whole picture in memory.

    Raises:
        UsageError: the extension names no format, or its format has no transparency or no room for so many pixels.
        BitsrError: the folder does not exist or cannot be written, the disk is full, or ``path`` is a folder.
    """
    path = Path(path)
    form = output_format(path, alpha=channels in (2, 4), width=width, height=height)
    with atomic_write(path) as temporary:
        if form.streamed:
            with temporary.open("wb") as file:
                writer = PngWriter(file, width=width, height=height, channels=channels, icc_profile=icc_profile)
                for part in rows:
                    writer.write(part)
                writer.close()
        else:
            image = Image.new(("L", "LA", "RGB", "RGBA")[channels - 1], (width, height))
            top = 0
            for part in rows:
                image.paste(Image.fromarray(part[..., 0] if channels == 1 else part), (0, top))
                top += len(part)
            _save(image, temporary, form, icc_profile)


def _save(image: Image.Image, path: Path, form: Format, icc_profile: bytes | None) -> None:
    profile = {} if icc_profile is None else {"icc_profile": icc_profile}
    image.save(path, format=form.name, **form.options, **profile)
