"""A PNG's chunks, taken apart before Pillow sees them (ISO/IEC 15948, PNG third edition).

A decoder for pixels needs few chunks. What else a file holds is read here, so that no damaged or large text, profile or
EXIF chunk loses the picture, and so that descriptions of colour that Pillow does not hand on are kept.
"""

import io
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# Chunks that the pixels need; a palette's transparency is one of them.
_PIXEL_CHUNKS = {b"IHDR", b"PLTE", b"IDAT", b"IEND"}
COLOUR_CHUNKS = {b"cICP": 4, b"sRGB": 1, b"gAMA": 4, b"cHRM": 32, b"mDCV": 24, b"cLLI": 8}
_TEXT_CHUNKS = (b"tEXt", b"zTXt", b"iTXt")
# Text that holds EXIF data in hexadecimal digits, as ImageMagick writes it, or XMP, which may name an orientation.
_EXIF_KEYWORDS = (b"Raw profile type exif", b"Raw profile type APP1")
_XMP_KEYWORD = b"XML:com.adobe.xmp"
# More than this is no metadata of a picture.
_LARGEST = 1 << 26
_GREY, _RGB, _PALETTE = 0, 2, 3
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, 4: 2, 6: 4}
# Filter "up" with differences 0 repeats the row above.
_REPEATED_ROW = b"\2"


class PngError(Exception):
    """The chunks of a PNG do not make a picture."""


@dataclass
class PngFile:
    """What the chunks say.

    Attributes:
        pieces: (offset, bytes) of what a decoder of pixels needs.
        bits, colour_type: as in the header.
        key: the grey or RGB values, of ``bits`` bits, of fully transparent pixels.
        damaged: names of chunks that are left out because they are damaged.
    """

    path: Path
    width: int = 0
    height: int = 0
    bits: int = 8
    colour_type: int = _RGB
    interlaced: bool = False
    pieces: list[tuple[int, int]] = field(default_factory=list)
    key: tuple[int, ...] | None = None
    frames: int = 1
    icc_profile: bytes | None = None
    colour_chunks: list[tuple[bytes, bytes]] = field(default_factory=list)
    dpi: tuple[float, float] | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    damaged: list[str] = field(default_factory=list)

    def open(self) -> BinaryIO:
        """The file as a decoder of pixels shall see it."""
        return io.BufferedReader(_Pieces(self.path, self.pieces))


def is_png(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SIGNATURE)) == SIGNATURE


def scan_png(path: Path) -> PngFile:
    """Read every chunk but the pixels.

    Raises:
        PngError: there is no header.
    """
    png = PngFile(path, pieces=[(0, len(SIGNATURE))])
    size = path.stat().st_size
    with path.open("rb") as file:
        offset = len(SIGNATURE)
        while offset + 8 <= size:
            file.seek(offset)
            length, kind = struct.unpack(">I4s", file.read(8))
            end = min(offset + 12 + length, size)
            wanted = kind in _PIXEL_CHUNKS or (kind == b"tRNS" and png.colour_type == _PALETTE)
            critical = not kind[0] & 0x20
            if kind == b"IHDR":
                _read_header(png, file.read(length if length == 13 else 0))
            if wanted or critical:
                png.pieces.append((offset, end - offset))
            elif length <= _LARGEST:
                _read_ancillary(png, kind, file.read(length + 4), length)
            else:
                png.damaged.append(kind.decode("latin-1"))
            offset = end
            if kind == b"IEND":
                break
    if not png.width:
        raise PngError("its header is missing")
    return png


def complete_png(png: PngFile) -> tuple[bytes, float]:
    """A PNG whose last rows are missing -> a whole one, whose missing rows repeat the last, and the share missing.

    Raises:
        PngError: the data is damaged in another way than by an early end, or the rows are interlaced.
    """
    row = 1 + -(-png.width * _CHANNELS.get(png.colour_type, 0) * png.bits // 8)
    expected = row * png.height
    if png.interlaced or row == 1:
        raise PngError("its rows are interlaced")
    inflate = zlib.decompressobj()
    rows = bytearray()
    others = []
    with png.path.open("rb") as file:
        for offset, length in png.pieces[1:]:
            file.seek(offset)
            chunk = file.read(length)
            if chunk[4:8] != b"IDAT":
                others.append(chunk)
                continue
            stated = struct.unpack(">I", chunk[:4])[0]
            if length == 12 + stated and zlib.crc32(chunk[4:-4]) != struct.unpack(">I", chunk[-4:])[0]:
                raise PngError("its pixels are damaged")
            try:
                rows += inflate.decompress(chunk[8 : 8 + stated], expected - len(rows) + 1)
            except zlib.error as error:
                raise PngError("its pixels are damaged") from error
    missing = max(0, expected - len(rows)) / expected
    rows = rows[: len(rows) // row * row] if len(rows) < expected else rows[:expected]
    rows += (_REPEATED_ROW + bytes(row - 1)) * (png.height - len(rows) // row)
    before = [chunk for chunk in others if chunk[4:8] != b"IEND"]
    content = SIGNATURE + b"".join(before) + _chunk(b"IDAT", zlib.compress(rows, 1)) + _chunk(b"IEND", b"")
    return content, missing


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _read_header(png: PngFile, content: bytes) -> None:
    if len(content) != 13:
        raise PngError("its header is damaged")
    png.width, png.height, png.bits, png.colour_type, _, _, interlace = struct.unpack(">IIBBBBB", content)
    png.interlaced = interlace != 0


def _read_ancillary(png: PngFile, kind: bytes, content: bytes, length: int) -> None:
    """Take in a chunk that is not needed for the pixels; a damaged one is left out."""
    known = kind in COLOUR_CHUNKS or kind in (b"tRNS", b"iCCP", b"pHYs", b"eXIf", b"acTL", *_TEXT_CHUNKS)
    if not known:
        return
    body = content[:length]
    try:
        if len(content) != length + 4 or zlib.crc32(kind + body) != struct.unpack(">I", content[length:])[0]:
            raise ValueError("wrong checksum")
        if kind in COLOUR_CHUNKS:
            if length != COLOUR_CHUNKS[kind]:
                raise ValueError("wrong length")
            png.colour_chunks.append((kind, body))
        elif kind == b"tRNS":
            png.key = _read_key(png, body)
        elif kind == b"iCCP":
            png.icc_profile = _inflated(body[body.index(b"\0") + 2 :])
        elif kind == b"pHYs":
            across, down, unit = struct.unpack(">IIB", body)
            if unit == 1:  # pixels per metre
                png.dpi = (across * 0.0254, down * 0.0254)
        elif kind == b"eXIf":
            png.exif = body
        elif kind == b"acTL":
            png.frames = struct.unpack(">II", body)[0]
        else:
            _read_text(png, kind, body)
    except (ValueError, struct.error, zlib.error):
        png.damaged.append(kind.decode("ascii"))


def _read_key(png: PngFile, body: bytes) -> tuple[int, ...] | None:
    """Only the lowest ``bits`` bits of each value count."""
    if png.colour_type not in (_GREY, _RGB):
        return None
    values = struct.unpack(f">{_CHANNELS[png.colour_type]}H", body)
    return tuple(value & ((1 << png.bits) - 1) for value in values)


def _read_text(png: PngFile, kind: bytes, body: bytes) -> None:
    keyword, _, rest = body.partition(b"\0")
    if keyword in _EXIF_KEYWORDS and kind in (b"tEXt", b"zTXt"):
        text = _inflated(rest[1:]) if kind == b"zTXt" else rest
        # An empty line, the name, the number of bytes, the digits.
        digits = b"".join(text.split()[2:]).decode("ascii")
        png.exif = png.exif or bytes.fromhex(digits)
    elif keyword == _XMP_KEYWORD and kind == b"iTXt":
        compressed = rest[:1] == b"\1"
        text = rest[2:].split(b"\0", 2)[2]
        png.xmp = _inflated(text) if compressed else text


def _inflated(content: bytes) -> bytes:
    inflate = zlib.decompressobj()
    result = inflate.decompress(content, _LARGEST)
    if not inflate.eof:
        raise ValueError("incomplete or too large")
    return result


class _Pieces(io.RawIOBase):
    """Parts of a file, one behind the other, as a file."""

    def __init__(self, path: Path, pieces: list[tuple[int, int]]) -> None:
        self._file = path.open("rb")
        self._pieces = pieces
        self._size = sum(length for _, length in pieces)
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        start = 0
        for offset, length in self._pieces:
            inside = self._position - start
            if 0 <= inside < length:
                self._file.seek(offset + inside)
                content = self._file.read(min(len(buffer), length - inside))
                buffer[: len(content)] = content
                self._position += len(content)
                return len(content)
            start += length
        return 0

    def close(self) -> None:
        self._file.close()
        super().close()
