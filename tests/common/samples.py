"""Small pictures, and files that are built chunk by chunk."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def gradient(height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8 whose channels differ."""
    y, x = np.mgrid[:height, :width]
    return np.stack([x * 255 // max(width - 1, 1), y * 255 // max(height - 1, 1), (x + y) % 256], -1).astype(np.uint8)


def textured(height: int, width: int) -> np.ndarray:
    """(height, width, 3) uint8 like a photo: smooth and noisy."""
    noise = np.random.default_rng(0).integers(0, 40, (height, width, 3))
    return np.clip(gradient(height, width) * 0.8 + noise, 0, 255).astype(np.uint8)


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    """The file of a picture in Pillow's format ``name``."""
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(values: np.ndarray, *, bits: int, colour_type: int, chunks: bytes = b"") -> bytes:
    """A PNG of ``values`` (H, W, C) of ``bits`` bits each; ``chunks`` stand before its pixels."""
    height, width, _ = values.shape
    if bits == 16:
        packed = values.astype(">u2").reshape(height, -1).view(np.uint8)
    elif bits == 8:
        packed = values.astype(np.uint8).reshape(height, -1)
    else:
        flat = values.reshape(height, -1, 1) >> np.arange(bits - 1, -1, -1) & 1
        packed = np.packbits(flat.reshape(height, -1).astype(np.uint8), axis=1)
    rows = np.pad(packed, ((0, 0), (1, 0)))
    header = struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0)
    parts = [(b"IHDR", header), None, (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks if part is None else chunk(*part) for part in parts)


def png_with(kind: bytes, content: bytes) -> bytes:
    """A PNG of :func:`gradient` (24, 32) with one more chunk."""
    return png(gradient(24, 32), bits=8, colour_type=2, chunks=chunk(kind, content))


def grey_profile(gamma: float = 1.8) -> bytes:
    """A profile of grey values."""
    curve = b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"
    white = struct.pack(">iii", 63190, 65536, 54061)
    tags = [
        (b"wtpt", b"XYZ \0\0\0\0" + white),
        (b"kTRC", curve),
        (b"desc", b"desc\0\0\0\0" + struct.pack(">I", 5) + b"grey\0" + bytes(79)),
        (b"cprt", b"text\0\0\0\0none\0\0\0\0"),
    ]
    offset = 132 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        table += name + struct.pack(">II", offset + len(body), len(content))
        body += content
    header = bytearray(128)
    header[:4] = struct.pack(">I", offset + len(body))
    header[8:24] = b"\x02\x20\0\0mntrGRAYXYZ "
    header[24:36] = struct.pack(">6H", 2026, 1, 1, 0, 0, 0)
    header[36:40] = b"acsp"
    header[68:80] = white
    return bytes(header) + table + body
