"""Figures: the detail that is asked for, with numbers that hold."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitsr.cli import main
from bitsr.common.errors import UsageError
from bitsr.common.pictures import read_picture
from bitsr.validation.figures.crops import crops
from bitsr.validation.figures.drawing import Text
from bitsr.validation.figures.panels import side_by_side
from bitsr.validation.figures.reduced import ReducedPhoto

PHOTO = Path(__file__).parents[2] / "assets" / "coffee.png"


def test_a_corner_is_the_detail() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (300, 500, 3), np.uint8)
    figure = np.asarray(side_by_side({"a": picture, "b": picture}, zoom=2, corner=(7, 31)).image())
    side = (804 // 2 - 4) // 2
    assert (figure[-2 * side :: 2, : 2 * side : 2] == picture[31 : 31 + side, 7 : 7 + side]).all()


def test_a_corner_outside() -> None:
    picture = np.zeros((300, 500, 3), np.uint8)
    with pytest.raises(UsageError, match=r"begins at 400,0; expected 0,0 to 301,101"):
        side_by_side({"a": picture, "b": picture}, corner=(400, 0))


def test_crops_of_an_artifact(exported: Path) -> None:
    drawing, (bicubic, network) = crops(PHOTO, {"1-bit": exported}, corner=(100, 60), rounds=1)
    reduced = ReducedPhoto.read(PHOTO, scale=2)
    assert bicubic.title == "bicubic"
    assert bicubic.psnr == pytest.approx(reduced.psnr(reduced.bicubic()))
    assert bicubic.bytes is None
    assert network.bytes == exported.stat().st_size
    assert network.psnr == pytest.approx(reduced.psnr(network.pixels))
    original = np.asarray(drawing.image())[-1, -1]
    side = (804 // 3 - 4) // 2
    assert (original == reduced.original[60 + side - 1, 100 + side - 1]).all()


def test_titles_of_crops_have_the_figures(exported: Path) -> None:
    drawing, methods = crops(PHOTO, {"1-bit": exported}, corner=(100, 60), rounds=1)
    words = [shape.text for shape in drawing.shapes if isinstance(shape, Text)]
    for method in methods:
        assert words[words.index(method.title) + 1] == f"{method.psnr:.2f} dB"


def test_the_command(exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    figure = tmp_path / "figure.png"
    assert main(["figure", "crops", str(PHOTO), "-m", f"1-bit={exported}", "-o", str(figure)]) == 0
    assert "bicubic" in capsys.readouterr().out
    assert Image.open(figure).width <= 800
    assert read_picture(figure).rgb.std() > 0


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-m", "x4.tflite"], "expected TITLE=ARTIFACT"),
        (["-m", "a={photo}"], "is no artifact; export it first"),
        (["-m", "a=b.tflite", "--corner", "1;2"], "expected X,Y"),
    ],
)
def test_wrong_requests(
    arguments: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    photo = Path(shutil.copy(PHOTO, tmp_path / "photo.png"))
    given = [word.format(photo=photo) for word in arguments]
    assert main(["figure", "crops", str(photo), *given, "-o", str(tmp_path / "figure.png")]) == 2
    assert expected in " ".join(capsys.readouterr().err.split())
    assert list(tmp_path.iterdir()) == [photo]
