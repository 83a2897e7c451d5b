"""The front of quality over time: PSNR and milliseconds of several networks, 1-bit, float32 and int8, measured here."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from bitsr.common.errors import UsageError
from bitsr.export.deploy import FusedBinaryConv2d, deploy_form
from bitsr.export.tflite.lower import lower
from bitsr.export.tflite.through_onnx import quantize
from bitsr.runtime.core import CoreNetwork
from bitsr.runtime.litert import TfliteNetwork
from bitsr.runtime.network import Network
from bitsr.training.evaluate import evaluate
from bitsr.training.models import SuperResolutionModel
from bitsr.validation.figures.chart import COLOURS, Frame, legend, round_numbers
from bitsr.validation.figures.drawing import Box, Drawing, Line, Text
from bitsr.validation.timing.interleave import Timing, interleave
from bitsr.validation.timing.pattern import photo_pattern

# The picture that is timed, and the largest that is measured: as many pixels as the largest of Set14 and B100 at x2.
TIMED_SIDE = 128
MAX_PIXELS = 512 * 512
KINDS = ("1-bit", "float32", "int8")
_WIDTH, _HEIGHT = 800, 460
_LEFT = 66
# Left, top, right and bottom of what is drawn.
_Area = tuple[float, float, float, float]
_SHOWN_DB = 2.0
_LETTER = 6.2  # pixels of a name's letter, about


@dataclass(frozen=True)
class Point:
    """One network in one arithmetic.

    ``psnr`` is the mean over each set, in dB, in the sets' order; ``time`` that of a picture of 128x128 on one thread:
    ours in the core alone, the others in LiteRT; ``bytes`` the size of its .tflite.
    """

    network: str
    kind: str
    psnr: tuple[float, ...]
    time: Timing
    bytes: int


def front(
    models: Sequence[SuperResolutionModel],
    sets: Sequence[Path],
    *,
    calibration: Sequence[Tensor],
    rounds: int = 15,
    progress: Callable[[str], None] = lambda _: None,
) -> list[Point]:
    """Lower every network, time all in turns, and measure what their artifacts compute.

    Args:
        models: trained networks of one scale, of one evaluation and for any size; those without binary layers take part
            in float32 and in int8.
        sets: folders of original pictures.
        calibration: pictures (1, 3, H, W) in [0, 1] for the ranges of int8.
        progress: is told what is done now.

    Raises:
        UsageError: no network, networks of different scales, or two of one name.
        NeedsFrameworkError: a binary network has ops that are not ours, so that the core does not run it.
        ExportError: one can not be lowered.
    """
    scales = sorted({model.scale for model in models})
    if len(scales) != 1:
        raise UsageError(f"the networks enlarge by {scales or 'nothing'}; expected some networks of one scale")
    names = [model.name for model in models]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise UsageError(
            f"{', '.join(twice)} is there more than once; expected networks of different ids, by which points are "
            "named: draw a figure for each set of weights"
        )
    contents: dict[tuple[str, str], bytes] = {}
    for model in models:
        progress(f"lower {model.name}")
        form = deploy_form(model.eval())
        binary = any(isinstance(part, FusedBinaryConv2d) for part in form.modules())
        content = lower(form, channels=3, max_pixels=MAX_PIXELS, ours=binary).content
        contents[model.name, KINDS[0] if binary else KINDS[1]] = content
        if not binary:
            contents[model.name, KINDS[2]] = quantize(
                form, channels=3, max_pixels=MAX_PIXELS, samples=list(calibration)
            )
    networks = {key: _loaded(content, kind=key[1]) for key, content in contents.items()}
    progress(f"time {len(networks)} networks in turns")
    x = photo_pattern((1, 3, TIMED_SIDE, TIMED_SIDE)).numpy()
    calls = {" ".join(key): partial(network.run, x) for key, network in networks.items()}
    times = interleave(calls, rounds=rounds)
    points = []
    for (name, kind), network in networks.items():
        progress(f"measure {name}, {kind}")
        psnr = tuple(
            evaluate(partial(_enlarge, network), folder=folder, scale=scales[0], bicubic=False).psnr for folder in sets
        )
        points.append(Point(name, kind, psnr, times[f"{name} {kind}"], len(contents[name, kind])))
    return points


def _loaded(content: bytes, *, kind: str) -> Network:
    if kind == KINDS[0]:
        return CoreNetwork(content, threads=1)
    return TfliteNetwork(content, threads=1, delegate=False)


def _enlarge(network: Network, low: Tensor) -> Tensor:
    return torch.from_numpy(network.run(low.numpy()))


def best(points: Sequence[Point]) -> list[Point]:
    """The front by the first set: those that no other one is faster than and at least as good, from fast to slow."""
    chosen: list[Point] = []
    for point in sorted(points, key=lambda point: (point.time.median, -point.psnr[0])):
        if not chosen or point.psnr[0] > chosen[-1].psnr[0]:
            chosen.append(point)
    return chosen


def draw_front(points: Sequence[Point], *, title: str, set_name: str) -> Drawing:
    """PSNR of the first set over milliseconds; each point named, the front as a line. Further right is slower.

    What is more than 2 dB below the best sits on the lower edge, with its PSNR beside the name.
    """
    drawing = Drawing(_WIDTH, _HEIGHT)
    slowest = max(point.time.median for point in points)
    values = [point.psnr[0] for point in points]
    lowest = max(min(values), max(values) - _SHOWN_DB)
    margin = 0.1 * (max(values) - lowest) or 0.1
    frame = Frame(_LEFT, 30, 776, _HEIGHT - 80, 0.0, slowest * 1.25, lowest - margin, max(values) + margin)
    frame.draw(
        drawing,
        title=title,
        x_title="ms, 128x128 pixels in, one thread",
        y_title=f"PSNR on {set_name}, dB",
        x_ticks=[(value, f"{value:g}") for value in round_numbers(0.0, slowest * 1.25)],
    )

    def place(point: Point) -> tuple[float, float]:
        return frame.x(point.time.median), frame.y(max(point.psnr[0], lowest))

    # What sits on the edge has its mark in another place than its PSNR, so that a line to it would say nothing.
    front_line = tuple(place(point) for point in best(points) if point.psnr[0] >= lowest)
    drawing.add(Line(front_line, "#bbbbbb", 1.5))
    places = list(map(place, points))
    taken = [(x - 5, y - 5, x + 5, y + 5) for x, y in (*places, *_along(front_line))]
    for point, (x, y) in zip(points, places, strict=True):
        drawing.add(Box(x - 4, y - 4, 8, 8, COLOURS[KINDS.index(point.kind)]))
        name = point.network if point.psnr[0] >= lowest else f"{point.network}, below: {point.psnr[0]:.1f} dB"
        area = _free_area(x, y, width=_LETTER * len(name), taken=taken, left=_LEFT)
        taken.append(area)
        drawing.add(Text(area[0], area[3] - 2, name, size=11))
    legend(drawing, KINDS, x=_LEFT, y=_HEIGHT - 14)
    return drawing


def _along(line: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Places on a line, some pixels apart."""
    for (x, y), (next_x, next_y) in pairwise(line):
        count = int(math.hypot(next_x - x, next_y - y) / 6) + 1
        for part in (number / count for number in range(count)):
            yield x + part * (next_x - x), y + part * (next_y - y)


def _free_area(x: float, y: float, *, width: float, taken: Sequence[_Area], left: float) -> _Area:
    """Where a point's name stands: beside it, or above, below or left of it where something else is there.

    A name stands whole between ``left`` and the drawing's right edge, unless it is too long for every place.
    """
    corners = [
        (x + 7, y - 6),
        (x + 4, y - 18),
        (x + 4, y + 7),
        (x + 8, y + 7),
        (x - 7 - width, y - 6),
        (x + 4, y - 30),
        (x + 4, y + 19),
        (x + 7, y - 44),
        (x + 7, y + 33),
    ]
    areas = [(begin, top, begin + width, top + 12) for begin, top in corners]
    areas = [area for area in areas if left <= area[0] and area[2] <= _WIDTH] or areas[:1]
    free = (
        area
        for area in areas
        if not any(area[0] < b[2] and b[0] < area[2] and area[1] < b[3] and b[1] < area[3] for b in taken)
    )
    return next(free, areas[0])
