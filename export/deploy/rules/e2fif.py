"""Fold rules of E2FIF: unit, block."""

from torch import nn

from bitsr.export.deploy.layers import GatedBinaryConv2d
from bitsr.export.deploy.registry import fold_rule
from bitsr.export.deploy.rules.folding import fold_conv
from bitsr.training.models.e2fif import E2fifBlock, E2fifUnit


def _e2fif_unit(module: E2fifUnit, activation: nn.Module | None) -> GatedBinaryConv2d:
    return GatedBinaryConv2d(
        fold_conv(module.conv, norm=module.norm, activation=activation), channel=None, spatial=None
    )


@fold_rule(E2fifUnit)
def _plain_e2fif_unit(module: E2fifUnit) -> GatedBinaryConv2d:
    return _e2fif_unit(module, None)


@fold_rule(E2fifBlock)
def _e2fif_block(module: E2fifBlock) -> nn.Module:
    return nn.Sequential(_e2fif_unit(module.unit1, module.activation), _e2fif_unit(module.unit2, None))
