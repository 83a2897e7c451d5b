"""A drawing of few shapes, written as SVG, which papers want, or as PNG, which pages want: both show the same."""

import base64
import io
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from bitsr.common.errors import UsageError
from bitsr.common.files import atomic_write

Pixels = NDArray[np.uint8]
Anchor = Literal["start", "middle", "end"]
Point = tuple[float, float]
# Lines and letters are drawn so many times larger and reduced, so that they are smooth.
_OVERSAMPLING = 2
_PIL_ANCHORS: dict[Anchor, str] = {"start": "ls", "middle": "ms", "end": "rs"}
SUFFIXES = (".png", ".svg")


@dataclass(frozen=True)
class Box:
    """A filled rectangle; all coordinates are pixels from the upper left corner."""

    x: float
    y: float
    width: float
    height: float
    fill: str


@dataclass(frozen=True)
class Line:
    """Straight lines through points, ``width`` pixels thick."""

    points: tuple[Point, ...]
    colour: str
    width: float = 1.0


@dataclass(frozen=True)
class Text:
    """One line of text whose baseline begins, has its middle or ends at a point; ``upright`` reads from below."""

    x: float
    y: float
    text: str
    size: int = 12
    anchor: Anchor = "start"
    upright: bool = False


@dataclass(frozen=True)
class Raster:
    """A picture (H, W, 3) uint8, each of its pixels ``zoom`` x ``zoom`` pixels of the drawing, at whole coordinates."""

    x: int
    y: int
    pixels: Pixels
    zoom: int = 1

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in the drawing."""
        return self.pixels.shape[1] * self.zoom, self.pixels.shape[0] * self.zoom

    def image(self) -> Image.Image:
        """As it is shown."""
        return Image.fromarray(np.ascontiguousarray(self.pixels)).resize(self.size, Image.Resampling.NEAREST)


Shape = Box | Line | Text | Raster


@dataclass
class Drawing:
    """Shapes on white, later ones over earlier ones, rasters over all."""

    width: int
    height: int
    shapes: list[Shape] = field(default_factory=list)

    def add(self, *shapes: Shape) -> None:
        self.shapes += shapes

    def image(self) -> Image.Image:
        """RGB, ``width`` x ``height``."""
        size = (self.width * _OVERSAMPLING, self.height * _OVERSAMPLING)
        canvas = Image.new("RGB", size, "white")
        draw = ImageDraw.Draw(canvas)
        for shape in self.shapes:
            if not isinstance(shape, Raster):
                _draw(draw, canvas, shape)
        canvas = canvas.resize((self.width, self.height), Image.Resampling.BOX)
        for shape in self.shapes:
            if isinstance(shape, Raster):
                canvas.paste(shape.image(), (shape.x, shape.y))
        return canvas

    def svg(self) -> str:
        """One SVG that needs nothing else; pictures are PNGs inside."""
        rasters = [shape for shape in self.shapes if isinstance(shape, Raster)]
        ordered = [*(shape for shape in self.shapes if not isinstance(shape, Raster)), *rasters]
        size = f'width="{self.width}" height="{self.height}"'
        font = 'font-family="DejaVu Sans, Arial, sans-serif"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {self.width} {self.height}" {font}>'
        return "\n".join([head, f'<rect {size} fill="white"/>', *(_svg(shape) for shape in ordered), "</svg>\n"])

    def write(self, path: Path) -> None:
        """Write it in the format of the suffix.

        Raises:
            UsageError: see :func:`check_suffix`.
            BitsrError: see :func:`bitsr.common.files.atomic_write`.
        """
        check_suffix(path)
        with atomic_write(path) as temporary:
            if path.suffix.lower() == ".svg":
                temporary.write_text(self.svg(), encoding="utf-8")
            else:
                self.image().save(temporary, format="PNG", optimize=True)


def check_suffix(path: Path) -> None:
    """Refuse a figure of another kind before anything is computed.

    Raises:
        UsageError: the suffix is neither .png nor .svg.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise UsageError(f"the figure is '{path.name}'; name it {' or '.join('NAME' + suffix for suffix in SUFFIXES)}")


def _draw(draw: ImageDraw.ImageDraw, canvas: Image.Image, shape: Box | Line | Text) -> None:
    s = _OVERSAMPLING
    if isinstance(shape, Box):
        left, top = round(shape.x * s), round(shape.y * s)
        right, bottom = round((shape.x + shape.width) * s), round((shape.y + shape.height) * s)
        draw.rectangle((left, top, max(left, right - 1), max(top, bottom - 1)), fill=shape.fill)
    elif isinstance(shape, Line):
        points = [(x * s, y * s) for x, y in shape.points]
        draw.line(points, fill=shape.colour, width=max(1, round(shape.width * s)), joint="curve")
    elif shape.upright:
        _draw_upright(canvas, shape)
    else:
        font = ImageFont.load_default(size=shape.size * s)
        draw.text((shape.x * s, shape.y * s), shape.text, fill="black", font=font, anchor=_PIL_ANCHORS[shape.anchor])


def _draw_upright(canvas: Image.Image, text: Text) -> None:
    s = _OVERSAMPLING
    font = ImageFont.load_default(size=text.size * s)
    left, top, right, bottom = font.getbbox(text.text, anchor="ls")
    label = Image.new("L", (round(right - left), round(bottom - top)), 0)
    ImageDraw.Draw(label).text((-left, -top), text.text, fill=255, font=font, anchor="ls")
    label = label.rotate(90, expand=True)
    before = {"start": 1.0, "middle": 0.5, "end": 0.0}[text.anchor]
    corner = (round(text.x * s + top), round(text.y * s - before * label.height))
    canvas.paste(Image.new("RGB", label.size, "black"), corner, label)


def _svg(shape: Shape) -> str:
    if isinstance(shape, Box):
        return (
            f'<rect x="{shape.x:g}" y="{shape.y:g}" width="{shape.width:g}" height="{shape.height:g}" '
            f'fill="{shape.fill}"/>'
        )
    if isinstance(shape, Line):
        points = " ".join(f"{x:.2f},{y:.2f}" for x, y in shape.points)
        return f'<polyline points="{points}" fill="none" stroke="{shape.colour}" stroke-width="{shape.width:g}"/>'
    if isinstance(shape, Text):
        turn = f' transform="rotate(-90 {shape.x:g} {shape.y:g})"' if shape.upright else ""
        return (
            f'<text x="{shape.x:g}" y="{shape.y:g}" font-size="{shape.size}" text-anchor="{shape.anchor}"{turn}>'
            f"{escape(shape.text)}</text>"
        )
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(shape.pixels)).save(buffer, format="PNG", optimize=True)
    width, height = shape.size
    return (
        f'<image x="{shape.x}" y="{shape.y}" width="{width}" height="{height}" style="image-rendering: pixelated" '
        f'href="data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"/>'
    )
