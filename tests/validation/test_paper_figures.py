"""Figures of activations, gains and timesteps show what the network computes; SVG and PNG show the same."""

import base64
import io
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitsr.artifact.weights import WeightsInfo
from bitsr.cli import main
from bitsr.common.errors import BitsrError, UsageError
from bitsr.training.models import SuperResolutionModel, create_model
from bitsr.training.models.bidiffsr import BiConv
from bitsr.training.models.swinir import FLOAT_PARTS, SwinLayer, attention_received, shift_mask
from bitsr.training.weights import save_weights
from bitsr.validation.figures.activations import QUANTILES, draw_activations, spreads
from bitsr.validation.figures.attention import GainMap, draw_attention, gain_maps
from bitsr.validation.figures.chart import COLOURS, Frame, round_numbers
from bitsr.validation.figures.drawing import Box, Drawing, Line, Raster, Text
from bitsr.validation.figures.memory import WHOLE, measure_memory
from bitsr.validation.figures.observed import reduced_input
from bitsr.validation.figures.timesteps import TABLES, draw_timesteps, timestep_tables
from bitsr.validation.report.pictures import heat_colours

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def photos(repository: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two small details."""
    folder = tmp_path_factory.mktemp("photos")
    paths = []
    for name, box in {"dark": (0, 0, 60, 44), "bright": (200, 100, 260, 144)}.items():
        with Image.open(repository / "assets" / "coffee.png") as opened:
            opened.convert("RGB").crop(box).save(folder / f"{name}.png")
        paths.append(folder / f"{name}.png")
    return paths


def made(model_id: str, **overrides: object) -> SuperResolutionModel:
    torch.manual_seed(1)
    return create_model(model_id, **overrides).eval()


def colour(text: str) -> tuple[int, ...]:
    return tuple(int(text[i : i + 2], 16) for i in (1, 3, 5))


def test_a_drawing_is_the_same_as_svg_and_as_png(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 3), np.uint8)
    drawing = Drawing(60, 40)
    drawing.add(Box(10, 5, 20, 10, COLOURS[0]), Line(((0, 30), (59, 30)), COLOURS[3], 3), Raster(40, 8, pixels, 2))
    drawing.add(Text(2, 38, "a < b", size=9))
    for name in ("figure.png", "figure.svg"):
        drawing.write(tmp_path / name)
    shown = np.asarray(Image.open(tmp_path / "figure.png"))
    assert tuple(shown[10, 20]) == colour(COLOURS[0])
    assert tuple(shown[30, 30]) == colour(COLOURS[3])
    assert np.array_equal(shown[8:14:2, 40:48:2], pixels)
    assert tuple(shown[3, 3]) == (255, 255, 255)
    assert shown[31:39, 2:30].min() < 128  # letters
    root = ET.parse(tmp_path / "figure.svg").getroot()
    box = root.findall(f"{SVG}rect")[1]
    assert [float(box.get(key)) for key in ("x", "y", "width", "height")] == [10, 5, 20, 10]
    assert root.find(f"{SVG}text").text == "a < b"
    image = root.find(f"{SVG}image")
    inside = Image.open(io.BytesIO(base64.b64decode(image.get("href").partition(",")[2])))
    assert np.array_equal(np.asarray(inside), pixels)
    assert (image.get("width"), image.get("height")) == ("8", "6")
    with pytest.raises(UsageError, match=r"name it NAME\.png or NAME\.svg"):
        drawing.write(tmp_path / "figure.pdf")


def test_round_numbers_of_an_axis() -> None:
    assert round_numbers(-0.9, 3.1) == [0.0, 1.0, 2.0, 3.0]
    assert round_numbers(0, 0.01, count=5) == pytest.approx([0, 0.002, 0.004, 0.006, 0.008, 0.01])


def test_activations_are_those_in_front_of_the_binary_layers(photos: list[Path]) -> None:
    model = made("test_ebsr_plus_x2")
    found = spreads(model, photos)
    layers = [f"body.{block}.conv{number}.conv" for block in (0, 1) for number in (1, 2)]
    assert [(s.picture, s.layer) for s in found] == [(photo.stem, layer) for photo in photos for layer in layers]
    x = reduced_input(photos[1], scale=2)
    assert x.shape == (1, 3, 22, 30)
    with torch.no_grad():
        first = model.head(model.normalize(x))
        shift, _ = model.body[0].conv1.channel(first)
    expected = torch.quantile(first.flatten(), torch.tensor(QUANTILES)).tolist()
    assert found[4].quantiles == pytest.approx(expected)
    assert found[4].ones == pytest.approx((first >= shift).float().mean().item())


def test_boxes_lie_where_the_quantiles_are(photos: list[Path]) -> None:
    found = spreads(made("test_ebsr_plus_x2"), photos)
    drawing = draw_activations(found, title="t")
    boxes = [shape for shape in drawing.shapes if isinstance(shape, Box)]
    legend = boxes[-2:]
    boxes = boxes[:-2]
    assert [box.fill for box in boxes] == [COLOURS[0]] * 4 + [COLOURS[1]] * 4
    assert [box.fill for box in legend] == list(COLOURS[:2])
    # Pixels are a linear scale of the values: two boxes fix it, the others follow it.
    edges = [(s.quantiles[3], box.y) for s, box in zip(found, boxes, strict=True)]
    slope, offset = np.polyfit(*np.array(edges).T, 1)
    assert slope < 0
    for spread, box in zip(found, boxes, strict=True):
        assert slope * spread.quantiles[3] + offset == pytest.approx(box.y, abs=0.01)
        bottom = slope * spread.quantiles[1] + offset
        assert bottom == pytest.approx(box.y + box.height, abs=1.01)  # a box is a pixel high at least
    assert boxes[0].x < boxes[4].x < boxes[1].x  # the pictures of a layer side by side
    shown = np.asarray(drawing.image())
    tall = max(boxes, key=lambda box: box.height)
    row, column = round(tall.y + 0.25 * tall.height), round(tall.x + 0.25 * tall.width)
    assert tuple(shown[row, column]) == colour(tall.fill)
    words = [shape.text for shape in drawing.shapes if isinstance(shape, Text)]
    assert {"dark", "bright", "1", "4"} <= set(words)
    with pytest.raises(UsageError, match="6 pictures at most, 7 were given"):
        draw_activations([replace(found[0], picture=str(number)) for number in range(7)], title="")


def test_gains_are_those_of_the_gates(photos: list[Path]) -> None:
    model = made("test_scales_x2")
    maps = {gains.part: gains.values for gains in gain_maps(model, photos[0])}
    assert list(maps) == [f"body.0.unit{n}.conv.{kind}" for n in (1, 2) for kind in ("channel", "spatial")]
    with torch.no_grad():
        head = model.head(model.normalize(reduced_input(photos[0], scale=2)))
        unit = model.body[0].unit1.conv
        np.testing.assert_allclose(maps["body.0.unit1.conv.spatial"], unit.spatial(head)[0, 0].numpy())
        np.testing.assert_allclose(maps["body.0.unit1.conv.channel"], unit.channel(head).flatten().numpy())


@pytest.mark.parametrize("shifted", [False, True])
def test_attention_is_what_a_pixel_gives_to_the_others(shifted: bool) -> None:
    """A value that only one pixel has reaches the others by its weights: their sum is what it receives."""
    torch.manual_seed(0)
    layer = SwinLayer(4, FLOAT_PARTS, heads=2, window=4, shifted=shifted)
    qkv = torch.randn(1, 12, 8, 8)
    mask = shift_mask(8, 8, 4) if shifted else None
    with torch.no_grad():
        received = attention_received(layer.attention, qkv, mask)
        assert received.mean().item() == pytest.approx(1, abs=1e-5)
        for row, column in ((0, 0), (5, 6)):
            qkv[:, 8:] = 0
            qkv[:, 8:, row, column] = 1
            given = layer.attention(qkv, mask).mean(dim=1).sum().item()
            assert received[0, 0, row, column].item() == pytest.approx(given, rel=1e-4)


def test_attention_of_windows_is_shown_in_place(photos: list[Path]) -> None:
    maps = gain_maps(made("test_frbt_x2"), photos[0])
    assert [gains.part for gains in maps] == [f"body.0.layers.{n}.attention" for n in (0, 1)]
    assert all(gains.values.shape == (24, 32) for gains in maps)  # whole windows of 22 x 30 pixels
    drawing = draw_attention(maps, title="t")
    rasters = [shape for shape in drawing.shapes if isinstance(shape, Raster)]
    assert len(rasters) == 2
    for raster, gains in zip(rasters, maps, strict=True):
        low, high = gains.values.min(), gains.values.max()
        assert np.array_equal(raster.pixels, heat_colours((gains.values - low) / (high - low)))
        assert any(isinstance(s, Text) and s.text == f"{low:.3f} to {high:.3f}" for s in drawing.shapes)
    assert drawing.image().size == (800, drawing.height)


def test_wide_maps_and_many_rows_fit(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    maps = [GainMap(f"map{i}", generator.random((30, 900), np.float32)) for i in range(20)]
    maps += [GainMap("row", generator.random(64, np.float32))]
    drawing = draw_attention(maps, title="t")
    rasters = [shape for shape in drawing.shapes if isinstance(shape, Raster)]
    assert len(rasters) == 16 + 1
    assert all(r.x + r.size[0] <= 800 and r.y + r.size[1] <= drawing.height for r in rasters)
    named = [shape.text for shape in drawing.shapes if isinstance(shape, Text) and shape.text.startswith("map")]
    assert (named[0], named[-1]) == ("map0", "map19")


def test_timesteps_are_the_tables_over_their_groups() -> None:
    model = made("test_bidiffsr_x2", time_groups=4)
    layers = {name: part for name, part in model.named_modules() if isinstance(part, BiConv)}
    with torch.no_grad():
        for number, layer in enumerate(layers.values()):
            layer.threshold.copy_(torch.arange(4.0)[:, None] * 0.1 + number)
    tables, starts = timestep_tables(model)
    assert starts == [0, 500, 1000, 1500, 2000]
    assert {table.table for table in tables} == set(TABLES)
    thresholds = [table for table in tables if table.table == TABLES[0]]
    assert [table.layer for table in thresholds] == list(layers)
    for number, table in enumerate(thresholds):
        assert table.means == pytest.approx([number, number + 0.1, number + 0.2, number + 0.3])
    drawing = draw_timesteps(tables, starts, title="t")
    lines = [s for s in drawing.shapes if isinstance(s, Line) and len(s.points) == 8]
    assert len(lines) == len(TABLES) * len(layers)
    xs = [x for x, _ in lines[0].points]
    assert xs[0] < xs[1] == xs[2] < xs[3] == xs[4]
    heights = [y for _, y in lines[0].points]
    assert heights[0] == heights[1] > heights[2] == heights[3]  # larger thresholds are higher
    assert lines[0].colour == COLOURS[0]
    assert lines[len(layers) - 1].colour == COLOURS[1]
    with pytest.raises(UsageError, match="no thresholds of timesteps"):
        timestep_tables(made("test_ebsr_plus_x2"))


def test_values_beyond_a_frame_stay_in_it() -> None:
    frame = Frame(10, 10, 110, 60, 0, 10, 0, 1)
    assert (frame.x(5), frame.y(0.5), frame.y(7)) == (60, 35, 10)


def test_the_commands(photos: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = tmp_path / "weights.safetensors"
    model = made("test_ebsr_plus_x2")
    save_weights(weights, model.state_dict(), WeightsInfo(model="test_ebsr_plus_x2"))
    for command, given in {"activations": photos, "attention": photos[:1]}.items():
        for suffix in ("png", "svg"):
            output = tmp_path / f"{command}.{suffix}"
            assert main(["figure", command, str(weights), *map(str, given), "-o", str(output)]) == 0
        assert Image.open(tmp_path / f"{command}.png").width == 800
        assert ET.parse(tmp_path / f"{command}.svg").getroot().get("width") == "800"
    assert "body.1.conv2.conv" in capsys.readouterr().out
    assert main(["figure", "timesteps", str(weights), "-o", str(tmp_path / "t.svg")]) == 2
    assert main(["figure", "attention", str(weights), str(photos[0]), "-o", str(tmp_path / "t.gif")]) == 2
    errors = " ".join(capsys.readouterr().err.split())
    assert "has no thresholds of timesteps" in errors
    assert "name it NAME.png or NAME.svg" in errors
    assert not list(tmp_path.glob("t.*"))


def test_memory_grows_with_a_whole_picture(exported: Path, tmp_path: Path) -> None:
    """One call of the network has all pixels in memory."""
    output = tmp_path / "memory.svg"
    sizes = [argument for size in ("64x64", "256x256") for argument in ("--size", size)]
    assert main(["figure", "memory", str(exported), "-o", str(output), *sizes]) == 0
    points = measure_memory(exported, [(32, 32), (320, 320)], whole_pixels=320 * 320)
    found = {(point.way, point.width): point.bytes for point in points}
    grown = found[WHOLE, 320] - found[WHOLE, 32]
    # At least its input, and its output of twice the sides, three channels of float32.
    assert grown > 320 * 320 * 3 * 4 * 5 - (1 << 20)
    assert ET.parse(output).getroot().tag == f"{SVG}svg"


def test_memory_of_what_does_not_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no artifact"):
        measure_memory(tmp_path / "none.tflite", [(8, 8)], whole_pixels=64)
    (tmp_path / "none.tflite").write_bytes(b"none")
    with pytest.raises(BitsrError, match=r"8 x 8 pixels by none\.tflite failed"):
        measure_memory(tmp_path / "none.tflite", [(8, 8)], whole_pixels=64)


@pytest.mark.parametrize("size", ["8", "0x4", "ax4"])
def test_a_size_that_is_none(size: str, tmp_path: Path) -> None:
    assert main(["figure", "memory", "x.tflite", "-o", str(tmp_path / "m.svg"), "--size", size]) == 2
