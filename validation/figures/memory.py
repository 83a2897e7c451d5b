"""How much memory an enlargement takes over the size of its picture: whole, and tile by tile.

Every point is the peak of a process of its own (VmHWM of Linux), with Python and its packages in it.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bitsr.common.errors import BitsrError, UsageError
from bitsr.validation.figures.chart import COLOURS, Frame, legend, round_numbers
from bitsr.validation.figures.drawing import Box, Drawing, Line

WHOLE, TILED = "one call of the network", "bitsr upscale, by tiles"
# Side of the tiles, in pixels of the picture.
TILE = 192
_WIDTH, _HEIGHT = 720, 340
_MIB = 2.0**20
# What a process does, as Python: the artifact, width and height are its arguments.
_PEAK = """
def peak():
    lines = open("/proc/self/status").read().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""
_RUN_WHOLE = """
import sys
import numpy as np
from bitsr.runtime.core import CoreNetwork
network = CoreNetwork(sys.argv[1], threads=1)
width, height = int(sys.argv[2]), int(sys.argv[3])
network.run(np.zeros((1, network.channels, height, width), np.float32))
print(peak())
"""
_RUN_TILED = """
import sys, tempfile
from pathlib import Path
from PIL import Image
from bitsr.cli import main
width, height = int(sys.argv[2]), int(sys.argv[3])
with tempfile.TemporaryDirectory() as folder:
    source, target = Path(folder) / "in.ppm", Path(folder) / "out.png"
    with source.open("wb") as file:
        file.write(f"P6 {width} {height} 255\\n".encode())
        for y in range(height):
            file.write(bytes((x * y) % 251 for x in range(width) for _ in range(3)))
    code = main(["upscale", str(source), str(target), "-m", sys.argv[1], "--threads", "1", "--tile", sys.argv[4]])
    if code:
        sys.exit(code)
print(peak())
"""


@dataclass(frozen=True)
class MemoryPoint:
    """Peak of a process that enlarged a picture of so many pixels, by :data:`WHOLE` or :data:`TILED`."""

    way: str
    width: int
    height: int
    bytes: int


def measure_memory(artifact: Path, sizes: Sequence[tuple[int, int]], *, whole_pixels: int) -> list[MemoryPoint]:
    """Both ways for each (width, height), whole pictures of at most ``whole_pixels``.

    Raises:
        UsageError: there is no such artifact.
        BitsrError: a process fails; its last line is in the message.
    """
    if not artifact.is_file():
        raise UsageError(f"there is no artifact {artifact}; write one with: bitsr export")
    points = []
    for width, height in sizes:
        if width * height <= whole_pixels:
            points.append(MemoryPoint(WHOLE, width, height, _peak(_RUN_WHOLE, artifact, width, height)))
        points.append(MemoryPoint(TILED, width, height, _peak(_RUN_TILED, artifact, width, height)))
    return points


def _peak(code: str, artifact: Path, width: int, height: int) -> int:
    command = [sys.executable, "-c", _PEAK + code, str(artifact), str(width), str(height), str(TILE)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise BitsrError(f"{width} x {height} pixels by {artifact.name} failed: {last}")
    return int(json.loads(done.stdout.strip().splitlines()[-1]))


def draw_memory(points: Sequence[MemoryPoint], *, title: str) -> Drawing:
    """MiB over megapixels, a line for each way."""
    drawing = Drawing(_WIDTH, _HEIGHT)
    most_x = max(point.width * point.height for point in points) / 1e6
    most_y = max(point.bytes for point in points) / _MIB
    frame = Frame(66, 54, _WIDTH - 20, _HEIGHT - 50, 0, most_x * 1.04, 0, most_y * 1.08)
    ticks = [(value, f"{value:g}") for value in round_numbers(0, most_x)]
    frame.draw(drawing, title=title, x_title="megapixels of the picture", y_title="MiB, the process", x_ticks=ticks)
    ways = list(dict.fromkeys(point.way for point in points))
    for way, colour in zip(ways, COLOURS, strict=False):
        places = [
            (frame.x(p.width * p.height / 1e6), frame.y(p.bytes / _MIB))
            for p in sorted(points, key=lambda p: p.width * p.height)
            if p.way == way
        ]
        drawing.add(Line(tuple(places), colour, 2))
        drawing.add(*(Box(x - 3, y - 3, 6, 6, colour) for x, y in places))
    legend(drawing, ways, x=80, y=24)
    return drawing
