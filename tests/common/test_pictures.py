"""Reading and writing pictures of every mode, and refusing what cannot be carried."""

import io
import os
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bitsr.common.errors import NoSpaceError, PictureError, UsageError
from bitsr.common.pictures import (
    Metadata,
    Picture,
    output_format,
    picture_size,
    read_picture,
    reading,
    write_picture,
    write_rows,
)
from bitsr.common.png import PngWriter

from .samples import SRGB, gradient, grey_profile


def test_rgb_with_profile_survives_reading_and_writing(tmp_path: Path) -> None:
    picture = Picture(gradient(5, 7), metadata=Metadata(icc_profile=SRGB))
    write_picture(tmp_path / "a.png", picture)
    back = read_picture(tmp_path / "a.png")
    assert np.array_equal(back.rgb, picture.rgb)
    assert back.metadata.icc_profile == SRGB
    assert (back.height, back.width, back.alpha, back.grey) == (5, 7, None, False)
    assert picture_size(tmp_path / "a.png") == (7, 5)


@pytest.mark.parametrize(
    ("extension", "grey"),
    [(".png", False), (".png", True), (".tif", False), (".tif", True), (".webp", False), (".webp", True)],
)
def test_alpha_and_grey_survive(tmp_path: Path, extension: str, grey: bool) -> None:
    rgb = np.full((6, 4, 3), 90, np.uint8)
    rgb[..., 0] += 0 if grey else 40
    alpha = np.tile(np.array([0, 100, 200, 255], np.uint8), (6, 1))
    write_picture(tmp_path / f"a{extension}", Picture(rgb, alpha, grey=grey))
    back = read_picture(tmp_path / f"a{extension}")
    assert back.alpha is not None
    assert np.array_equal(back.alpha, alpha)
    assert back.grey is grey
    assert np.abs(back.rgb[:, 1:].astype(int) - rgb[:, 1:]).max() <= 3  # WebP is lossy


def test_opaque_alpha_is_no_alpha(tmp_path: Path) -> None:
    Image.fromarray(gradient(3, 3)).convert("RGBA").save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").alpha is None


def test_palette_with_transparency(tmp_path: Path) -> None:
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putdata([0, 1])
    image.save(tmp_path / "a.png", transparency=1)
    picture = read_picture(tmp_path / "a.png")
    assert picture.rgb.tolist() == [[[10, 20, 30], [10, 20, 30]]]  # the visible colour goes on below alpha 0
    assert picture.alpha is not None
    assert picture.alpha.tolist() == [[255, 0]]


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0, 257 * 7, 257 * 200, 65535]], np.uint16)).save(tmp_path / "a.png")
    picture = read_picture(tmp_path / "a.png")
    assert picture.rgb[0, :, 0].tolist() == [0, 7, 200, 255]
    assert picture.grey


def test_one_bit_picture(tmp_path: Path) -> None:
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "a.png")
    assert read_picture(tmp_path / "a.png").rgb[0, :, 0].tolist() == [255, 0]


def test_cmyk_becomes_rgb_without_its_profile(tmp_path: Path) -> None:
    Image.new("CMYK", (4, 4), (0, 255, 255, 0)).save(tmp_path / "a.jpg", quality=100)
    picture = read_picture(tmp_path / "a.jpg")
    red, green, blue = picture.rgb[2, 2]
    assert red > 240
    assert max(green, blue) < 15
    assert picture.metadata.icc_profile is None


def test_exif_orientation_is_applied(tmp_path: Path) -> None:
    image = Image.fromarray(gradient(2, 5))
    exif = image.getexif()
    exif[0x0112] = 6  # shown turned by 90 degrees clockwise
    image.save(tmp_path / "a.png", exif=exif)
    picture = read_picture(tmp_path / "a.png")
    assert np.array_equal(picture.rgb, np.rot90(gradient(2, 5), -1))


def test_multi_picture_jpeg_of_phones_is_read(tmp_path: Path) -> None:
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ("red", "blue"))
    first.save(tmp_path / "a.mpo", save_all=True, append_images=[second])
    assert read_picture(tmp_path / "a.mpo").rgb[0, 0, 0] > 240


def test_animation_is_refused(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    with pytest.raises(PictureError, match="2 frames"):
        read_picture(tmp_path / "a.gif")


@pytest.mark.parametrize("mode", ["F", "I", "LAB"])
def test_modes_that_eight_bit_cannot_hold_are_refused(tmp_path: Path, mode: str) -> None:
    Image.new(mode, (2, 2)).save(tmp_path / "a.tif")
    with pytest.raises(PictureError, match=f"mode {mode}"):
        read_picture(tmp_path / "a.tif")


def test_broken_files_give_one_error(tmp_path: Path) -> None:
    whole = tmp_path / "whole.png"
    write_picture(whole, Picture(np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)))
    contents = whole.read_bytes()
    for name, data in {
        "empty.png": b"",
        "text.png": b"this is no picture",
        "header.png": contents[:20],
        "truncated.png": contents[: len(contents) // 2],
        "truncated.jpg": b"\xff\xd8\xff\xe0",
    }.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(PictureError, match=name):
            read_picture(tmp_path / name)


def test_every_truncation_gives_a_picture_error(tmp_path: Path) -> None:
    for extension in (".png", ".jpg", ".webp", ".tif", ".bmp"):
        path = tmp_path / f"a{extension}"
        write_picture(path, Picture(gradient(16, 16)))
        contents = path.read_bytes()
        for length in range(0, len(contents) - 1, max(1, len(contents) // 40)):
            path.write_bytes(contents[:length])
            try:
                read_picture(path)
            except PictureError:
                continue
            # What follows the pixels (TIFF directories, PNG's end chunk) may be missing, the picture itself not.
            assert length > len(contents) // 2


def test_missing_file_and_folder_are_usage_errors(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file"):
        read_picture(tmp_path / "nothing.png")
    with pytest.raises(UsageError, match="folder"):
        read_picture(tmp_path)


def png_with_few_pixels(width: int, height: int) -> bytes:
    """A PNG whose header claims a size that its data does not have."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)), (b"IDAT", zlib.compress(bytes(100)))]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
        for kind, content in chunks
    )


def test_decompression_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_with_few_pixels(50_000, 50_000))
    for read in (read_picture, picture_size):
        with pytest.raises(PictureError, match=r"50000x50000 pixels in \d+ bytes.* decompression bomb"):
            read(tmp_path / "a.png")


def test_a_panorama_beyond_pillows_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / "a.png", Picture(gradient(20, 20)))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)  # Pillow refuses more than twice as many
    assert read_picture(tmp_path / "a.png").width == 20
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_picture_larger_than_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_picture(tmp_path / "a.png", Picture(gradient(20, 20)))
    monkeypatch.setattr(reading, "available_memory", lambda: 1000)
    with pytest.raises(PictureError, match=r"a\.png \(20x20\) needs about"):
        read_picture(tmp_path / "a.png")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize("extension", [".png", ".tif"])
def test_rows_make_the_picture(tmp_path: Path, channels: int, extension: str) -> None:
    rng = np.random.default_rng(channels)
    whole = np.concatenate([rng.integers(0, 256, (9, 13, channels)), np.full((8, 13, channels), 7)]).astype(np.uint8)
    path = tmp_path / f"a{extension}"
    parts = [whole[:1], whole[1:10], whole[10:]]
    profile = grey_profile() if channels < 3 else SRGB
    write_rows(path, parts, width=13, height=17, channels=channels, metadata=Metadata(icc_profile=profile))
    with Image.open(path) as image:
        assert image.mode == ("L", "LA", "RGB", "RGBA")[channels - 1]
        assert image.info["icc_profile"] == profile
        assert np.array_equal(np.asarray(image).reshape(whole.shape), whole)
    assert os.listdir(tmp_path) == [path.name]


@given(height=st.integers(1, 12), width=st.integers(1, 12), channels=st.integers(1, 4), seed=st.integers(0, 999))
@settings(max_examples=60, deadline=None, derandomize=True)
def test_png_of_any_size(height: int, width: int, channels: int, seed: int) -> None:
    # Smooth and noisy rows, so that every filter is chosen somewhere.
    rng = np.random.default_rng(seed)
    smooth = np.cumsum(rng.integers(-3, 4, (height, width, channels)), axis=seed % 2)
    rows = np.where(rng.random((height, 1, 1)) < 0.8, smooth + 128, rng.integers(0, 256, smooth.shape)).astype(np.uint8)
    file = io.BytesIO()
    writer = PngWriter(file, width=width, height=height, channels=channels)
    for part in np.array_split(rows, min(3, height)):
        writer.write(part)
    writer.close()
    assert np.array_equal(np.asarray(Image.open(file)).reshape(rows.shape), rows)


def test_png_rows_compress_as_pillows_do(photo: Path) -> None:
    whole = np.asarray(Image.open(photo).convert("RGB"))
    ours, pillows = io.BytesIO(), io.BytesIO()
    writer = PngWriter(ours, width=whole.shape[1], height=whole.shape[0], channels=3)
    writer.write(whole)
    writer.close()
    Image.fromarray(whole).save(pillows, "PNG")
    assert len(ours.getvalue()) < 1.03 * len(pillows.getvalue())


def test_postscript_never_reaches_an_interpreter(tmp_path: Path) -> None:
    (tmp_path / "a.eps").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n")
    with pytest.raises(PictureError, match=r"a\.eps"):
        read_picture(tmp_path / "a.eps")


def test_output_format_refuses_what_it_cannot_carry() -> None:
    with pytest.raises(UsageError, match=r"\.gif"):
        output_format("a.gif", alpha=False, width=1, height=1)
    with pytest.raises(UsageError, match="transparency"):
        output_format("a.jpg", alpha=True, width=1, height=1)
    with pytest.raises(UsageError, match="16383"):
        output_format("a.webp", alpha=True, width=20000, height=1)
    assert output_format("a.JPG", alpha=False, width=65500, height=1).name == "JPEG"


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    write_picture(path, Picture(gradient(4, 4)))
    before = path.read_bytes()

    def fail(self: PngWriter, rows: np.ndarray) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(PngWriter, "write", fail)
    with pytest.raises(NoSpaceError, match="No space left"):
        write_picture(path, Picture(gradient(8, 8)))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.png"]


def test_written_file_has_the_usual_rights(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", Picture(gradient(4, 4)))
    (tmp_path / "b").touch()
    assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == stat.S_IMODE((tmp_path / "b").stat().st_mode)
