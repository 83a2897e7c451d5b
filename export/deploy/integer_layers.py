"""Float convolutions, and the bilinear enlargement of a picture, as convolutions of integers."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitsr.export import ops
from bitsr.export.deploy.layers import PixelShuffle, QuantizedConv2d
from bitsr.export.errors import ExportError

PIXEL_LEVELS = 255
# The largest weight of a filter is so many steps at least, and at most.
_LEAST_WEIGHT_LEVELS, _MOST_WEIGHT_LEVELS = 127, (1 << 15) - 1
_MOST_SUM = (1 << 31) - 1
# A channel that the pictures of the ranges leave dark is given the steps of one that is at least this small.
_LEAST_RANGE = 2.0**-8


@dataclass(frozen=True)
class MapLevels:
    """How finely maps and the weights behind them are cut into steps.

    Args:
        in_range: levels that the largest value of a channel takes.
        most: what larger values go up to, as far as the sums have room for them.
        weight: steps of a filter's largest weight, at most.
    """

    in_range: int
    most: int
    weight: int


# VNNI multiplies bytes twice as fast as 16 bits, SDOT four times. Here all weights are bytes, and with BYTES all levels
# in nearly all parts of a photo; larger ones are not cut off, up to what two signed bytes make (kMostOfTwoBytes in
# runtime/core/row_kernels.h).
_MOST_OF_TWO_BYTES = 256 * 127 + 127
BYTES = MapLevels(in_range=127, most=_MOST_OF_TWO_BYTES, weight=127)
FINE_BYTES = MapLevels(in_range=255, most=_MOST_OF_TWO_BYTES, weight=127)
# 12 bits, and eight times as much fits.
WORDS = MapLevels(in_range=1 << 12, most=(1 << 15) - 1, weight=_MOST_WEIGHT_LEVELS)


def of_pixels(conv: nn.Conv2d, *, mean: Tensor | None = None, slope: Tensor | None = None) -> QuantizedConv2d:
    """``activation(conv(x - mean))`` of pixels in [0, 1], which are whole numbers of 1/255.

    The mean goes into the biases; ``slope`` (Co,) is that of an activation's negative values.

    What the rounding of its weights changes flips signs in all layers behind: they have all 16 bits.
    """
    levels, step = _weight_levels(
        conv.weight.detach().double(), most=_MOST_WEIGHT_LEVELS, largest_sum=_MOST_SUM // PIXEL_LEVELS
    )
    bias = _bias(conv)[None]
    if mean is not None:
        # Sums are exact. They are of the weights that are used, so that a picture of the mean gives the bias alone.
        bias = _with_sum_inside(bias, levels * -mean.detach().double().reshape(-1, 1, 1), step)
    return QuantizedConv2d(
        levels,
        inverse_step=torch.full((conv.in_channels,), float(PIXEL_LEVELS)),
        scale=step / PIXEL_LEVELS,
        bias=bias,
        slope=slope,
        negative=0,
        positive=PIXEL_LEVELS,
    )


def of_maps(
    conv: nn.Conv2d,
    largest: Tensor,
    levels: MapLevels,
    *,
    added: Tensor | None = None,
    slope: Tensor | None = None,
) -> QuantizedConv2d:
    """``activation(conv(x + added))`` of maps x whose channels reach ``largest`` (C,).

    A channel's step is part of the weights. ``added`` (C,) goes into the biases; ``slope`` (Co,) is that of an
    activation's negative values.

    Raises:
        ExportError: the values are not finite, or the channels so many that their sums leave 32 bits.
    """
    if not largest.isfinite().all():
        raise ExportError("values of the network's body are not finite; train it on, or with a smaller learning rate")
    top = max(largest.max().item(), torch.finfo(torch.float32).tiny)
    ranges = largest.double().clamp_min(top * _LEAST_RANGE)
    weights, step = _weight_levels(
        conv.weight.detach().double() * ranges[:, None, None], most=levels.weight, largest_sum=_MOST_SUM // levels.most
    )
    most = min(levels.most, _MOST_SUM // int(weights.abs().sum(dim=(1, 2, 3)).max().clamp_min(1)))
    in_range = min(levels.in_range, most // 2)
    if in_range < 1:
        raise ExportError(f"{conv.in_channels} channels are too many for a tail of integers; keep it float")
    bias = _bias(conv)[None]
    if added is not None:
        bias = _with_sum_inside(bias, weights * (added.detach().double() / ranges)[:, None, None], step)
    return QuantizedConv2d(
        weights,
        inverse_step=in_range / ranges,
        scale=step / in_range,
        bias=bias,
        slope=slope,
        negative=most,
        positive=most,
    )


def _weight_levels(weight: Tensor, *, most: int, largest_sum: int) -> tuple[Tensor, Tensor]:
    """Integers (Co, C, k, k) up to ``most`` and the step (Co,) of each output channel.

    The steps are the smallest that keep the sum of a filter's absolute integers below ``largest_sum``; those of many
    weights are 1/127 of the largest one all the same.
    """
    magnitude = weight.abs().flatten(1)
    largest = magnitude.amax(dim=1)
    # Each integer is up to half a step larger than its weight. The sum is rounded once, in whatever order it is made.
    room = max(1, largest_sum - magnitude.shape[1] // 2 - 1)
    sums = torch.tensor([math.fsum(row) for row in magnitude.tolist()], dtype=torch.float64)
    step = torch.minimum(largest / _LEAST_WEIGHT_LEVELS, torch.maximum(largest / most, sums / room))
    step = torch.where(largest > 0, step, 1.0)
    return (weight / step[:, None, None, None]).round(), step


def _bias(conv: nn.Conv2d) -> Tensor:
    return torch.zeros(conv.out_channels, dtype=torch.float64) if conv.bias is None else conv.bias.detach().double()


def _with_sum_inside(bias: Tensor, taps: Tensor, step: Tensor) -> Tensor:
    """Biases (border classes, Co): ``bias`` (1, Co) plus the sum of the taps (Co, C, k, k) in the picture, in steps."""
    return torch.stack([bias[0] + taps[..., y, x].sum(dim=(1, 2, 3)) * step for y, x in _inside(taps.shape[-1])])


def _inside(size: int) -> list[tuple[slice, slice]]:
    """Rows and columns of a filter's taps that lie inside the picture, for each border class that a pixel may have."""
    if size == 1:
        return [(slice(None), slice(None))]
    lines = [slice(first, size - last) for last in (0, 1) for first in (0, 1)]
    return [(rows, columns) for rows in lines for columns in lines]


class IntegerBilinear(nn.Module):
    """Bilinear enlargement (half-pixel centres) of pixels in [0, 1]. (N, C, H, W) -> (N, C, H f, W f).

    Its weights are whole numbers of 1 / (2 f)^2. What they sum to inside the picture is 1 but for the border, where
    the sum is divided by it, as ``F.interpolate`` does: a factor of the border class, the bias of a filter of zeros.

    Args:
        weight: (C f^2, C, 3, 3), of the convolution in front of the pixel shuffle.
    """

    def __init__(self, weight: Tensor, factor: int) -> None:
        super().__init__()
        parts = (2 * factor) ** 2
        levels = (weight.detach().double() * parts).round()
        out, channels = levels.shape[:2]
        inside = _with_sum_inside(torch.zeros(1, out), levels.sum(dim=1, keepdim=True), torch.full((out,), 1 / parts))
        step = torch.full((channels,), float(PIXEL_LEVELS))
        self.conv = QuantizedConv2d(
            levels,
            inverse_step=step,
            scale=torch.full((out,), 1 / (PIXEL_LEVELS * parts), dtype=torch.float64),
            bias=torch.zeros(1, out),
            negative=0,
            positive=PIXEL_LEVELS,
        )
        self.border = QuantizedConv2d(
            torch.zeros_like(levels),
            inverse_step=step,
            scale=torch.ones(out),
            bias=1 / inside,
            negative=0,
            positive=PIXEL_LEVELS,
        )
        self.shuffle = PixelShuffle(factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(ops.rescale(self.conv(x), gain=self.border(x)))
