"""Folds of E2FIF: unit, block."""

from torch import nn

from bitsr.export.deploy.folds.common import fold_conv
from bitsr.export.deploy.layers import ResidualBinaryConv2d
from bitsr.export.deploy.registry import folds
from bitsr.training.models.e2fif import E2fifBlock, E2fifUnit


@folds(E2fifUnit)
def fold_e2fif_unit(module: E2fifUnit, activation: nn.Module | None = None) -> ResidualBinaryConv2d:
    """``activation`` is what the block has behind the unit."""
    return ResidualBinaryConv2d(fold_conv(module.conv, norm=module.norm, activation=activation))


@folds(E2fifBlock)
def fold_e2fif_block(module: E2fifBlock) -> nn.Sequential:
    return nn.Sequential(fold_e2fif_unit(module.unit1, module.activation), fold_e2fif_unit(module.unit2))
