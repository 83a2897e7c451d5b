"""Files without their end: what every viewer shows is read, with a remark; what lost more is refused."""

import logging
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitsr.common.errors import PictureError
from bitsr.common.pictures import read_picture

from .samples import encoded, textured

PHOTO = Image.fromarray(textured(240, 320))
JPEGS = [{}, {"progressive": True}, {"quality": 95, "subsampling": 0}, {"quality": 30, "restart_marker_rows": 1}]


def pixels(content: bytes, folder: Path) -> np.ndarray:
    (folder / "picture").write_bytes(content)
    return read_picture(folder / "picture").rgb.astype(int)


@pytest.mark.parametrize("options", JPEGS)
@pytest.mark.parametrize("image", [PHOTO, PHOTO.convert("L"), PHOTO.convert("CMYK")])
def test_a_jpeg_without_its_end_marker(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, image: Image.Image, options: dict[str, object]
) -> None:
    whole = encoded(image, "JPEG", **options)
    expected = pixels(whole, tmp_path)
    assert not caplog.records
    for cut in (1, 2):
        with caplog.at_level(logging.WARNING):
            assert np.array_equal(pixels(whole[:-cut], tmp_path), expected)
        assert "ends too early; all its pixels are there" in caplog.text


@pytest.mark.parametrize("options", JPEGS)
@pytest.mark.parametrize("cut", [3, 5, 10, 20])
def test_a_jpeg_that_is_cut_by_a_few_bytes(tmp_path: Path, options: dict[str, object], cut: int) -> None:
    whole = encoded(PHOTO, "JPEG", **options)
    expected, found = pixels(whole, tmp_path), pixels(whole[:-cut], tmp_path)
    wrong = np.abs(found - expected).max(axis=-1) > 8
    assert wrong.mean() < 1 / 16
    assert not wrong[:-32].any() or options.get("progressive")


@pytest.mark.parametrize("options", JPEGS)
def test_a_jpeg_that_lost_much(tmp_path: Path, options: dict[str, object]) -> None:
    whole = encoded(PHOTO, "JPEG", **options)
    for share in (0.05, 0.3, 0.5, 0.75):
        with pytest.raises(PictureError, match="picture"):
            pixels(whole[: int(len(whole) * share)], tmp_path)


@pytest.mark.parametrize("name", ["PNG", "BMP", "PPM", "TGA", "WEBP", "PCX", "SGI", "TIFF"])
def test_other_formats_without_their_last_bytes(tmp_path: Path, name: str) -> None:
    whole = encoded(PHOTO, name, **({"lossless": True} if name == "WEBP" else {}))
    expected = pixels(whole, tmp_path)
    for cut in (1, 2, 30, 100):
        wrong = (pixels(whole[:-cut], tmp_path) != expected).any(axis=-1)
        assert wrong.mean() < 1 / 16
    with pytest.raises(PictureError):
        pixels(whole[: len(whole) // 2], tmp_path)


@pytest.mark.parametrize("image", [PHOTO, PHOTO.convert("L"), PHOTO.quantize(16), PHOTO.convert("1")])
def test_missing_rows_of_a_png_repeat_the_last(tmp_path: Path, image: Image.Image) -> None:
    whole = encoded(image, "PNG")
    end = whole.rindex(b"IEND") - 4
    found = pixels(whole[: end - 300], tmp_path)
    expected = pixels(whole, tmp_path)
    rows = np.flatnonzero((found != expected).any(axis=(1, 2)))
    assert rows.size
    assert np.array_equal(found[rows[0] : rows[0] + 1], found[rows[0] - 1 : rows[0]])


def test_damage_in_the_middle_of_a_png_stays_an_error(tmp_path: Path) -> None:
    content = bytearray(encoded(PHOTO, "PNG"))
    content[len(content) // 2] ^= 255
    with pytest.raises(PictureError, match="picture"):
        pixels(bytes(content), tmp_path)
