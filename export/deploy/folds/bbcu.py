"""Folds of BBCU: unit and binary upsampler."""

from torch import Tensor, nn

from bitsr.export.deploy.folds.common import fold_conv
from bitsr.export.deploy.layers import PixelShuffle, ResidualBinaryConv2d
from bitsr.export.deploy.registry import folds
from bitsr.training.models.bbcu import BbcuUnit, BbcuUpsampler


@folds(BbcuUnit)
def fold_bbcu_unit(module: BbcuUnit) -> ResidualBinaryConv2d:
    return ResidualBinaryConv2d(fold_conv(module.conv, rprelu=module.rprelu))


@folds(BbcuUpsampler)
class FoldedBbcuUpsampler(nn.Module):
    """Binary layer and pixel shuffle, plus the nearest-neighbour enlargement of the input."""

    def __init__(self, module: BbcuUpsampler) -> None:
        super().__init__()
        self.conv = fold_conv(module.conv, rprelu=module.rprelu)
        self.shuffle = PixelShuffle(module.factor)

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(self.conv(x), x)
