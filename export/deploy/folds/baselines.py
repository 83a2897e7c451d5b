"""Folds of the baselines that have a deploy form, and the reasons of those that have none."""

import torch
from torch import Tensor, nn

from bitsr.export.deploy.folds.common import fold_conv
from bitsr.export.deploy.layers import AddVector, FusedBinaryConv2d, ResidualBinaryConv2d
from bitsr.export.deploy.registry import folds
from bitsr.export.errors import ExportError
from bitsr.training.binarizers.baselines import filter_scale
from bitsr.training.models.baseline_blocks import (
    BamBody,
    BnnBlock,
    BtmBlock,
    DorefaUnit,
    IbtmBlock,
    ReactnetBody,
    ReactnetUnit,
    SkipUnit,
    XnorUnit,
)
from bitsr.training.models.baselines import TRAINING_ONLY


class TwoLayers(nn.Module):
    """Two binary layers with the block's input as the residual of the second."""

    def __init__(self, conv1: FusedBinaryConv2d, conv2: FusedBinaryConv2d) -> None:
        super().__init__()
        self.conv1 = conv1
        self.conv2 = conv2

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.conv1(x), residual=x)


@folds(BnnBlock)
def fold_bnn(module: BnnBlock) -> TwoLayers:
    return TwoLayers(fold_conv(module.conv1, norm=module.norm1), fold_conv(module.conv2, norm=module.norm2))


@folds(BtmBlock)
def fold_btm(module: BtmBlock) -> TwoLayers:
    conv1, conv2 = fold_conv(module.conv1, activation=module.activation1), fold_conv(module.conv2)
    conv1.scale = conv1.scale * filter_scale(module.conv1.weight).flatten()
    conv2.scale = conv2.scale * filter_scale(module.conv2.weight).flatten()
    conv2.inner_slope = module.activation2.weight.detach().clone()  # before the residual
    return TwoLayers(conv1, conv2)


@folds(SkipUnit)
def fold_skip_unit(module: SkipUnit) -> ResidualBinaryConv2d:
    return ResidualBinaryConv2d(fold_conv(module.conv, norm=module.norm))


@folds(ReactnetBody)
def fold_reactnet(module: ReactnetBody) -> nn.Sequential:
    """The shift after a unit's PReLU goes into the next unit's threshold and shift; the last one is added."""
    layers: list[nn.Module] = []
    units = [unit for unit in module if isinstance(unit, ReactnetUnit)]
    ahead = torch.zeros(units[0].conv.in_channels)
    for unit in units:
        layer = fold_conv(unit.conv, norm=unit.norm, activation=unit.rprelu.prelu)
        assert layer.threshold is not None
        assert layer.shift is not None  # RSign and BN give them
        layer.threshold = layer.threshold - ahead
        layer.shift = layer.shift + (unit.rprelu.shift_before + ahead).detach()
        layers.append(ResidualBinaryConv2d(layer))
        ahead = unit.rprelu.shift_after.detach()
    return nn.Sequential(*layers, AddVector(ahead))


def _refuse(module_type: type[nn.Module], method: str) -> None:
    @folds(module_type)
    def refuse(module: nn.Module) -> nn.Module:
        raise ExportError(
            f"'{method}' is for comparison in training and has no deploy form: {TRAINING_ONLY[method]}; "
            "export bnn, bireal, irnet, reactnet or btm"
        )


_refuse(XnorUnit, "xnor")
_refuse(DorefaUnit, "dorefa")
_refuse(BamBody, "bam")
_refuse(IbtmBlock, "ibtm")
