"""The walk through a UNet: its forward pass stands here once, for training and deploy forms."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

# ``layer(x, *context)``; the context is what the layers need of the timestep.
Layer = Callable[..., Tensor]


def run_unet(
    h: Tensor,
    *context: Any,
    encoder: Iterable[Iterable[Layer]],
    downs: Sequence[Layer],
    middle: Iterable[Layer],
    decoder: Iterable[Iterable[Layer]],
    ups: Sequence[Layer],
) -> Tensor:
    """Down through the encoder's levels, through the middle and up through the decoder's, each feature stored once.

    Args:
        h: what the head gives, (N, C, H, W); it is the first stored feature.
        context: given to every layer behind its maps.
        encoder: levels of blocks ``(h, *context)``, the finest first.
        downs: between two levels of the encoder, ``(h, *context)``.
        middle: at the coarsest level, ``(h, *context)``.
        decoder: levels of blocks ``(h, skip, *context)``, the coarsest first; ``skip`` is the last stored feature.
        ups: between two levels of the decoder, ``(h, *context)``.
    """
    skips = [h]
    for level, blocks in enumerate(encoder):
        for block in blocks:
            h = block(h, *context)
            skips.append(h)
        if level < len(downs):
            h = downs[level](h, *context)
            skips.append(h)
    for layer in middle:
        h = layer(h, *context)
    for level, decoding in enumerate(decoder):
        for decode in decoding:
            h = decode(h, skips.pop(), *context)
        if level < len(ups):
            h = ups[level](h, *context)
    return h


def without_context(layer: nn.Module) -> Layer:
    """``layer(h)`` as a layer that is given the context too."""
    return lambda h, *context: layer(h)


def behind_fusion(fusion: nn.Module, block: nn.Module) -> Layer:
    """``block(fusion(h, skip))``."""
    return lambda h, skip, *context: block(fusion(h, skip, *context), *context)


def behind_concatenation(block: nn.Module) -> Layer:
    """``block`` of the channels of h and skip."""
    return lambda h, skip, *context: block(torch.cat([h, skip], dim=1), *context)


def levels(part: nn.ModuleList) -> list[list[nn.Module]]:
    """The blocks of each level of an encoder or decoder, a list of lists."""
    return [list(blocks.children()) for blocks in part]
