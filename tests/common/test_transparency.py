"""Colours below full transparency do not reach the network; a PNG's transparent value is found at every depth."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from bitsr.common.pictures import picture_from_image, read_picture
from bitsr.common.pictures.transparency import fill_hidden

from .samples import chunk, encoded, png

ORANGE = (235, 140, 30)


def disc(*, soft: bool) -> np.ndarray:
    """(96, 96) alpha of a disc."""
    mask = Image.new("L", (384, 384))
    ImageDraw.Draw(mask).ellipse((40, 40, 344, 344), fill=255)
    return np.asarray(mask.resize((96, 96), Image.Resampling.BOX if soft else Image.Resampling.NEAREST))


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("PNG", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True, "exact": True}),
        ("TGA", {}),
        ("ICO", {"sizes": [(96, 96)]}),
        ("DDS", {}),
        ("JPEG2000", {}),
        ("QOI", {}),
    ],
)
def test_hidden_colours_are_those_of_the_edge(
    tmp_path: Path, name: str, options: dict[str, object], soft: bool
) -> None:
    alpha = disc(soft=soft)
    rgb = np.where((alpha > 0)[..., None], ORANGE, (0, 0, 0)).astype(np.uint8)
    (tmp_path / "sprite").write_bytes(encoded(Image.fromarray(np.dstack([rgb, alpha])), name, **options))
    picture = read_picture(tmp_path / "sprite")
    assert picture.alpha is not None
    assert np.array_equal(picture.alpha, alpha)
    assert np.abs(picture.rgb.astype(int) - ORANGE).max() <= 1


def test_hidden_greys_are_those_of_the_edge(tmp_path: Path) -> None:
    alpha = disc(soft=True)
    values = np.dstack([np.where(alpha > 0, 200, 0), alpha])
    for bits in (8, 16):
        (tmp_path / "a.png").write_bytes(png(values * (257 if bits == 16 else 1), bits=bits, colour_type=4))
        picture = read_picture(tmp_path / "a.png")
        assert picture.grey
        assert (picture.rgb == 200).all()


def test_premultiplied_pixels_and_palettes(tmp_path: Path) -> None:
    alpha = disc(soft=False)
    sprite = Image.fromarray(np.dstack([np.broadcast_to(np.array(ORANGE, np.uint8), (96, 96, 3)), alpha]))
    for image in (sprite.convert("RGBa"), sprite.quantize(8, Image.Quantize.FASTOCTREE)):
        picture = picture_from_image(image)
        assert np.abs(picture.rgb.astype(int) - ORANGE).max() <= 8


def test_hidden_colours_go_on_smoothly() -> None:
    y, x = np.mgrid[:60, :81]
    whole = np.dstack([x * 2, y * 3, 255 - x]).astype(np.uint8)
    alpha = np.where((x - 40) ** 2 + (y - 30) ** 2 < 300, 255, 0).astype(np.uint8)
    rgb = np.where((alpha > 0)[..., None], whole, 0)
    fill_hidden(rgb, alpha)
    assert np.array_equal(rgb[alpha > 0], whole[alpha > 0])
    near = (alpha == 0) & ((x - 40) ** 2 + (y - 30) ** 2 < 360)
    assert np.abs(rgb.astype(int) - whole)[near].max() <= 8
    assert rgb[alpha == 0].max(axis=1).min() > 50  # nothing is left black


def test_a_barely_visible_pixel_counts_little() -> None:
    # Colours of nearly transparent pixels are coarse where a program multiplied by alpha before.
    rgb = np.zeros((1, 3, 3), np.uint8)
    rgb[0] = [(255, 0, 0), (9, 9, 9), (0, 0, 200)]
    fill_hidden(rgb, np.array([[1, 0, 255]], np.uint8))
    assert rgb[0, 1].tolist() == [1, 0, 199]


def test_all_hidden_is_left_as_it_is() -> None:
    rgb = np.full((4, 4, 3), 7, np.uint8)
    fill_hidden(rgb, np.zeros((4, 4), np.uint8))
    assert (rgb == 7).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_transparent_grey_has_the_depth_of_the_file(tmp_path: Path, bits: int) -> None:
    largest = (1 << bits) - 1
    for key in {0, 1, largest // 2, largest}:
        values = np.full((3, 8, 1), largest - key if largest - key != key else 0)
        values[:, :3] = key
        # Bits above the depth do not count.
        stated = key | (0xFFFF & ~largest)
        (tmp_path / "a.png").write_bytes(
            png(values, bits=bits, colour_type=0, chunks=chunk(b"tRNS", struct.pack(">H", stated)))
        )
        picture = read_picture(tmp_path / "a.png")
        assert picture.alpha is not None
        assert np.array_equal(picture.alpha == 0, values[..., 0] == key), key
        assert picture.grey


@pytest.mark.parametrize("bits", [8, 16])
def test_transparent_rgb_has_the_depth_of_the_file(tmp_path: Path, bits: int) -> None:
    key = np.array([0x12, 0x56, 0x9A]) * (257 if bits == 16 else 1)
    values = np.tile(key, (3, 8, 1))
    values[:, 3:] += [0, 0, 1]  # in 16 bits the upper bytes are the same
    (tmp_path / "a.png").write_bytes(
        png(values, bits=bits, colour_type=2, chunks=chunk(b"tRNS", struct.pack(">3H", *key)))
    )
    picture = read_picture(tmp_path / "a.png")
    assert picture.alpha is not None
    assert (picture.alpha[:, :3] == 0).all()
    assert (picture.alpha[:, 3:] == 255).all()


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_transparent_entries_of_a_palette(tmp_path: Path, bits: int) -> None:
    palette = chunk(b"PLTE", bytes([10, 20, 30, 40, 50, 60])) + chunk(b"tRNS", bytes([128, 255]))
    values = np.zeros((3, 8, 1), int)
    values[:, 4:] = 1
    (tmp_path / "a.png").write_bytes(png(values, bits=bits, colour_type=3, chunks=palette))
    picture = read_picture(tmp_path / "a.png")
    assert picture.alpha is not None
    assert picture.alpha[0].tolist() == [128] * 4 + [255] * 4
    assert picture.rgb[0, 7].tolist() == [40, 50, 60]


def test_a_key_that_no_pixel_has_is_no_transparency(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(
        png(np.full((2, 2, 1), 7), bits=8, colour_type=0, chunks=chunk(b"tRNS", b"\0\x08"))
    )
    assert read_picture(tmp_path / "a.png").alpha is None
