"""Reading pictures for training and evaluation."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from bitsr.common.errors import PictureError, UsageError

Picture = NDArray[np.uint8]


def list_pictures(folder: Path | str) -> list[Path]:
    """All files of ``folder`` and its sub-folders whose extension Pillow can read, sorted by path.

    Raises:
        UsageError: the folder does not exist or holds no picture.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"there is no picture folder {folder}; give the folder that holds the pictures")
    Image.init()
    readable = {extension for extension, kind in Image.registered_extensions().items() if kind in Image.OPEN}
    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in readable and not p.name.startswith("."))
    if not found:
        raise UsageError(f"the folder {folder} holds no picture that Pillow can read; expected files like name.png")
    return found


def read_size(path: Path) -> tuple[int, int]:
    """``(height, width)`` from the header, upright as EXIF says.

    Raises:
        PictureError: not a picture.
    """
    try:
        with Image.open(path) as picture:
            width, height = picture.size
            turned = picture.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"cannot read the picture {path}: {error}; remove or replace it") from error
    return (width, height) if turned else (height, width)


def read_rgb(path: Path) -> Picture:
    """RGB (H, W, 3) uint8, turned as EXIF says; grey is repeated, transparency is dropped, 16 bit is scaled to 8.

    Raises:
        PictureError: missing, truncated or not a picture.
    """
    try:
        with Image.open(path) as opened:
            picture = ImageOps.exif_transpose(opened)
            if picture.mode.startswith("I") or picture.mode == "F":
                grey = np.asarray(picture, dtype=np.float64)
                # 16-bit files carry 0..65535; Pillow's own conversion to 8 bit would clip instead of scale.
                full = 65535.0 if picture.mode.startswith("I") else max(float(grey.max(initial=0.0)), 1.0)
                picture = Image.fromarray(np.clip(np.floor(grey * (255.0 / full) + 0.5), 0, 255).astype(np.uint8))
            return np.array(picture.convert("RGB"), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"cannot read the picture {path}: {error}; remove or replace it") from error


def crop_to_multiple(picture: Picture, *, scale: int) -> Picture:
    """Cut the right and lower border so that both sides are multiples of ``scale``."""
    height, width = picture.shape[:2]
    return picture[: height - height % scale, : width - width % scale]
