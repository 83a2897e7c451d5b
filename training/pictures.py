"""Folders of pictures for training and evaluation; reading is that of :mod:`bitsr.common.pictures`."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import UsageError
from bitsr.common.pictures import READ_EXTENSIONS, read_picture

Rgb = NDArray[np.uint8]


def list_pictures(folder: Path | str) -> list[Path]:
    """All picture files of ``folder`` and its sub-folders, known by their extension, sorted by path.

    Raises:
        UsageError: the folder does not exist or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"there is no picture folder {folder}; give the folder that holds the pictures")
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in READ_EXTENSIONS and not p.name.startswith("."))
    if not found:
        raise UsageError(f"the folder {folder} holds no picture; expected files like name.png or name.jpg")
    return found


def read_rgb(path: Path) -> Rgb:
    """RGB (H, W, 3) uint8 of a picture of any format; transparency is dropped. Errors as ``read_picture``."""
    return read_picture(path).rgb


def crop_to_multiple(picture: Rgb, *, scale: int) -> Rgb:
    """Cut the right and lower border so that both sides are multiples of ``scale``."""
    height, width = picture.shape[:2]
    return picture[: height - height % scale, : width - width % scale]
