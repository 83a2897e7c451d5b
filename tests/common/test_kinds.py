"""Which files are pictures: pages and frames, depths, kinds that are told apart, folders."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitsr.common.errors import PictureError, UsageError
from bitsr.common.pictures import list_pictures, read_picture, survey

from .samples import encoded, gradient, png

RGB = Image.fromarray(gradient(24, 32))
SUBFILE_TYPE = 254


def pages(*kinds: int) -> bytes:
    """A TIFF of pages whose kinds are as given: 0 a picture, 1 a smaller copy, 4 a mask."""
    images = [RGB.resize((8, 6)) if kind else RGB.copy() for kind in kinds]
    for image, kind in zip(images, kinds, strict=True):
        image.encoderinfo = {"tiffinfo": {SUBFILE_TYPE: kind}}
    return encoded(images[0], "TIFF", save_all=True, append_images=images[1:], tiffinfo={SUBFILE_TYPE: kinds[0]})


@pytest.mark.parametrize("kinds", [(0, 1), (1, 0), (0, 1, 4), (0, 1, 1, 1)])
def test_the_page_of_a_tiff_with_a_thumbnail(tmp_path: Path, kinds: tuple[int, ...]) -> None:
    (tmp_path / "a.tif").write_bytes(pages(*kinds))
    assert np.array_equal(read_picture(tmp_path / "a.tif").rgb, np.asarray(RGB))


def test_several_pages_are_refused_by_that_name(tmp_path: Path) -> None:
    (tmp_path / "a.tif").write_bytes(pages(0, 1, 0))
    with pytest.raises(PictureError, match="has 2 pages"):
        read_picture(tmp_path / "a.tif")


@pytest.mark.parametrize("name", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animations_are_refused_by_that_name(tmp_path: Path, name: str) -> None:
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    (tmp_path / "a").write_bytes(encoded(frames[0], name, save_all=True, append_images=frames[1:]))
    with pytest.raises(PictureError, match="animation with 2 frames"):
        read_picture(tmp_path / "a")


@pytest.mark.parametrize("largest", [255, 1023, 4095, 16383, 65535])
def test_grey_of_every_depth_is_that_of_the_same_png(tmp_path: Path, largest: int) -> None:
    values = np.linspace(0, largest, 24 * 32).round().astype(np.uint16).reshape(24, 32)
    deep = np.round(values * (65535 / largest)).astype(int)
    (tmp_path / "a.png").write_bytes(png(deep[..., None], bits=16, colour_type=0))
    expected = read_picture(tmp_path / "a.png")
    raw = values.astype(">u2" if largest > 255 else np.uint8).tobytes()
    files = {"a.pgm": b"P5 32 24 %d\n" % largest + raw, "b.pgm": b"P2 32 24 %d\n" % largest}
    files["b.pgm"] += b"\n".join(b" ".join(b"%d" % value for value in row) for row in values)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
        picture = read_picture(tmp_path / name)
        assert np.abs(picture.rgb.astype(int) - expected.rgb).max() <= 1
        assert picture.grey


def test_twelve_bits_of_a_tiff(tmp_path: Path) -> None:
    """Two values of 12 bits lie in three bytes."""
    values = np.array([[0, 4095, 2048, 16]])
    a, b = values[:, ::2], values[:, 1::2]
    packed = np.stack([a >> 4, (a & 15) << 4 | b >> 8, b & 255], axis=-1).astype(np.uint8).tobytes()
    entries = {256: 4, 257: 1, 258: 12, 259: 1, 262: 1, 273: 8, 277: 1, 278: 1, 279: len(packed)}
    body = packed + bytes(len(packed) % 2)
    ifd = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries.items())
    content = b"II*\0" + struct.pack("<I", 8 + len(body)) + body + struct.pack("<H", len(entries)) + ifd + bytes(4)
    (tmp_path / "a.tif").write_bytes(content)
    assert read_picture(tmp_path / "a.tif").rgb[0, :, 0].tolist() == [0, 255, 128, 1]


UNSUPPORTED = {
    "HEIC": b"\0\0\0\x18ftypheic" + bytes(200),
    "JPEG XL": b"\xff\x0a" + bytes(50),
    "vector graphics": b"%PDF-1.7 " + bytes(50),
    "video": b"\0\0\0\x18ftypisom" + bytes(50),
}


@pytest.mark.parametrize(("kind", "content"), UNSUPPORTED.items())
@pytest.mark.parametrize("name", ["a", "a.jpg"])
def test_kinds_that_are_not_supported_are_told_apart(tmp_path: Path, kind: str, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PictureError, match=f"is a {kind} file, which is not supported; convert"):
        read_picture(tmp_path / name)


def test_a_camera_raw_file_is_not_its_thumbnail(tmp_path: Path) -> None:
    dng = encoded(RGB.resize((8, 6)), "TIFF", tiffinfo={50706: b"\1\4\0\0"})
    for name, content in (("a.tif", dng), ("a.nef", encoded(RGB, "TIFF"))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(PictureError, match="is a camera raw file"):
            read_picture(tmp_path / name)


def test_a_folder_is_taken_as_a_whole(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(UNSUPPORTED["HEIC"])
    for name in ("one.HEIC", "two.heif"):
        (tmp_path / name).write_bytes(UNSUPPORTED["HEIC"])
    (tmp_path / "three.jxl").write_bytes(UNSUPPORTED["JPEG XL"])
    for name, kind in {
        "b.PNG": "PNG",
        "c.dds": "DDS",
        "d.ico": "ICO",
        "e.mpo": "JPEG",
        "f": "JPEG",
        "g.bin": "PNG",
    }.items():
        (tmp_path / name).write_bytes(encoded(RGB, kind))
    for name in ("notes.txt", ".hidden.png", "h.dng"):
        (tmp_path / name).write_bytes(b"text")
    (tmp_path / "sub").mkdir()
    RGB.save(tmp_path / "sub" / "i.png")
    listing = survey(tmp_path)
    assert [path.name for path in listing.pictures] == ["b.PNG", "c.dds", "d.ico", "e.mpo", "f", "g.bin"]
    assert dict(listing.left_out) == {"HEIC": 3, "JPEG XL": 1, "camera raw": 1, "folder": 1, "other file": 1}
    remark = listing.remark()
    assert "3 HEIC files (not supported; convert to JPEG or PNG first" in remark
    assert "1 folder (--recursive enters them)" in remark
    assert [path.name for path in list_pictures(tmp_path)][-1] == "i.png"
    assert "folder" not in survey(tmp_path, recursive=True).left_out
    for path in listing.pictures:
        assert read_picture(path).width == (24 if path.suffix == ".ico" else 32)  # icons are square


def test_a_folder_without_pictures_says_what_there_is(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(UNSUPPORTED["HEIC"])
    with pytest.raises(UsageError, match=r"no picture in .*1 HEIC file "):
        list_pictures(tmp_path)
