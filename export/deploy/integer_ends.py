"""The float convolutions at a network's ends as convolutions of integers: the last step to its deploy form.

Whoever sums floats rounds in an order of his own, and a value on a threshold falls to the other side of it: then two
runtimes show two pictures. With integers at the ends every op of such a network is ours and exact, so that they all
show the same one, and one partition holds the whole graph.

Nothing here depends on the machine: the head takes pixels, the body is exact, and the largest value of a map is the
same in whatever order it is looked for. So the same weights give the same numbers everywhere.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitsr.export.deploy.layers import FoldedBackbone, FusedBinaryConv2d, PixelShuffle, QuantizedConv2d
from bitsr.export.deploy.registry import fold
from bitsr.export.errors import ExportError

PIXEL_LEVELS = 255
# The largest weight of a filter is so many steps; it has as many of them as the sums have room for.
_LEAST_WEIGHT_LEVELS, _MOST_WEIGHT_LEVELS = 127, (1 << 15) - 1
_MOST_LEVELS = (1 << 15) - 1
_MOST_SUM = (1 << 31) - 1
# The largest value that the pictures below give a channel takes up to 2^12 of 2^15 levels: 12 bits, and eight times as
# much fits.
_RANGE_BITS, _LEAST_HEAD_ROOM_BITS = 12, 1
# A channel that they leave dark is given the steps of one that is at least this small.
_LEAST_RANGE = 2.0**-8
# Sides of those pictures, and of the squares of one colour that they are sums of.
_SIDE = 32
_SQUARES = (1, 2, 4, 8, 16)


def deploy_form(module: nn.Module) -> nn.Module:
    """What artifacts hold of a trained network: folded, and where it can be with integers at its ends.

    Raises:
        ExportError: see :func:`bitsr.export.deploy.fold` and :func:`with_integer_ends`.
    """
    return with_integer_ends(fold(module))


def with_integer_ends(folded: nn.Module) -> nn.Module:
    """A network of a binary body between float convolutions and a pixel shuffle, these in integers; any other as it is.

    Args:
        folded: what :func:`bitsr.export.deploy.fold` gives; it is not changed.

    Raises:
        ExportError: its values are not finite.
    """
    if not _has_float_ends(folded):
        return folded
    assert isinstance(folded, FoldedBackbone)
    assert isinstance(folded.head, nn.Conv2d)
    assert isinstance(folded.tail, nn.Conv2d)
    head = _quantized_head(folded.head, folded.mean)
    with torch.no_grad():
        body = folded.body(head(range_pictures()).to(memory_format=torch.channels_last))
    tail = _quantized_tail(folded.tail, body.abs().amax(dim=(0, 2, 3)))
    made = FoldedBackbone(
        head=head, body=folded.body, tail=tail, shuffle=folded.shuffle, nearest_skip=folded.nearest_skip
    )
    return made.eval().requires_grad_(False)


def _has_float_ends(network: nn.Module) -> bool:
    return (
        isinstance(network, FoldedBackbone)
        and _fits(network.head)
        and _fits(network.tail)
        and isinstance(network.shuffle, PixelShuffle)
        and network.skip is None
        and any(isinstance(layer, FusedBinaryConv2d) for layer in network.body.modules())
    )


def _fits(layer: nn.Module) -> bool:
    """A convolution of a geometry that the kernels have."""
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size in ((1, 1), (3, 3))
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
    )


def range_pictures() -> Tensor:
    """Pictures (3, 3, 32, 32) of whole pixels, in [0, 1], that the ranges of maps are measured on.

    Two are sums of random squares of all sizes, like photos in that they have as much of each, one has every pixel at
    random, which is more than a photo has. Integers of a hash: the same on every machine and by every library.
    """
    places = np.arange(_SIDE, dtype=np.uint32)
    total = np.zeros((2, 3, _SIDE, _SIDE), np.uint32)
    for size in _SQUARES:
        total += _noise(2, places // size, seed=size) >> np.uint32(24)
    pictures = np.concatenate([total // len(_SQUARES), _noise(1, places, seed=0) >> np.uint32(24)])
    # The mean of five values is narrow: twice its distance from the middle, as far as there are pixels.
    pictures[:2] = np.clip(2 * pictures[:2].astype(np.int64) - PIXEL_LEVELS // 2, 0, PIXEL_LEVELS)
    return torch.from_numpy(pictures.astype(np.float32)) / PIXEL_LEVELS


def _noise(count: int, places: NDArray[np.uint32], *, seed: int) -> NDArray[np.uint32]:
    """Random uint32 (count, 3, len(places), len(places)), the same for the same place."""
    numbers = np.arange(count * 3, dtype=np.uint32).reshape(count, 3, 1, 1)
    mixed = numbers * np.uint32(0x9E3779B1) + np.uint32(seed * 0x85EBCA6B % (1 << 32))
    mixed = mixed + places[:, None] * np.uint32(0xC2B2AE35) + places[None, :] * np.uint32(0x27D4EB2F)
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B), (16, 1)):  # a mixer of 32 bits
        mixed = (mixed ^ (mixed >> np.uint32(shift))) * np.uint32(factor)
    return mixed


def _quantized_head(conv: nn.Conv2d, mean: Tensor | None) -> QuantizedConv2d:
    """Of pixels in [0, 1], which are whole numbers of 1/255; the mean that is subtracted goes into the biases.

    What the rounding of its weights changes flips signs in all layers behind: they have all 16 bits.
    """
    levels, step = _weight_levels(conv.weight.detach().double(), largest_sum=_MOST_SUM // PIXEL_LEVELS)
    bias = _bias(conv)[None]
    if mean is not None:
        # Sums are exact. They are of the weights that are used, so that a picture of the mean gives the bias alone.
        weighted = levels * mean.detach().double().reshape(-1, 1, 1)
        bias = torch.stack([bias[0] - weighted[..., y, x].sum(dim=(1, 2, 3)) * step for y, x in _inside(conv)])
    return QuantizedConv2d(
        levels,
        inverse_step=torch.full((conv.in_channels,), float(PIXEL_LEVELS)),
        scale=step / PIXEL_LEVELS,
        bias=bias,
        negative=0,
        positive=PIXEL_LEVELS,
    )


def _quantized_tail(conv: nn.Conv2d, largest: Tensor) -> QuantizedConv2d:
    """Of maps whose channels reach ``largest`` (C,).

    A channel's step is a power of two, so that multiplying by it rounds nothing, and part of the weights.
    """
    if not largest.isfinite().all():
        raise ExportError("values of the network's body are not finite; train it on, or with a smaller learning rate")
    top = max(largest.max().item(), torch.finfo(torch.float32).tiny)
    # 2^exponent is the least power of two that is larger.
    exponent = torch.frexp(largest.double().clamp_min(top * _LEAST_RANGE))[1]
    ranges = torch.ldexp(torch.ones(len(exponent), dtype=torch.float64), exponent)
    levels, step = _weight_levels(
        conv.weight.detach().double() * ranges[:, None, None], largest_sum=_MOST_SUM // _MOST_LEVELS
    )
    most = min(_MOST_LEVELS, _MOST_SUM // int(levels.abs().sum(dim=(1, 2, 3)).max().clamp_min(1)))
    bits = min(_RANGE_BITS, int(math.log2(most)) - _LEAST_HEAD_ROOM_BITS)
    if bits < 1:
        raise ExportError(f"{conv.in_channels} channels are too many for a tail of integers; keep it float")
    return QuantizedConv2d(
        levels,
        inverse_step=2.0**bits / ranges,
        scale=step / 2.0**bits,
        bias=_bias(conv)[None],
        negative=most,
        positive=most,
    )


def _weight_levels(weight: Tensor, *, largest_sum: int) -> tuple[Tensor, Tensor]:
    """Integers (Co, C, k, k) and the step (Co,) of each output channel.

    The steps are the smallest that keep the sum of a filter's absolute integers below ``largest_sum``; those of many
    weights are 1/127 of the largest one all the same.
    """
    magnitude = weight.abs().flatten(1)
    largest = magnitude.amax(dim=1)
    # Each integer is up to half a step larger than its weight. The sum is rounded once, in whatever order it is made.
    room = max(1, largest_sum - magnitude.shape[1] // 2 - 1)
    sums = torch.tensor([math.fsum(row) for row in magnitude.tolist()], dtype=torch.float64)
    step = torch.minimum(largest / _LEAST_WEIGHT_LEVELS, torch.maximum(largest / _MOST_WEIGHT_LEVELS, sums / room))
    step = torch.where(largest > 0, step, 1.0)
    return (weight / step[:, None, None, None]).round(), step


def _bias(conv: nn.Conv2d) -> Tensor:
    return torch.zeros(conv.out_channels, dtype=torch.float64) if conv.bias is None else conv.bias.detach().double()


def _inside(conv: nn.Conv2d) -> list[tuple[slice, slice]]:
    """Rows and columns of the taps that lie inside the picture, for each border class that a pixel may have."""
    size = conv.kernel_size[0]
    if size == 1:
        return [(slice(None), slice(None))]
    lines = [slice(first, size - last) for last in (0, 1) for first in (0, 1)]
    return [(rows, columns) for rows in lines for columns in lines]
