"""Fold rules of FRB."""

from bitsr.export.deploy.layers import GatedBinaryConv2d
from bitsr.export.deploy.registry import fold_rule
from bitsr.export.deploy.rules.folding import fold_conv
from bitsr.training.models.frb import FrbUnit


@fold_rule(FrbUnit)
def _unit(module: FrbUnit) -> GatedBinaryConv2d:
    return GatedBinaryConv2d(fold_conv(module.conv, rprelu=module.rprelu), channel=None, spatial=None)
