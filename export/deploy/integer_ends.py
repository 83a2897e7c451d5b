"""The float convolutions at a network's ends as convolutions of integers: the last step to its deploy form.

Whoever sums floats rounds in an order of his own, and a value on a threshold falls to the other side of it: then two
runtimes show two pictures. With integers at the ends every op of such a network is ours and exact, so that they all
show the same one, and one partition holds the whole graph, whose end our kernels run in strips: no map of the size of
the result is ever whole.

Nothing here depends on the machine: the head takes pixels, the body is exact, and the largest value of a map is the
same in whatever order it is looked for. So the same weights give the same numbers everywhere.
"""

import copy
import math
from collections.abc import Iterator
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from bitsr.common.mixing import mix_bits
from bitsr.export.deploy.folds.backbones import AmplifiedHead, BilinearUpsample
from bitsr.export.deploy.folds.common import negative_slope
from bitsr.export.deploy.integer_layers import (
    BYTES,
    FINE_BYTES,
    PIXEL_LEVELS,
    WORDS,
    IntegerBilinear,
    MapLevels,
    of_maps,
    of_pixels,
)
from bitsr.export.deploy.layers import (
    AddInput,
    AddVector,
    FoldedBackbone,
    FusedBinaryConv2d,
    PixelShuffle,
    QuantizedConv2d,
)
from bitsr.export.deploy.registry import fold

# Pictures that ranges are measured on: their count and side.
_PICTURES, _SIDE = 2, 48
# How far a tail of bytes may be from one of words there, in steps of a pixel for each factor of enlargement, as a root
# of the mean square. On photos, 0.08 are 0.01 dB at 38, 34 and 32 dB, which good networks reach at x2, x3 and x4; there
# the shipped networks are off by half to three quarters of what they are off by here.
_MOST_ERROR = 0.125 / PIXEL_LEVELS
_ACTIVATIONS = (nn.LeakyReLU, nn.PReLU, nn.ReLU)


def deploy_form(module: nn.Module) -> nn.Module:
    """What artifacts hold of a trained network: folded, and where it can be with integers at its ends.

    Raises:
        ExportError: see :func:`bitsr.export.deploy.fold` and :func:`with_integer_ends`.
    """
    return with_integer_ends(fold(module))


def with_integer_ends(folded: nn.Module) -> nn.Module:
    """A network of a binary body between float convolutions and pixel shuffles, these in integers; any other as it is.

    Args:
        folded: what :func:`bitsr.export.deploy.fold` gives; it is not changed.

    Raises:
        ExportError: its values are not finite.
    """
    if not _has_float_ends(folded):
        return folded
    assert isinstance(folded, FoldedBackbone)
    head = _integer_head(folded.head, folded.mean)
    body, added = _without_last_addition(folded.body)
    with torch.no_grad():
        values = body(head(range_pictures()).to(memory_format=torch.channels_last))
    tail, exact = _integer_tail(folded.tail, values, WORDS, added=added)
    scale = exact.shape[-1] / _SIDE * (folded.shuffle.factor if isinstance(folded.shuffle, PixelShuffle) else 1)
    for levels in (BYTES, FINE_BYTES):
        narrow, found = _integer_tail(folded.tail, values, levels, added=added)
        if _root_mean_square(found - exact) <= _MOST_ERROR * scale:
            tail = narrow
            break
    skip = folded.skip
    if isinstance(skip, BilinearUpsample):
        skip = IntegerBilinear(skip.weight, skip.shuffle.factor)
    made = FoldedBackbone(
        head=head,
        body=body,
        tail=tail,
        shuffle=folded.shuffle,
        nearest_skip=folded.nearest_skip,
        skip=skip,
    )
    return made.eval().requires_grad_(False)


def ends_in_our_ops(network: nn.Module) -> bool:
    """Whether the end of a network's artifact runs in our kernels, in strips: its ends are integers, or can be.

    ``network`` is what :func:`bitsr.export.deploy.fold` or :func:`with_integer_ends` gives.
    """
    integers = (
        isinstance(network, FoldedBackbone)
        and isinstance(network.head, QuantizedConv2d | AmplifiedHead)
        and all(_is_ours(stage) or isinstance(stage, QuantizedConv2d) for stage in _stages(network.tail))
    )
    return integers or _has_float_ends(network)


def _has_float_ends(network: nn.Module) -> bool:
    if not isinstance(network, FoldedBackbone) or not _fits_head(network.head):
        return False
    stages = list(_stages(network.tail))
    first = stages[0] if stages else None
    return (
        any(isinstance(layer, FusedBinaryConv2d) for layer in network.body.modules())
        and all(_fits(stage) or _is_ours(stage) for stage in stages if not isinstance(stage, _ACTIVATIONS))
        and all(_follows_convolution(stages, i) for i, stage in enumerate(stages) if isinstance(stage, _ACTIVATIONS))
        and (_fits(first) or _without_last_addition(network.body)[1] is None)
        and (network.skip is None or isinstance(network.skip, BilinearUpsample))
        and (isinstance(network.shuffle, PixelShuffle) or _enlarges(stages))
    )


def _stages(module: nn.Module) -> Iterator[nn.Module]:
    """What a sequence of layers, and of sequences, is made of, in order."""
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _stages(part)
    else:
        yield module


def _fits(layer: nn.Module | None) -> bool:
    """A convolution of a geometry that the kernels have."""
    return (
        isinstance(layer, nn.Conv2d)
        and layer.kernel_size in ((1, 1), (3, 3))
        and layer.stride == layer.dilation == (1, 1)
        and layer.groups == 1
    )


def _fits_head(head: nn.Module) -> bool:
    if isinstance(head, AmplifiedHead):
        return isinstance(head.repeat, nn.Conv2d)
    first, *rest = _stages(head)
    return _fits(first) and (not rest or (len(rest) == 1 and isinstance(rest[0], _ACTIVATIONS)))


def _is_ours(stage: nn.Module) -> bool:
    """Of our ops alone, which have buffers and no parameters."""
    return any(isinstance(part, FusedBinaryConv2d | PixelShuffle) for part in stage.modules()) and not any(
        True for _ in stage.parameters()
    )


def _follows_convolution(stages: list[nn.Module], place: int) -> bool:
    return place > 0 and _fits(stages[place - 1])


def _enlarges(stages: list[nn.Module]) -> bool:
    return any(isinstance(part, PixelShuffle) for stage in stages for part in stage.modules())


def _without_last_addition(body: nn.Module) -> tuple[nn.Module, Tensor | None]:
    """A body without the vector that it adds at its very end, and that vector (C,)."""
    if isinstance(body, AddInput):
        inner, added = _without_last_addition(body.body)
        return (body, None) if added is None else (AddInput(inner), added)
    if isinstance(body, nn.Sequential) and len(body) > 1 and isinstance(body[-1], AddVector):
        return body[:-1], body[-1].vector.flatten()
    return body, None


def _integer_head(head: nn.Module, mean: Tensor | None) -> nn.Module:
    if isinstance(head, AmplifiedHead):
        made = copy.deepcopy(head)
        assert isinstance(head.repeat, nn.Conv2d)
        made.repeat = of_pixels(head.repeat)
        return made
    conv, *rest = _stages(head)
    assert isinstance(conv, nn.Conv2d)
    return of_pixels(conv, mean=mean, slope=negative_slope(rest[0], channels=conv.out_channels) if rest else None)


def _root_mean_square(values: Tensor) -> float:
    # A sum that is rounded once is the same on every machine.
    return math.sqrt(math.fsum(values.double().square().flatten().tolist()) / values.numel())


def _integer_tail(
    tail: nn.Module, values: Tensor, levels: MapLevels, *, added: Tensor | None
) -> tuple[nn.Module, Tensor]:
    """The tail for maps like ``values``, which are the body's, without the vector that is ``added`` to them.

    Each convolution has its range from what the layers before it make of them, in integers already. The second result
    is what all make of them.
    """
    stages = list(_stages(tail))
    made: list[nn.Module] = []
    for i, stage in enumerate(stages):
        if isinstance(stage, _ACTIVATIONS):
            continue
        if isinstance(stage, nn.Conv2d):
            after = stages[i + 1] if i + 1 < len(stages) else None
            stage = of_maps(
                stage,
                values.abs().amax(dim=(0, 2, 3)),
                levels,
                added=added if i == 0 else None,
                slope=negative_slope(after, channels=stage.out_channels) if isinstance(after, _ACTIVATIONS) else None,
            )
        made.append(stage)
        with torch.no_grad():
            values = stage(values)
    return (made[0] if len(made) == 1 else nn.Sequential(*made)), values


def range_pictures() -> Tensor:
    """Pictures (2, 3, 48, 48) of whole pixels, in [0, 1], that the ranges of maps are measured on.

    Discs of all sizes lie on one another, as many small ones as large ones take room: dead leaves, which have the
    statistics of photos, edges among them (Lee, Mumford and Huang, IJCV 2001). Their numbers are of a hash and their
    sums exact: the same on every machine and by every library.
    """
    return torch.from_numpy(np.stack([_leaves(seed) for seed in range(_PICTURES)]).astype(np.float32)) / PIXEL_LEVELS


@cache
def _leaves(seed: int) -> NDArray[np.int64]:
    """A picture (3, 48, 48): discs seen from above, made twice as large and reduced; below them is grey."""
    # As many discs as cover nearly all; the colours of one differ from its grey by up to 40.
    side, discs, colours = 2 * _SIDE, 5000, 80
    places = np.arange(discs * 7, dtype=np.uint32) + np.uint32(seed * 0x01000000)
    numbers = mix_bits(places * np.uint32(0x9E3779B1)).astype(np.int64)
    picture = np.full((3, side, side), (PIXEL_LEVELS + 1) // 2, np.int64)
    free = np.ones((side, side), bool)
    pixels = np.arange(side)
    for size, x, y, grey, *colour in numbers.reshape(discs, 7).tolist():
        # 1 / r^2 is uniform from 1 to 1 / side^2: as many of radius r as r^-3.
        share = size / 2.0**32
        square = 1 / (1 - share + share / side**2)
        across, down = (pixels - x % side) ** 2, (pixels - y % side) ** 2
        rows, columns = np.flatnonzero(down <= square), np.flatnonzero(across <= square)
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        disc = free[box] & (down[rows, None] + across[columns] <= square)
        if not disc.any():
            continue
        shifts = np.array(colour) % (colours + 1) - colours // 2
        picture[:, *box][:, disc] = np.clip(grey % (PIXEL_LEVELS + 1) + shifts, 0, PIXEL_LEVELS)[:, None]
        free[box] &= ~disc
        if not free.any():
            break
    return picture.reshape(3, _SIDE, 2, _SIDE, 2).sum(axis=(2, 4)) // 4
