"""Descriptions of colour: profiles (ICC.1), colour chunks of a PNG, and the way to sRGB where none can be kept."""

import io
import struct
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms

from bitsr.common.pictures.picture import Chunk

GREY, RGB, CMYK = "GRAY", "RGB", "CMYK"
Rows = NDArray[np.uint8]

# CIE xy of the primaries and the white of ITU-T H.273: BT.709 and sRGB, BT.2020, Display P3, DCI-P3.
_D65 = (0.3127, 0.3290)
_SRGB_PRIMARIES = ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65)
_PRIMARIES = {
    1: _SRGB_PRIMARIES,
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    11: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), (0.314, 0.351)),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}
# Curves from stored value to light as parameters of an ICC parametricCurveType of function 3:
# y = (a x + b)^g from d, y = c x below.
_SRGB_CURVE = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)
_BT709_CURVE = (1 / 0.45, 1 / 1.099, 0.099 / 1.099, 1 / 4.5, 0.081)
_TRANSFERS: dict[int, tuple[float, ...]] = {
    1: _BT709_CURVE,
    4: (2.2,),
    5: (2.8,),
    6: _BT709_CURVE,
    8: (1.0,),
    13: _SRGB_CURVE,
    14: _BT709_CURVE,
    15: _BT709_CURVE,
}
_D50 = np.array([0.9642, 1.0, 0.8249])
_BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# gAMA of pictures that are meant as sRGB: 1 / 2.2 in units of 1/100000, and a little beside it.
_SRGB_GAMMA = range(45000, 46000)


def profile_space(profile: bytes) -> str | None:
    """The colour space of a profile, "RGB", "GRAY", "CMYK" or another; None where it is no profile that can be used."""
    if len(profile) < 132 or profile[36:40] != b"acsp":
        return None
    try:
        ImageCms.ImageCmsProfile(io.BytesIO(profile))
    except (OSError, ImageCms.PyCMSError):
        return None
    return profile[16:20].decode("latin-1").strip()


def chunks_profile(chunks: Sequence[Chunk], *, grey: bool) -> bytes | None:
    """A profile with the meaning of a PNG's colour chunks; None where they mean sRGB.

    cICP goes before sRGB, and that before gAMA and cHRM (PNG third edition, 12.1).

    Raises:
        ValueError: a profile cannot say it, as with the curves of HDR.
    """
    found = dict(chunks)
    if b"cICP" in found:
        primaries, transfer = found[b"cICP"][:2]
        if primaries not in _PRIMARIES or transfer not in _TRANSFERS:
            raise ValueError(f"cICP with primaries {primaries} and transfer {transfer}")
        return _profile(_PRIMARIES[primaries], _TRANSFERS[transfer], grey=grey)
    if b"sRGB" in found or not found.keys() & {b"gAMA", b"cHRM"}:
        return None
    gamma = struct.unpack(">I", found[b"gAMA"])[0] if b"gAMA" in found else 45455
    curve = _SRGB_CURVE if gamma in _SRGB_GAMMA or gamma == 0 else (100000 / gamma,)
    xy = _SRGB_PRIMARIES
    if b"cHRM" in found:
        values = [value / 100000 for value in struct.unpack(">8I", found[b"cHRM"])]
        white, red, green, blue = zip(values[::2], values[1::2], strict=True)
        xy = (red, green, blue, white)
    return _profile(xy, curve, grey=grey)


def _profile(xy: Sequence[tuple[float, float]], curve: tuple[float, ...], *, grey: bool) -> bytes | None:
    """A matrix profile of version 4, or a grey one of the same curve; None where it would be sRGB."""
    if curve == _SRGB_CURVE and (grey or np.allclose(xy, _SRGB_PRIMARIES, atol=1e-3)):
        return None
    function = 0 if len(curve) == 1 else 3
    para = b"para" + bytes(4) + struct.pack(">HH", function, 0) + b"".join(map(_fixed, curve))
    tags = [
        (b"desc", _text("colours of a PNG")),
        (b"cprt", _text("public domain")),
        (b"wtpt", b"XYZ " + bytes(4) + b"".join(map(_fixed, _D50))),
    ]
    if grey:
        tags.append((b"kTRC", para))
    else:
        columns = _to_d50(xy).T
        tags += [
            (name, b"XYZ " + bytes(4) + b"".join(map(_fixed, xyz)))
            for name, xyz in zip((b"rXYZ", b"gXYZ", b"bXYZ"), columns, strict=True)
        ]
        tags += [(name, para) for name in (b"rTRC", b"gTRC", b"bTRC")]
    table, body = struct.pack(">I", len(tags)), b""
    for name, content in tags:
        table += name + struct.pack(">II", 132 + 12 * len(tags) + len(body), len(content))
        body += content + bytes(-len(content) % 4)
    header = struct.pack(">I4sI", 132 + len(table) - 4 + len(body), bytes(4), 0x04300000) + b"mntr"
    header += (GREY if grey else RGB).ljust(4).encode() + b"XYZ " + struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp"
    header += bytes(28) + b"".join(map(_fixed, _D50))
    return header.ljust(128, b"\0") + table + body


def _to_d50(xy: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """The matrix from linear RGB to XYZ, adapted to the white D50 of profiles by Bradford's method."""
    xyz = np.array([(x / y, 1, (1 - x - y) / y) for x, y in xy])
    white = xyz[3]
    matrix = xyz[:3].T * np.linalg.solve(xyz[:3].T, white)
    cones = np.diag((_BRADFORD @ _D50) / (_BRADFORD @ white))
    return np.asarray(np.linalg.inv(_BRADFORD) @ cones @ _BRADFORD @ matrix)


def _fixed(value: float) -> bytes:
    return struct.pack(">i", round(value * 65536))


def _text(text: str) -> bytes:
    content = text.encode("utf-16-be")
    return b"mluc" + bytes(4) + struct.pack(">II2s2sII", 1, 12, b"en", b"US", len(content), 28) + content


def to_srgb(profile: bytes, *, grey: bool) -> Callable[[Rows], Rows]:
    """A function from rows (h, W, 1 or 3) in the profile's colours to rows of as many channels in sRGB.

    With ``grey`` the rows have one channel, and the result is grey whatever the profile does.
    """
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    mode = "L" if profile_space(profile) == GREY else "RGB"
    transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), mode, "RGB")

    def convert(rows: Rows) -> Rows:
        pixels = rows[..., 0] if mode == "L" else np.broadcast_to(rows, (*rows.shape[:2], 3))
        image = ImageCms.applyTransform(Image.fromarray(np.ascontiguousarray(pixels)), transform)
        assert image is not None  # only the in-place form returns None
        return np.asarray(image)[..., 1:2] if grey else np.asarray(image)

    return convert


def cmyk_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """A CMYK picture in sRGB, by its profile where it has a usable one for CMYK."""
    if profile is None:
        return image.convert("RGB")
    source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
    converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    assert converted is not None  # only the in-place form returns None
    return converted
