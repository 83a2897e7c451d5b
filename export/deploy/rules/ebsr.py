"""Fold rules of EBSR: gates, E-Conv, block."""

from torch import Tensor, nn

from bitsr.export.deploy.layers import (
    ChannelGate,
    ChannelShiftGate,
    GatedBinaryConv2d,
    QuantizedSpatialGate,
    SpatialGate,
)
from bitsr.export.deploy.registry import fold, fold_rule
from bitsr.export.deploy.rules.folding import fold_conv
from bitsr.training.layers import ChannelShiftRescale, SpatialRescale
from bitsr.training.models.ebsr import EbsrBlock, EConv, QuantizedSpatialRescale


@fold_rule(SpatialRescale)
def _spatial(module: SpatialRescale) -> SpatialGate:
    return SpatialGate(module.conv)


@fold_rule(QuantizedSpatialRescale)
def _quantized_spatial(module: QuantizedSpatialRescale) -> QuantizedSpatialGate:
    activations = module.activation_quantizer
    return QuantizedSpatialGate(
        module.weight_quantizer.levels(module.weight),
        weight_step=module.weight_quantizer.step(),
        activation_step=activations.step(),
        bias=module.bias,
        negative=activations.negative,
        positive=activations.positive,
    )


@fold_rule(ChannelShiftRescale)
def _channel(module: ChannelShiftRescale) -> nn.Module:
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


def _econv(module: EConv, activation: nn.Module | None) -> GatedBinaryConv2d:
    return GatedBinaryConv2d(
        fold_conv(module.conv, activation=activation, picture_threshold=module.channel is not None),
        channel=None if module.channel is None else fold(module.channel),
        spatial=None if module.spatial is None else fold(module.spatial),
    )


@fold_rule(EConv)
def _plain_econv(module: EConv) -> GatedBinaryConv2d:
    return _econv(module, None)


@fold_rule(EbsrBlock)
def _ebsr_block(module: EbsrBlock) -> nn.Module:
    return nn.Sequential(_econv(module.conv1, module.activation), _econv(module.conv2, None))
