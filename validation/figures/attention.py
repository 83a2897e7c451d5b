"""Gains and attention of a network over a photo: where it looks, pixel by pixel and channel by channel."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitsr.training.layers import ChannelShiftRescale, SpatialRescale
from bitsr.training.models import SuperResolutionModel
from bitsr.training.models.attention import ConvolutionMask, SqueezeExcitation
from bitsr.training.models.ebsr import QuantizedSpatialRescale
from bitsr.training.models.scales import ChannelRescale
from bitsr.training.models.swinir import SwinLayer, WindowAttention, attention_received
from bitsr.validation.figures.drawing import Drawing, Raster, Text
from bitsr.validation.figures.observed import observe, reduced_input
from bitsr.validation.report.pictures import heat_colours

_SPATIAL = (SpatialRescale, QuantizedSpatialRescale, ConvolutionMask)
_CHANNEL = (ChannelShiftRescale, ChannelRescale, SqueezeExcitation)
_WIDTH, _GAP, _LINE = 800, 8, 18
# Maps in a row, and maps in all: evenly chosen where a network has more.
_COLUMNS, _MOST = 4, 16


@dataclass(frozen=True)
class GainMap:
    """What a part multiplies with: (H, W) over the pixels, or (C,) over the channels.

    Of window attention it is how much each pixel is attended to, 1 on average.
    """

    part: str
    values: NDArray[np.float32]


def gain_maps(model: SuperResolutionModel, photo: Path) -> list[GainMap]:
    """The gains of a photo, which is reduced by the model's scale first, in the order in which they are computed.

    Errors as :func:`~bitsr.validation.figures.observed.observe`.
    """
    found: list[GainMap] = []

    def look(name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: object) -> None:
        found.append(GainMap(name, np.asarray(_gain(model, name, module, inputs, output).float().numpy())))

    observe(model, reduced_input(photo, scale=model.scale), (*_SPATIAL, *_CHANNEL, WindowAttention), look)
    return found


def _gain(
    model: SuperResolutionModel, name: str, module: nn.Module, inputs: tuple[Tensor, ...], output: object
) -> Tensor:
    if isinstance(module, WindowAttention):
        layer = model.get_submodule(name.rpartition(".")[0])
        assert isinstance(layer, SwinLayer)
        received = attention_received(module, *inputs)
        return torch.roll(received, (layer.shift, layer.shift), (2, 3))[0, 0]
    gain = output[1] if isinstance(output, tuple) else output
    assert isinstance(gain, Tensor)
    return gain[0].flatten() if isinstance(module, _CHANNEL) else gain[0].mean(dim=0)


def draw_attention(maps: Sequence[GainMap], *, title: str) -> Drawing:
    """A picture of heat for each map over the pixels, and below them a row of channels for each of the others.

    Dark is the least value of a map, bright its largest; both stand above it.
    """
    drawing = Drawing(_WIDTH, 0)
    drawing.add(Text(_WIDTH / 2, _LINE, title, size=14, anchor="middle"))
    top = 2 * _LINE
    pictures = _chosen([gains for gains in maps if gains.values.ndim == 2])
    if pictures:
        top = _pictures(drawing, pictures, top=top)
    rows = [gains for gains in maps if gains.values.ndim == 1]
    if rows:
        top = _channels(drawing, rows, top=top)
    drawing.height = top
    return drawing


def _chosen(maps: list[GainMap]) -> list[GainMap]:
    if len(maps) <= _MOST:
        return maps
    return [maps[round(i * (len(maps) - 1) / (_MOST - 1))] for i in range(_MOST)]


def _pictures(drawing: Drawing, maps: list[GainMap], *, top: int) -> int:
    columns = min(_COLUMNS, len(maps))
    room = (_WIDTH + _GAP) // columns - _GAP
    for number, gains in enumerate(maps):
        height, width = gains.values.shape
        zoom = max(1, room // width)
        step = -(-width // room)  # every k-th pixel where a map is wider than its place
        values = gains.values[::step, ::step]
        x = number % columns * (room + _GAP)
        y = top + number // columns * (-(-height // step) * zoom + 2 * _LINE + _GAP)
        low, high = float(gains.values.min()), float(gains.values.max())
        drawing.add(Text(x, y + 12, gains.part, size=11), Text(x, y + 12 + _LINE - 3, f"{low:.3f} to {high:.3f}", 11))
        drawing.add(Raster(x, y + 2 * _LINE, heat_colours((values - low) / max(high - low, 1e-12)), zoom))
    bottoms = [shape.y + shape.size[1] for shape in drawing.shapes if isinstance(shape, Raster)]
    return max(bottoms) + 2 * _GAP


def _channels(drawing: Drawing, rows: list[GainMap], *, top: int) -> int:
    count = max(len(row.values) for row in rows)
    label = 250
    zoom = max(1, (_WIDTH - label) // count)
    tall = max(zoom, 14)
    low, high = (float(reduce([reduce(row.values) for row in rows])) for reduce in (min, max))
    drawing.add(Text(label, top + 12, f"gains of the channels, {low:.3f} to {high:.3f}", size=11))
    top += _LINE
    for number, row in enumerate(rows):
        y = top + number * (tall + 2)
        drawing.add(Text(label - 6, y + tall - 3, row.part, size=11, anchor="end"))
        colours = heat_colours((row.values - low) / max(high - low, 1e-12))
        line = np.repeat(np.repeat(colours[None], zoom, axis=1), tall, axis=0)
        drawing.add(Raster(label, y, line))
    return top + len(rows) * (tall + 2) + _GAP
