"""Fold rules of BBCU: unit and binary upsampler."""

from torch import Tensor, nn

from bitsr.export.deploy.layers import FusedBinaryConv2d, GatedBinaryConv2d, PixelShuffle
from bitsr.export.deploy.registry import fold_rule
from bitsr.export.deploy.rules.folding import fold_conv
from bitsr.training.models.bbcu import BbcuUnit, BbcuUpsampler


@fold_rule(BbcuUnit)
def _unit(module: BbcuUnit) -> GatedBinaryConv2d:
    return GatedBinaryConv2d(fold_conv(module.conv, rprelu=module.rprelu), channel=None, spatial=None)


class NearestSkipUpsampler(nn.Module):
    """Binary layer and pixel shuffle, plus the nearest-neighbour enlargement of the input."""

    def __init__(self, conv: FusedBinaryConv2d, factor: int) -> None:
        super().__init__()
        self.conv = conv
        self.shuffle = PixelShuffle(factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(self.conv(x), x)


@fold_rule(BbcuUpsampler)
def _upsampler(module: BbcuUpsampler) -> NearestSkipUpsampler:
    return NearestSkipUpsampler(fold_conv(module.conv, rprelu=module.rprelu), module.factor)
