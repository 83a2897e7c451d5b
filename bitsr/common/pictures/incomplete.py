"""Files that end too early: what is lost is found out, and a small loss is made up for, as every viewer does.

A decoder takes such a file if something follows what is there. Where two decodings with different fillers agree, the
pixels are those of the file; where they differ, something is missing.
"""

import io
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

# A picture may lack this share of its pixels, or, if it is small, as many pixels as a JPEG has in one block.
_MOST_MISSING = 1 / 16
_BLOCK_PIXELS, _MOST_OF_SMALL = 256, 1 / 4
# A difference of two decodings that nobody sees: the last refinement of a progressive JPEG.
_INVISIBLE = 8
_END_OF_JPEG = b"\xff\xd9"
_RESTART_MARKER = re.compile(rb"\xff[\xd0-\xd7]")
_FILLERS = (b"\0", b"\xaa")


class IncompleteError(Exception):
    """More than a small part of the picture is missing."""


def complete(path: Path, decode: Callable[[io.BytesIO], Image.Image]) -> tuple[Image.Image, float]:
    """The picture of a file that ends too early, and the share of its pixels that is missing.

    ``decode`` loads a picture; whatever it raises is raised.

    Raises:
        IncompleteError: too much is missing.
    """
    content = path.read_bytes()
    if content.startswith(b"RIFF"):  # says how long it is
        length = int.from_bytes(content[4:8], "little") + 8
        missing = max(0, length - len(content)) / length
        check_missing(missing)
        return decode(io.BytesIO(content.ljust(length, b"\0"))), missing
    fill = _filled_jpeg if content.startswith(b"\xff\xd8") else _filled
    first, second = (decode(io.BytesIO(fill(content, filler))) for filler in _FILLERS)
    if first.size != second.size:
        raise IncompleteError("its header is incomplete")
    missing = _differing(first, second)
    check_missing(missing, pixels=first.width * first.height)
    return first, missing


def check_missing(missing: float, *, pixels: int | None = None) -> None:
    """Refuse a picture of which more than a small part is missing; ``pixels`` is how many it has.

    Raises:
        IncompleteError: it is.
    """
    block = 0.0 if pixels is None else min(_BLOCK_PIXELS / pixels, _MOST_OF_SMALL)
    if missing > max(_MOST_MISSING, block):
        raise IncompleteError(f"{100 * missing:.0f} % of it are missing")


def _filled(content: bytes, filler: bytes) -> bytes:
    return content + filler * (len(content) // 16 + 64)


def _filled_jpeg(content: bytes, filler: bytes) -> bytes:
    """One filler is nothing at all, for which decoders put grey.

    The other one, in which the usual codes are short, is longer than what may be missing. It has restart markers where
    the file has some, because a decoder skips what comes before the marker it waits for.
    """
    if not _all_scans(content):
        raise IncompleteError("scans of it are missing")
    content = content.rstrip(b"\xff")  # of a marker that was cut in two
    if filler == _FILLERS[0]:
        return content + _END_OF_JPEG
    bits = filler * (2 * len(content) + (1 << 16))
    restarts = list(_RESTART_MARKER.finditer(content))
    if restarts:
        intervals = 2 * len(restarts) + 8
        last = restarts[-1].group()[1]
        between = [bits[: len(bits) // intervals] + bytes([0xFF, 0xD0 | (last + 1 + i) & 7]) for i in range(intervals)]
        bits = b"".join(between)
    return content + bits + _END_OF_JPEG


def _all_scans(content: bytes) -> bool:
    """Whether the scans of a JPEG bring every coefficient of every component to its last bit (ITU-T T.81, B.2.3)."""
    if b"\xff\xc2" not in content:
        return True  # not progressive: one scan has all
    missing: set[tuple[int, int]] = set()
    position = 2
    while (position := content.find(b"\xff", position)) >= 0 and position + 4 <= len(content):
        marker = content[position + 1]
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD9:
            position += 1 if marker == 0xFF else 2
            continue
        length = int.from_bytes(content[position + 2 : position + 4], "big")
        segment = content[position + 4 : position + 2 + length]
        if marker == 0xC2:
            components = [segment[6 + 3 * index] for index in range(segment[5])]
            missing = {(component, k) for component in components for k in range(64)}
        elif marker == 0xDA:
            count = segment[0]
            first, last, bits = segment[1 + 2 * count : 4 + 2 * count]
            if bits & 15 == 0:
                components = [segment[1 + 2 * index] for index in range(count)]
                missing -= {(component, k) for component in components for k in range(first, last + 1)}
        position += 2 + length
    return not missing


def _differing(first: Image.Image, second: Image.Image) -> float:
    """The share of pixels that differ visibly."""
    differing = 0
    step = max(1, (1 << 20) // first.width)
    for top in range(0, first.height, step):
        box = (0, top, first.width, min(top + step, first.height))
        a, b = (np.asarray(image.crop(box).convert("RGBA")).astype(np.int16) for image in (first, second))
        differing += int((np.abs(a - b).max(axis=-1) > _INVISIBLE).sum())
    return differing / (first.width * first.height)
