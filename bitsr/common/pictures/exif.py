"""EXIF data: which of it a result keeps."""

from collections.abc import Iterable, Mapping
from typing import Any

from PIL import Image

PREFIX = b"Exif\0\0"
_ORIENTATION = 0x0112
_EXIF_IFD, _GPS_IFD = 0x8769, 0x8825
SUB_DIRECTORIES = (_EXIF_IFD, _GPS_IFD)
_RESOLUTION = (0x011A, 0x011B, 0x0128)  # across, down, unit
_PER_INCH, _PER_CENTIMETRE = 2, 3
# Description, camera, program, date, author, copyright; Windows' title, remark, author, keywords and subject.
_KEPT = (0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x8298, 0x9C9B, 0x9C9C, 0x9C9D, 0x9C9E, 0x9C9F)
# The size of the original, notes of the maker whose offsets would be wrong, and links to other parts.
_DROPPED = {0xA002, 0xA003, 0x927C, 0xA005, _GPS_IFD, _EXIF_IFD}


def parse_exif(image: Image.Image) -> Image.Exif:
    """The EXIF data of an opened picture; a prefix that is there twice counts once.

    Raises:
        Exception: whatever Pillow's parser raises where the data is damaged.
    """
    content = image.info.get("exif")
    if isinstance(content, bytes):
        while content.startswith(PREFIX):
            content = content[len(PREFIX) :]
        image.info["exif"] = PREFIX + content
    return image.getexif()


def orientation(exif: Image.Exif) -> int:
    """How the stored pixels are to be turned, 1 (not at all) to 8."""
    value = exif.get(_ORIENTATION, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def resolution(exif: Image.Exif) -> tuple[float, float] | None:
    """Pixels per inch, across and down."""
    across, down, unit = (exif.get(tag) for tag in _RESOLUTION)
    factor = {_PER_INCH: 1.0, _PER_CENTIMETRE: 2.54}.get(unit or _PER_INCH)
    if across is None or down is None or factor is None:
        return None
    return float(across) * factor, float(down) * factor


def kept_exif(
    exif: Image.Exif, *, keep_gps: bool = False, dpi: tuple[float, float] | None = None
) -> tuple[bytes | None, bool]:
    """What a result keeps of ``exif``, and whether something of that could not be read.

    That is the description, the camera and its settings, the dates, author and copyright, the resolution, and with
    ``keep_gps`` the place; the orientation is 1, because the pixels are turned. None where there is nothing of it.
    """
    damaged = False
    result = Image.Exif()
    for tag in _KEPT:
        damaged |= not _copy(exif, tag, result)
    for number, dropped in ((_EXIF_IFD, _DROPPED), (_GPS_IFD, set())):
        if number == _GPS_IFD and not keep_gps:
            continue
        try:
            source = exif.get_ifd(number)
        except Exception:  # as in parse_exif
            damaged = True
            continue
        for tag in _tags(source, dropped):
            damaged |= not _copy(source, tag, result.get_ifd(number))
    if not (len(result) or any(result.get_ifd(number) for number in SUB_DIRECTORIES)):
        return None, damaged
    result[_ORIENTATION] = 1
    if dpi is not None:
        result.update(zip(_RESOLUTION, (*dpi, _PER_INCH), strict=True))
    return result.tobytes(), damaged


def _tags(source: Mapping[int, Any], dropped: Iterable[int]) -> list[int]:
    return [tag for tag in source if isinstance(tag, int) and tag not in dropped]


def _copy(source: Mapping[int, Any], tag: int, target: Any) -> bool:
    """Copy one value if it can be written again; False where it cannot."""
    try:
        value = source.get(tag)
        if value is None:
            return True
        alone = Image.Exif()
        alone[tag] = value
        alone.tobytes()
    except Exception:  # Values of any type reach Pillow's writer here.
        return False
    target[tag] = value
    return True
