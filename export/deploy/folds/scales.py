"""Folds of SCALES: a binary layer with its gates, unit, block."""

from torch import Tensor, nn

from bitsr.export.deploy.folds.common import fold_conv
from bitsr.export.deploy.layers import ChannelGate
from bitsr.export.deploy.registry import fold, folds
from bitsr.training.models.scales import ChannelRescale, ScalesBlock, ScalesConv, ScalesUnit


@folds(ChannelRescale)
def fold_channel_rescale(module: ChannelRescale) -> ChannelGate:
    return ChannelGate(module.fc1, module.fc2, sigmoid=True)


@folds(ScalesConv)
class FoldedScalesConv(nn.Module):
    """The gates, and one binary layer with RPReLU, gains, the ``residual`` that is given, and ``activation``."""

    def __init__(self, module: ScalesConv, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = fold_conv(module.conv, rprelu=module.rprelu, activation=activation)
        self.channel_gate = None if module.channel is None else fold(module.channel)
        self.spatial_gate = None if module.spatial is None else fold(module.spatial)

    def forward(self, x: Tensor, *, residual: Tensor | None = None) -> Tensor:
        """(N, C, H, W) -> (N, out, H, W); ``residual`` has the shape of the output."""
        channel_gain = None if self.channel_gate is None else self.channel_gate(x)
        spatial_gain = None if self.spatial_gate is None else self.spatial_gate(x)
        return self.conv(x, channel_gain=channel_gain, spatial_gain=spatial_gain, residual=residual)


@folds(ScalesUnit)
class FoldedScalesUnit(nn.Module):
    """The layer with its input as residual; ``activation`` is what the block has behind the unit."""

    def __init__(self, module: ScalesUnit, activation: nn.Module | None = None) -> None:
        super().__init__()
        self.conv = FoldedScalesConv(module.conv, activation)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H, W)."""
        return self.conv(x, residual=x)


@folds(ScalesBlock)
def fold_scales_block(module: ScalesBlock) -> nn.Sequential:
    return nn.Sequential(FoldedScalesUnit(module.unit1, module.activation), FoldedScalesUnit(module.unit2))
