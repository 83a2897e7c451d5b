"""What a result keeps of a file beside its pixels, and that damage in it never loses the picture."""

import io
import logging
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from bitsr.common.pictures import Metadata, Picture, read_picture, write_picture
from bitsr.common.pictures.colour import chunks_profile, profile_space

from .samples import SRGB, chunk, encoded, gradient, grey_profile, png, png_with

RGB = Image.fromarray(gradient(24, 32))
GREY = RGB.convert("L")
ORIENTATION, DATE, COPYRIGHT, EXIF_IFD, GPS_IFD = 0x0112, 0x0132, 0x8298, 0x8769, 0x8825
EXPOSURE, TAKEN, MAKER_NOTE = 0x829A, 0x9003, 0x927C
RESULTS = [".png", ".jpg", ".webp", ".tif"]


def exif(*, orientation: int = 1, place: bool = True) -> Image.Exif:
    found = Image.Exif()
    found[ORIENTATION] = orientation
    found[DATE], found[COPYRIGHT] = "2020:01:02 03:04:05", "(c) somebody"
    found.get_ifd(EXIF_IFD).update({TAKEN: "2020:01:02 03:04:05", EXPOSURE: 0.25, MAKER_NOTE: b"offsets"})
    if place:
        found.get_ifd(GPS_IFD).update({1: "N", 2: (48.0, 8.0, 1.5)})
    return found


def converted(content: bytes, folder: Path, ending: str = ".png", *, keep_gps: bool = False) -> Image.Image:
    """A file read and written again, as Pillow sees it."""
    (folder / "source").write_bytes(content)
    write_picture(folder / f"result{ending}", read_picture(folder / "source", keep_gps=keep_gps))
    image = Image.open(folder / f"result{ending}")
    image.load()
    return image


@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif", ".bmp"])
@pytest.mark.parametrize("name", ["JPEG", "PNG", "TIFF", "BMP"])
def test_resolution_is_kept(tmp_path: Path, name: str, ending: str) -> None:
    for dpi in ((300, 300), (72, 72), (204, 98)):
        found = converted(encoded(RGB, name, dpi=dpi), tmp_path, ending).info["dpi"]
        assert found == pytest.approx(dpi, abs=0.02)


def test_resolution_of_a_turned_picture_is_turned(tmp_path: Path) -> None:
    content = encoded(RGB, "JPEG", dpi=(204, 98), exif=exif(orientation=6))
    assert converted(content, tmp_path).info["dpi"] == pytest.approx((98, 204), abs=0.02)


def test_resolution_of_exif_alone(tmp_path: Path) -> None:
    found = Image.Exif()
    found.update({0x011A: 118.11, 0x011B: 118.11, 0x0128: 3})  # per centimetre
    assert converted(encoded(RGB, "WEBP", exif=found), tmp_path).info["dpi"] == pytest.approx((300, 300), abs=0.1)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_no_resolution_is_made_up(tmp_path: Path, name: str) -> None:
    (tmp_path / "a").write_bytes(encoded(RGB, name))
    assert read_picture(tmp_path / "a").metadata.dpi is None


@pytest.mark.parametrize("ending", RESULTS)
@pytest.mark.parametrize("name", ["JPEG", "PNG", "WEBP", "AVIF", "MPO"])
@pytest.mark.parametrize("keep_gps", [False, True])
def test_exif_is_kept_without_place_and_thumbnail(tmp_path: Path, name: str, ending: str, keep_gps: bool) -> None:
    options = {"save_all": True, "append_images": [RGB]} if name == "MPO" else {}
    content = encoded(RGB, name, exif=exif(orientation=8), **options)
    image = converted(content, tmp_path, ending, keep_gps=keep_gps)
    assert image.size == (24, 32)
    found = image.getexif()
    assert (found[DATE], found[COPYRIGHT], found[ORIENTATION]) == ("2020:01:02 03:04:05", "(c) somebody", 1)
    assert found.get_ifd(EXIF_IFD)[TAKEN] == "2020:01:02 03:04:05"
    assert float(found.get_ifd(EXIF_IFD)[EXPOSURE]) == 0.25
    assert MAKER_NOTE not in found.get_ifd(EXIF_IFD)
    place = found.get_ifd(GPS_IFD)
    assert place.get(1) == ("N" if keep_gps else None)
    assert not found.get_ifd(1)  # the thumbnail's


def test_no_exif_is_made_up(tmp_path: Path) -> None:
    assert not converted(encoded(RGB, "JPEG"), tmp_path, ".jpg").getexif()


@pytest.mark.parametrize("number", range(1, 9))
def test_every_orientation(tmp_path: Path, number: int) -> None:
    found = Image.Exif()
    found[ORIENTATION] = number
    (tmp_path / "a.png").write_bytes(encoded(RGB, "PNG", exif=found))
    with Image.open(tmp_path / "a.png") as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert np.array_equal(read_picture(tmp_path / "a.png").rgb, expected)


def turned(content: bytes, folder: Path) -> bool:
    (folder / "a").write_bytes(content)
    picture = read_picture(folder / "a")
    return picture.width < picture.height


def test_exif_with_a_doubled_prefix_turns_the_picture(tmp_path: Path) -> None:
    found = Image.Exif()
    found[ORIENTATION] = 6
    content = found.tobytes()  # begins with the prefix
    body = content.removeprefix(b"Exif\0\0")
    for data in (body, content, b"Exif\0\0" + content):
        assert turned(png_with(b"eXIf", data), tmp_path)
        assert turned(encoded(RGB, "WEBP", exif=data), tmp_path)
    text = b"\nexif\n%8d\n%s\n" % (len(content), content.hex().encode())
    assert turned(png_with(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)), tmp_path)
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    assert turned(png_with(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp), tmp_path)


JUNK = [b"", bytes(8), b"not exif at all", b"Exif\0\0", b"II*\0\xff\xff\xff\x7f", b"MM\0*\0\0\0\x08\xff\xff" + bytes(9)]


@pytest.mark.parametrize("junk", JUNK)
def test_damaged_exif_is_left_out(tmp_path: Path, junk: bytes) -> None:
    for content in (
        png_with(b"eXIf", junk),
        encoded(RGB, "JPEG", exif=b"Exif\0\0" + junk),
        encoded(RGB, "WEBP", exif=junk or b" ", lossless=True),
    ):
        (tmp_path / "a").write_bytes(content)
        picture = read_picture(tmp_path / "a")
        assert (picture.width, picture.height, picture.metadata.exif) == (32, 24, None)


def test_damaged_chunks_are_left_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for kind in (b"tEXt", b"gAMA", b"pHYs", b"eXIf", b"iCCP", b"iTXt", b"zTXt", b"tRNS", b"bKGD", b"tIME"):
        content = bytearray(png_with(kind, b"Comment\0hello"))
        content[content.find(kind) + 8] ^= 1
        (tmp_path / "a.png").write_bytes(content)
        picture = read_picture(tmp_path / "a.png")
        assert np.array_equal(picture.rgb, gradient(24, 32))
        assert picture.metadata == Metadata(rgb=True)
    assert "damaged metadata is left out: tEXt chunk" in caplog.text


def test_large_text_and_profiles(tmp_path: Path) -> None:
    for kind in (b"zTXt", b"iCCP"):
        (tmp_path / "a.png").write_bytes(png_with(kind, b"a\0\0" + zlib.compress(bytes(2_000_000))))
        assert read_picture(tmp_path / "a.png").width == 32
    # What we write, we read: a profile with two million bytes of something in it.
    profile = bytearray(SRGB + np.random.default_rng(0).bytes(2_000_000))
    profile[:4] = struct.pack(">I", len(profile))
    write_picture(tmp_path / "b.png", Picture(gradient(4, 4), metadata=Metadata(icc_profile=bytes(profile))))
    assert read_picture(tmp_path / "b.png").metadata.icc_profile == bytes(profile)


@pytest.mark.parametrize(
    "profile", [b"junk" * 200, SRGB, grey_profile(), SRGB[:100], b"x"], ids=["junk", "srgb", "grey", "cut", "x"]
)
@pytest.mark.parametrize("name", ["JPEG", "TIFF"])
def test_cmyk_with_a_profile_of_something_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, profile: bytes
) -> None:
    image = RGB.convert("CMYK")
    (tmp_path / "plain").write_bytes(encoded(image, name))
    (tmp_path / "a").write_bytes(encoded(image, name, icc_profile=profile))
    picture = read_picture(tmp_path / "a")
    assert np.array_equal(picture.rgb, read_picture(tmp_path / "plain").rgb)
    assert picture.metadata.icc_profile is None
    assert "its colour profile is left out" in caplog.text


@pytest.mark.parametrize("profile", [b"junk" * 200, grey_profile(), SRGB[:200]], ids=["junk", "grey", "cut"])
def test_rgb_with_a_profile_of_something_else(tmp_path: Path, caplog: pytest.LogCaptureFixture, profile: bytes) -> None:
    (tmp_path / "a.png").write_bytes(encoded(RGB, "PNG", icc_profile=profile))
    picture = read_picture(tmp_path / "a.png")
    assert np.array_equal(picture.rgb, np.asarray(RGB))
    assert picture.metadata.icc_profile is None
    assert "its colour profile is left out" in caplog.text


@pytest.mark.parametrize("ending", [*RESULTS, ".bmp"])
@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("profile", [SRGB, grey_profile()], ids=["srgb", "grey"])
@pytest.mark.parametrize("image", [RGB, GREY])
def test_a_written_profile_is_for_the_written_pixels(
    tmp_path: Path, image: Image.Image, profile: bytes, alpha: bool, ending: str
) -> None:
    if alpha and ending in (".jpg", ".bmp"):
        return
    image = image.copy()
    if alpha:
        image.putalpha(Image.new("L", image.size, 99))
    result = converted(encoded(image, "PNG", icc_profile=profile), tmp_path, ending)
    written = result.info.get("icc_profile")
    if written is not None:
        assert profile_space(written) == ("GRAY" if result.mode in ("L", "LA") else "RGB")
    else:
        assert ending in (".webp", ".bmp") or (image.mode[:3] == "RGB" and profile is not SRGB)


def test_greys_of_a_profile_become_those_of_srgb_where_it_cannot_be_kept(tmp_path: Path) -> None:
    content = encoded(GREY, "PNG", icc_profile=grey_profile(1.0))
    source = ImageCms.ImageCmsProfile(io.BytesIO(grey_profile(1.0)))
    expected = ImageCms.profileToProfile(GREY, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    for ending in (".webp", ".bmp"):
        found = np.asarray(converted(content, tmp_path, ending).convert("RGB")).astype(int)
        assert np.abs(found - np.asarray(expected)).max() <= 1
        assert np.ptp(found, axis=-1).max() == 0


def test_colours_of_a_profile_become_those_of_srgb_in_bmp(tmp_path: Path) -> None:
    p3 = chunks_profile([(b"cICP", bytes([12, 13, 0, 1]))], grey=False)
    assert p3 is not None
    red = Image.new("RGB", (8, 8), (200, 50, 50))
    found = converted(encoded(red, "PNG", icc_profile=p3), tmp_path, ".bmp").getpixel((0, 0))
    assert found == pytest.approx((217, 24, 40), abs=2)  # by the matrices of both; Display P3 is wider


@pytest.mark.parametrize(
    ("kind", "content"),
    [
        (b"gAMA", struct.pack(">I", 100000)),
        (b"sRGB", b"\0"),
        (b"cICP", bytes([12, 13, 0, 1])),
        (b"cHRM", struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)),
    ],
)
def test_descriptions_of_colour_without_a_profile(tmp_path: Path, kind: bytes, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(png_with(kind, content))
    write_picture(tmp_path / "b.png", read_picture(tmp_path / "a.png"))
    assert chunk(kind, content) in (tmp_path / "b.png").read_bytes()
    for ending in (".jpg", ".webp", ".tif"):
        profile = converted(png_with(kind, content), tmp_path, ending).info.get("icc_profile")
        assert (profile is None) == (kind == b"sRGB")
        assert profile is None or profile_space(profile) == "RGB"


def test_a_linear_picture_keeps_its_look_in_other_formats(tmp_path: Path) -> None:
    for colour_type, channels in ((0, 1), (2, 3)):
        values = np.full((8, 8, channels), 55)
        gamma = chunk(b"gAMA", struct.pack(">I", 100000))
        content = png(values, bits=8, colour_type=colour_type, chunks=gamma)
        # 55 of 255 as light is 128 in sRGB.
        found = converted(content, tmp_path, ".bmp").convert("RGB").getpixel((3, 3))
        assert found == pytest.approx((128, 128, 128), abs=1)
        image = converted(content, tmp_path, ".tif")
        source = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        shown = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
        assert shown is not None
        assert shown.getpixel((3, 3)) == pytest.approx((128, 128, 128), abs=1)


def test_the_curves_of_hdr_are_named_where_they_cannot_be_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    converted(png_with(b"cICP", bytes([9, 16, 0, 1])), tmp_path, ".jpg")
    assert "transfer 16" in caplog.text


@pytest.mark.parametrize("ending", [*RESULTS, ".bmp"])
def test_grey_coded_as_rgb_stays_grey(tmp_path: Path, ending: str) -> None:
    for name in ("PNG", "JPEG", "TIFF", "BMP", "WEBP"):
        (tmp_path / "a").write_bytes(encoded(GREY.convert("RGB"), name))
        picture = read_picture(tmp_path / "a")
        assert picture.grey
        write_picture(tmp_path / f"b{ending}", picture)
        with Image.open(tmp_path / f"b{ending}") as image:
            assert image.mode == "RGB"
            assert np.ptp(np.asarray(image), axis=-1).max() == 0


def test_remarks_are_warnings_of_the_package(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.png").write_bytes(png_with(b"eXIf", bytes(8)))
    read_picture(tmp_path / "a.png")
    (record,) = caplog.records
    assert (record.name.partition(".")[0], record.levelno) == ("bitsr", logging.WARNING)
    assert "a.png" in record.getMessage()
