"""PNG written row by row, so that a picture need not lie in memory as a whole (ISO/IEC 15948:2004)."""

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Colour type by the number of channels: grey, grey and alpha, RGB, RGBA.
_COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}
# Rows are filtered in parts of about this many bytes.
_PART_BYTES = 1 << 20


class PngWriter:
    """Write 8-bit rows (h, W, C) from top to bottom to ``file``; C is 1 (grey), 2 (with alpha), 3 (RGB) or 4 (RGBA).

    ``chunks``, (kind, content) each, stand between the header and the pixels. Each row gets the filter with the least
    sum of absolute differences, as the standard recommends (section 12.8).
    """

    def __init__(
        self,
        file: BinaryIO,
        *,
        width: int,
        height: int,
        channels: int,
        chunks: Iterable[tuple[bytes, bytes]] = (),
    ) -> None:
        self._file = file
        self._deflate = zlib.compressobj(6)
        self._above: NDArray[np.uint8] = np.zeros((1, width, channels), np.uint8)
        file.write(_SIGNATURE)
        self._chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, _COLOUR_TYPES[channels], 0, 0, 0))
        for kind, content in chunks:
            self._chunk(kind, content)

    def write(self, rows: NDArray[np.uint8]) -> None:
        """Append rows (h, W, C)."""
        step = max(1, _PART_BYTES // rows[0].size)
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            self._data(self._deflate.compress(_filtered(part, np.concatenate([self._above, part[:-1]])).tobytes()))
            self._above = part[-1:].copy()

    def close(self) -> None:
        """Write what is left; the file itself stays open."""
        self._data(self._deflate.flush())
        self._chunk(b"IEND", b"")

    def _data(self, content: bytes) -> None:
        if content:
            self._chunk(b"IDAT", content)

    def _chunk(self, kind: bytes, content: bytes) -> None:
        self._file.write(struct.pack(">I", len(content)))
        self._file.write(kind + content)
        self._file.write(struct.pack(">I", zlib.crc32(content, zlib.crc32(kind))))


def _filtered(rows: NDArray[np.uint8], above: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Rows (h, W, C) and those above them -> (h, 1 + W * C): the number of the filter, then the differences mod 256."""
    left, corner = (np.pad(part[:, :-1], ((0, 0), (1, 0), (0, 0))) for part in (rows, above))
    mean = ((left.astype(np.uint16) + above) >> 1).astype(np.uint8)
    candidates = [rows, rows - left, rows - above, rows - mean, rows - _paeth(left, above, corner)]
    sizes = [np.abs(candidate.view(np.int8).astype(np.int16)).sum(axis=(1, 2)) for candidate in candidates]
    best = np.argmin(sizes, axis=0).astype(np.uint8)
    result = np.empty((len(rows), 1 + rows[0].size), np.uint8)
    result[:, 0] = best
    for number, candidate in enumerate(candidates):
        chosen = best == number
        result[chosen, 1:] = candidate[chosen].reshape(-1, rows[0].size)
    return result


def _paeth(left: NDArray[np.uint8], above: NDArray[np.uint8], corner: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The neighbour that is nearest to left + above - corner; left before above before corner where equal."""
    a, b, c = (part.astype(np.int16) for part in (left, above, corner))
    to_a, to_b, to_c = np.abs(b - c), np.abs(a - c), np.abs(a + b - 2 * c)
    upper = np.where(to_b <= to_c, above, corner)
    return np.where((to_a <= to_b) & (to_a <= to_c), left, upper)
