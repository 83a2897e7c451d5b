"""The front of quality over time: every point is measured, and the figure shows them where they are."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
import torch
from PIL import Image

from bitsr.artifact.weights import WeightsInfo
from bitsr.cli import main
from bitsr.common.errors import UsageError
from bitsr.training.evaluate import evaluate
from bitsr.training.models import create_model
from bitsr.training.weights import save_weights
from bitsr.validation.figures.drawing import Box, Line, Text
from bitsr.validation.figures.front import Point, best, draw_front, front
from bitsr.validation.timing.interleave import Timing


@pytest.fixture(scope="module")
def pictures(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("set")
    with Image.open(repository / "assets" / "coffee.png") as opened:
        opened.convert("RGB").crop((0, 0, 130, 150)).save(folder / "cup.png")
    return folder


def point(name: str, kind: str, psnr: float, ms: float) -> Point:
    return Point(name, kind, (psnr,), Timing((ms,), (ms,)), 1000)


POINTS = [
    point("a", "1-bit", 30.0, 10.0),
    point("b", "float32", 29.0, 20.0),  # slower and worse than a
    point("b", "int8", 28.0, 5.0),
    point("c", "1-bit", 31.0, 30.0),
    point("d", "float32", 31.0, 40.0),  # as good as c and slower
]


def test_the_front_are_those_that_nothing_beats() -> None:
    assert [(found.network, found.kind) for found in best(POINTS)] == [("b", "int8"), ("a", "1-bit"), ("c", "1-bit")]


def test_the_drawing_has_each_point_and_the_front_as_a_line() -> None:
    drawing = draw_front(POINTS, title="t", set_name="Set5")
    marks = {(box.x, box.y): box.fill for box in drawing.shapes if isinstance(box, Box) and box.width == 8}
    assert len(marks) == len(POINTS)
    assert len(set(marks.values())) == 3
    (line,) = (shape for shape in drawing.shapes if isinstance(shape, Line) and shape.width == 1.5)
    assert len(line.points) == 2  # of three: one sits on the edge, far below
    assert {(x - 4, y - 4) for x, y in line.points} < set(marks)
    xs, ys = zip(*line.points, strict=True)
    assert list(xs) == sorted(xs)  # slower further right
    assert list(ys) == sorted(ys, reverse=True)  # better further up


def test_names_stand_apart_and_what_is_far_below_says_so() -> None:
    close = [point("first", "1-bit", 30.0, 10.0), point("second", "int8", 30.0, 10.5), point("far", "int8", 25.5, 9.0)]
    drawing = draw_front(close, title="t", set_name="Set5")
    names = {
        shape.text: shape
        for shape in drawing.shapes
        if isinstance(shape, Text) and shape.text.startswith(("first", "second", "far"))
    }
    assert set(names) == {"first", "second", "far, below: 25.5 dB"}
    assert names["first"].y != names["second"].y
    assert all(name.x >= 66 for name in names.values())  # right of the axis
    marks = [shape for shape in drawing.shapes if isinstance(shape, Box) and shape.width == 8]
    assert max(mark.y for mark in marks) < 460 - 80


def test_a_long_name_at_the_right_edge_stands_inside() -> None:
    points = [point("a", "1-bit", 30.0, 5.0), point("ebsr_light_plus_fast_photo_x4", "1-bit", 31.0, 50.0)]
    (name,) = (
        shape
        for shape in draw_front(points, title="t", set_name="Set5").shapes
        if isinstance(shape, Text) and shape.text.startswith("ebsr_light")
    )
    assert name.x + 6.2 * len(name.text) <= 800


def test_networks_are_measured_as_they_run(pictures: Path) -> None:
    torch.manual_seed(2)
    binary, float_network = create_model("test_ebsr_plus_x2").eval(), create_model("test_ecbsr_x2").eval()
    calibration = [torch.rand(1, 3, 32, 32)]
    points = front([binary, float_network], [pictures], calibration=calibration, rounds=1)
    found = {(each.network, each.kind): each for each in points}
    assert set(found) == {("test_ebsr_plus_x2", "1-bit"), ("test_ecbsr_x2", "float32"), ("test_ecbsr_x2", "int8")}
    wanted = evaluate(float_network, folder=pictures, scale=2, bicubic=False).psnr
    # Float sums are added in another order, so a pixel may be rounded to its neighbour.
    assert found["test_ecbsr_x2", "float32"].psnr[0] == pytest.approx(wanted, abs=0.01)
    # 256 levels, of ranges that noise has.
    assert found["test_ecbsr_x2", "int8"].psnr[0] == pytest.approx(wanted, abs=2.0)
    assert found["test_ecbsr_x2", "int8"].psnr[0] != found["test_ecbsr_x2", "float32"].psnr[0]
    assert found["test_ecbsr_x2", "int8"].bytes < found["test_ecbsr_x2", "float32"].bytes
    assert all(each.time.median > 0 for each in points)


def test_networks_of_different_scales_are_refused(pictures: Path) -> None:
    with pytest.raises(UsageError, match=r"enlarge by \[2, 4\]; expected some networks of one scale"):
        front([create_model("test_ecbsr_x2"), create_model("ecbsr_m4c16_x4")], [pictures], calibration=[])


def test_networks_of_one_name_are_refused(pictures: Path) -> None:
    """Other weights of the same id would take the place of the first."""
    with pytest.raises(UsageError, match="test_ecbsr_x2 is there more than once"):
        front([create_model("test_ecbsr_x2"), create_model("test_ecbsr_x2")], [pictures], calibration=[])


def test_command(pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(2)
    weights = tmp_path / "w.safetensors"
    save_weights(weights, create_model("test_ebsr_plus_x2").state_dict(), WeightsInfo(model="test_ebsr_plus_x2"))
    output = tmp_path / "front.svg"
    arguments = ["figure", "front", str(weights), "--images", str(pictures), "-o", str(output), "--rounds", "1"]
    assert main(arguments) == 0
    assert "test_ebsr_plus_x2" in capsys.readouterr().out
    assert "test_ebsr_plus_x2" in "".join(ET.parse(output).getroot().itertext())
