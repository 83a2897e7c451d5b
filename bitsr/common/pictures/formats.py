"""File formats of results, and what they can carry."""

from dataclasses import dataclass
from pathlib import Path

from bitsr.common.errors import UsageError


@dataclass(frozen=True)
class Format:
    """A file format of results.

    Attributes:
        name: as Pillow calls it.
        alpha, grey, profile, exif, dpi: whether it has transparency, pixels of one channel, colour profiles, EXIF data
            and a resolution of its own.
        max_side: most pixels of a side.
        options: how Pillow writes it.
        max_profile: most bytes of a profile.
        streamed: it is written row by row.
    """

    name: str
    alpha: bool
    max_side: int
    options: dict[str, object]
    grey: bool = True
    profile: bool = True
    exif: bool = True
    dpi: bool = True
    max_profile: int = 2**31 - 1
    streamed: bool = False

    @property
    def has_quality(self) -> bool:
        """Whether a smaller file can be had for a less exact picture."""
        return "quality" in self.options


_JPEG = Format("JPEG", False, 65500, {"quality": 95, "subsampling": 0}, max_profile=255 * 65519)
_TIFF = Format("TIFF", True, 2**31 - 1, {"compression": "tiff_lzw"})
FORMATS = {
    ".png": Format("PNG", True, 2**31 - 1, {}, streamed=True),
    ".jpg": _JPEG,
    ".jpeg": _JPEG,
    ".webp": Format("WEBP", True, 16383, {"quality": 95}, grey=False, dpi=False),
    ".tif": _TIFF,
    ".tiff": _TIFF,
    ".bmp": Format("BMP", False, 2**31 - 1, {}, profile=False, exif=False),
}


def check_extension(extension: str) -> None:
    """Refuse the ending of a file name (with its dot) that names no format for results.

    Raises:
        UsageError: it does.
    """
    if extension.lower() not in FORMATS:
        raise UsageError(f"'{extension}' names no format for results; use one of {' '.join(FORMATS)}")


def output_format(path: Path | str, *, alpha: bool, width: int, height: int) -> Format:
    """The format that the extension of ``path`` names, if it can carry such a picture.

    Raises:
        UsageError: unknown extension, transparency in a format without it, or more pixels a side than it has room for.
    """
    path = Path(path)
    form = FORMATS.get(path.suffix.lower())
    if form is None:
        raise UsageError(
            f"{path}: the extension '{path.suffix}' names no format for results; use one of {' '.join(FORMATS)}"
        )
    if alpha and not form.alpha:
        raise UsageError(f"{path}: {form.name} has no transparency, and the picture has; use .png, .webp or .tif")
    if max(width, height) > form.max_side:
        raise UsageError(
            f"{path}: {form.name} holds at most {form.max_side} pixels a side, the result has {width}x{height}; "
            "use .png"
        )
    return form
