"""Folds of EBSR: gates, E-Conv, block."""

from torch import Tensor, nn

from bitsr.export.deploy.folds.common import fold_conv
from bitsr.export.deploy.layers import (
    ChannelGate,
    ChannelShiftGate,
    QuantizedSpatialGate,
    ResidualBinaryConv2d,
    SpatialGate,
)
from bitsr.export.deploy.registry import fold, folds
from bitsr.training.layers import ChannelShiftRescale, SpatialRescale
from bitsr.training.models.ebsr import EbsrBlock, EConv, QuantizedSpatialRescale


@folds(SpatialRescale)
def fold_spatial(module: SpatialRescale) -> SpatialGate:
    return SpatialGate(module.conv)


@folds(QuantizedSpatialRescale)
def fold_quantized_spatial(module: QuantizedSpatialRescale) -> QuantizedSpatialGate:
    activations = module.activation_quantizer
    return QuantizedSpatialGate(
        module.weight_quantizer.levels(module.weight),
        weight_step=module.weight_quantizer.step(),
        activation_step=activations.step(),
        bias=module.bias,
        negative=activations.negative,
        positive=activations.positive,
    )


@folds(ChannelShiftRescale)
def fold_channel(module: ChannelShiftRescale) -> nn.Module:
    if module.fused:
        return ChannelShiftGate(module.fc1, module.fc2)
    return SeparateChannelGates(
        ChannelGate(module.shift_fc1, module.shift_fc2, sigmoid=False),
        ChannelGate(module.gain_fc1, module.gain_fc2, sigmoid=True),
    )


class SeparateChannelGates(nn.Module):
    """Shift and gain from two gates of their own. (N, C, H, W) -> shift (N, C), gain (N, C)."""

    def __init__(self, shift: ChannelGate, gain: ChannelGate) -> None:
        super().__init__()
        self.shift = shift
        self.gain = gain

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.shift(x), self.gain(x)


@folds(EConv)
def fold_econv(module: EConv, activation: nn.Module | None = None) -> ResidualBinaryConv2d:
    """``activation`` is what the block has behind the E-Conv."""
    return ResidualBinaryConv2d(
        fold_conv(module.conv, norm=module.norm, activation=activation, picture_threshold=module.channel is not None),
        channel_gate=None if module.channel is None else fold(module.channel),
        spatial_gate=None if module.spatial is None else fold(module.spatial),
    )


@folds(EbsrBlock)
def fold_ebsr_block(module: EbsrBlock) -> nn.Sequential:
    return nn.Sequential(fold_econv(module.conv1, module.activation), fold_econv(module.conv2))
