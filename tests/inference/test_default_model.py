"""Which of the built-in weights a picture gets if nobody names any: those for photos where JPEG has harmed all."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitsr
from bitsr.artifact.weights import pretrained_models
from bitsr.common.pictures import jpeg_quality
from bitsr.inference.load import PHOTO_QUALITY, default_model


def save(path: Path, **options: object) -> Path:
    pixels = np.random.default_rng(3).integers(0, 256, (12, 16, 3), np.uint8)
    path.parent.mkdir(exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    return save(tmp_path / "photos" / "a.jpg", quality=75)


@pytest.fixture
def drawing(tmp_path: Path) -> Path:
    return save(tmp_path / "drawing.png")


@pytest.mark.parametrize("quality", [98, 95, 90, 75, 50, 30])
def test_qualities_are_read_from_the_file(quality: int, tmp_path: Path) -> None:
    assert jpeg_quality(save(tmp_path / "a.jpg", quality=quality)) == quality
    grey = tmp_path / "grey.jpg"
    Image.new("L", (9, 9)).save(grey, quality=quality)
    assert jpeg_quality(grey) == quality
    assert jpeg_quality(grey.rename(tmp_path / "a.png")) == quality  # told by its content


def test_what_is_no_jpeg_has_no_quality(drawing: Path, tmp_path: Path) -> None:
    assert jpeg_quality(drawing) is None
    assert jpeg_quality(drawing.rename(tmp_path / "b.jpg")) is None
    for path in (tmp_path / "missing.jpg", tmp_path, tmp_path / "empty.jpg", tmp_path / "cut.jpg"):
        if path.stem == "empty":
            path.touch()
        if path.stem == "cut":
            path.write_bytes(b"\xff\xd8\xff\xdb\x00")
        assert jpeg_quality(path) is None


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_photos_where_jpeg_harmed_all(scale: int, photo: Path, drawing: Path, tmp_path: Path) -> None:
    clean, photos = f"ebsr_light_plus_x{scale}", f"ebsr_light_plus_fast_photo_x{scale}"
    assert (photos in pretrained_models()) == (scale in PHOTO_QUALITY)
    if scale not in PHOTO_QUALITY:
        photos = clean
    highest = PHOTO_QUALITY.get(scale, 90)
    edge, fine = (save(tmp_path / f"{q}.jpg", quality=q) for q in (highest, highest + 1))
    assert default_model(scale) == clean
    assert default_model(scale, pictures=[drawing]) == clean
    assert default_model(scale, pictures=[fine]) == clean
    assert default_model(scale, pictures=[photo, drawing]) == clean
    assert default_model(scale, pictures=[photo]) == photos
    assert default_model(scale, pictures=[photo, edge]) == photos


def test_the_default_scale_has_weights_for_photos(photo: Path) -> None:
    assert default_model(4, pictures=[photo]) == "ebsr_light_plus_fast_photo_x4"


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_upscale_takes_them(folder: bool, photo: Path, drawing: Path, tmp_path: Path) -> None:
    def result(source: Path, name: str, **options: str) -> np.ndarray:
        target = tmp_path / name
        bitsr.upscale(source, target / "a.png" if not folder and target.mkdir() is None else target, scale=4, **options)
        return np.asarray(Image.open(target / "a.png"))

    source = photo.parent if folder else photo
    chosen = result(source, "chosen")
    assert np.array_equal(chosen, result(source, "photo", model="ebsr_light_plus_fast_photo_x4"))
    assert not np.array_equal(chosen, result(source, "clean", model="ebsr_light_plus_x4"))
    if folder:  # a drawing among the photos
        save(photo.parent / "b.png")
        assert np.array_equal(result(source, "mixed"), result(source, "clean again", model="ebsr_light_plus_x4"))
