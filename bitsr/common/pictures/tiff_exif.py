"""EXIF data into a finished TIFF: libtiff writes compressed pixels, but no directories of EXIF and place."""

import struct

from PIL import Image

from bitsr.common.pictures.exif import PREFIX, SUB_DIRECTORIES

_LONG = 4
_ENTRY = struct.Struct("<HHII")


def split_exif(content: bytes) -> tuple[bytes, dict[int, dict[int, object]]]:
    """EXIF data without its sub-directories, and those by the number of the tag that leads to them."""
    exif = Image.Exif()
    exif.load(content)
    directories = {number: dict(exif.get_ifd(number)) for number in SUB_DIRECTORIES}
    alone = Image.Exif()
    alone.update({tag: value for tag, value in exif.items() if tag not in SUB_DIRECTORIES})
    return alone.tobytes().removeprefix(PREFIX), {number: tags for number, tags in directories.items() if tags}


def add_directories(tiff: bytes, directories: dict[int, dict[int, object]]) -> bytes:
    """A little-endian TIFF of one page with more directories: its own is written again at the end, with links to them.

    Raises:
        ValueError: it is not such a TIFF.
    """
    from PIL.TiffImagePlugin import ImageFileDirectory_v2

    if tiff[:4] != b"II*\0":
        raise ValueError("expected a little-endian TIFF")
    (start,) = struct.unpack_from("<I", tiff, 4)
    (count,) = struct.unpack_from("<H", tiff, start)
    entries = {}
    for index in range(count):
        entry = tiff[start + 2 + 12 * index : start + 14 + 12 * index]
        entries[struct.unpack_from("<H", entry)[0]] = entry
    result = bytearray(tiff + bytes(len(tiff) % 2))
    for number, tags in directories.items():
        directory = ImageFileDirectory_v2(b"II*\0\0\0\0\0")
        for tag, value in tags.items():
            directory[tag] = value
        entries[number] = _ENTRY.pack(number, _LONG, 1, len(result))
        result += directory.tobytes(len(result))
        result += bytes(len(result) % 2)
    struct.pack_into("<I", result, 4, len(result))
    return (
        bytes(result) + struct.pack("<H", len(entries)) + b"".join(entries[tag] for tag in sorted(entries)) + bytes(4)
    )
