"""Distributions of activations in front of each binary layer, picture by picture.

Papers argue with it for scales and thresholds that follow layer, channel and picture (EBSR, arXiv 2303.12270v1).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import SuperResolutionModel
from bitsr.validation.figures.chart import COLOURS, Frame, legend
from bitsr.validation.figures.drawing import Box, Drawing, Line
from bitsr.validation.figures.observed import observe, reduced_input

QUANTILES = (0.01, 0.25, 0.5, 0.75, 0.99)
_WIDTH, _HEIGHT = 800, 400
_LEFT, _TOP, _RIGHT, _BOTTOM = 62, 44, 788, 346
# Numbers of layers below the axis, at most.
_LABELS = 16
# torch.quantile takes no more values at once; every k-th value of a map is as good.
_MOST_VALUES = 1 << 22


@dataclass(frozen=True)
class Spread:
    """The :data:`QUANTILES` of what a binary layer is given of one picture, and the share of its bits that are +1."""

    layer: str
    picture: str
    quantiles: tuple[float, ...]
    ones: float


def spreads(model: SuperResolutionModel, photos: Sequence[Path]) -> list[Spread]:
    """Of each picture after the other, layer by layer in the order in which they run.

    The photos are reduced by the model's scale first. Errors as :func:`~bitsr.validation.figures.observed.observe`.
    """
    found: list[Spread] = []
    for photo in photos:

        def look(
            name: str, module: nn.Module, inputs: tuple[Tensor, ...], _: object, *, picture: str = photo.stem
        ) -> None:
            assert isinstance(module, BinaryConv2d)
            bits = module.activation_binarizer(*inputs)
            values = inputs[0].flatten().float()
            values = values[:: -(-len(values) // _MOST_VALUES)]
            quantiles = torch.quantile(values, torch.tensor(QUANTILES)).tolist()
            found.append(Spread(name, picture, tuple(quantiles), (bits > 0).float().mean().item()))

        observe(model, reduced_input(photo, scale=model.scale), (BinaryConv2d,), look)
    return found


def draw_activations(found: Sequence[Spread], *, title: str) -> Drawing:
    """A box for each layer and picture: median, the middle half, and from 1 to 99 percent of the values.

    Raises:
        UsageError: more pictures than colours.
    """
    pictures = list(dict.fromkeys(spread.picture for spread in found))
    if len(pictures) > len(COLOURS):
        raise UsageError(f"the figure shows {len(COLOURS)} pictures at most, {len(pictures)} were given; name fewer")
    layers = list(dict.fromkeys(spread.layer for spread in found))
    low, high = min(s.quantiles[0] for s in found), max(s.quantiles[-1] for s in found)
    margin = 0.05 * (high - low) or 1.0
    frame = Frame(_LEFT, _TOP, _RIGHT, _BOTTOM, 0, len(layers), low - margin, high + margin)
    drawing = Drawing(_WIDTH, _HEIGHT)
    every = -(-len(layers) // _LABELS)
    frame.draw(
        drawing,
        title=title,
        x_title="binary layer",
        y_title="activation",
        x_ticks=[(number + 0.5, str(number + 1)) for number in range(0, len(layers), every)],
    )
    room = (frame.right - frame.left) / len(layers)
    width = min(0.8 * room / len(pictures), 24)
    for spread in found:
        number = pictures.index(spread.picture)
        middle = frame.x(layers.index(spread.layer) + 0.5) + (number - (len(pictures) - 1) / 2) * width
        least, first, median, third, most = (frame.y(value) for value in spread.quantiles)
        colour = COLOURS[number]
        drawing.add(Line(((middle, least), (middle, most)), colour))
        drawing.add(Box(middle - 0.4 * width, third, 0.8 * width, max(first - third, 1.0), colour))
        drawing.add(Line(((middle - 0.4 * width, median), (middle + 0.4 * width, median)), "#000000", 1.5))
    legend(drawing, pictures, x=_LEFT, y=_HEIGHT - 6)
    return drawing
