"""Folds of the binary EDSR with attention.

The trunk of the deploy form is that of the train form divided by the product of the factors a2 so far, so that units
without attention on the residual branch are one binary layer each. Masks are gates of ours, their products a rescale.
"""

import copy

import torch
from torch import Tensor, nn

from bitsr.export import ops
from bitsr.export.deploy.folds.common import fold_conv, fold_head, fold_tail, rescale
from bitsr.export.deploy.layers import ChannelGate, FoldedBackbone, FusedBinaryConv2d, PixelGate, SpatialGate
from bitsr.export.deploy.registry import fold, folds
from bitsr.training.models.attention import (
    AttentionGain,
    AttentionUnit,
    BinEdsr,
    ConvolutionMask,
    SqueezeExcitation,
)


@folds(SqueezeExcitation)
def fold_squeeze_excitation(module: SqueezeExcitation) -> ChannelGate:
    """(N, C, H, W) -> (N, C)."""
    return ChannelGate(module.first, module.second, sigmoid=True)


@folds(ConvolutionMask)
def fold_convolution_mask(module: ConvolutionMask) -> SpatialGate | PixelGate:
    """(N, C, H, W) -> (N, 1, H, W) or (N, C, H, W)."""
    return SpatialGate(module.first) if module.first.out_channels == 1 else PixelGate(module.first)


# Which gain of a rescale each gate gives.
_GAINS: dict[type[nn.Module], str] = {ChannelGate: "channel_gain", SpatialGate: "spatial_gain", PixelGate: "gain"}


class FoldedAttentionGain(nn.Module):
    """``z * gain * M(z * trunk / divisor) + residual``, the factors in the first weights of M."""

    scale: Tensor

    def __init__(self, branch: AttentionGain, *, channels: int, gain: float, trunk: float = 1.0) -> None:
        super().__init__()
        mask = copy.deepcopy(branch.mask)
        first = mask.get_submodule("first")
        assert isinstance(first, nn.Conv2d)
        with torch.no_grad():
            first.weight *= trunk / branch.divisor
        self.gate = fold(mask)
        self.register_buffer("scale", torch.full((channels,), gain))

    def forward(self, z: Tensor, *, residual: Tensor | None = None) -> Tensor:
        return ops.rescale(z, self.scale, residual=residual, **{_GAINS[type(self.gate)]: self.gate(z)})


class FoldedAttentionUnit(nn.Module):
    """Binary layer with attention on its output (``binary``), on its residual (``residual``), or on none."""

    def __init__(self, conv: FusedBinaryConv2d, *, binary: nn.Module | None, residual: nn.Module | None) -> None:
        super().__init__()
        self.conv = conv
        self.binary = binary
        self.residual = residual

    def forward(self, x: Tensor) -> Tensor:
        skip = x if self.residual is None else self.residual(x)
        if self.binary is None:
            return self.conv(x, residual=skip)
        y: Tensor = self.binary(self.conv(x), residual=skip)
        return y


def _unit(module: AttentionUnit, *, trunk: float) -> tuple[FoldedAttentionUnit, float]:
    """The unit for an input divided by ``trunk``, and what its output is divided by."""
    conv = fold_conv(module.conv, rprelu=module.rprelu)
    a1, a2 = module.binary.factor().item(), module.residual.factor().item()
    residual = None
    after = trunk * a2
    if isinstance(module.residual, AttentionGain):
        # It undoes the division, in the mask's input and in the result.
        channels = conv.in_channels
        residual = FoldedAttentionGain(module.residual, channels=channels, gain=after, trunk=trunk)
        after = 1.0
    binary = None
    if isinstance(module.binary, AttentionGain):
        binary = FoldedAttentionGain(module.binary, channels=conv.out_channels, gain=a1 / after)
        rescale(conv, input_divisor=trunk)
    else:
        rescale(conv, input_divisor=trunk, gain=a1 / after)
    return FoldedAttentionUnit(conv, binary=binary, residual=residual), after


@folds(BinEdsr)
def fold_binedsr(module: BinEdsr) -> FoldedBackbone:
    """Units and upsampler for the divided trunk; the tail undoes the division."""
    units: list[nn.Module] = []
    folded: nn.Module
    trunk = 1.0
    for unit in module.body:
        if isinstance(unit, AttentionUnit):
            folded, trunk = _unit(unit, trunk=trunk)
        else:
            folded = fold(unit)
        units.append(folded)
    upsampler = fold(module.upsampler)
    for layer in upsampler.modules():
        if isinstance(layer, FusedBinaryConv2d):
            rescale(layer, input_divisor=trunk, gain=1 / trunk)
    mean = module.normalize.mean
    tail = fold_tail(module.tail, input_scale=module.normalize.input_scale, gain=trunk, mean=mean)
    return FoldedBackbone(
        mean=mean,
        head=fold_head(module.head, module.normalize),
        body=nn.Sequential(*units),
        tail=nn.Sequential(upsampler, tail),
    )
