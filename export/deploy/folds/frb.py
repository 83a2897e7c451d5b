"""Folds of FRB."""

from bitsr.export.deploy.folds.common import fold_conv
from bitsr.export.deploy.layers import FusedBinaryConv2d, ResidualBinaryConv2d
from bitsr.export.deploy.registry import folds
from bitsr.training.models.frb import BinaryHidden, FrbUnit


@folds(FrbUnit)
def fold_frb_unit(module: FrbUnit) -> ResidualBinaryConv2d:
    return ResidualBinaryConv2d(fold_conv(module.conv, rprelu=module.rprelu))


@folds(BinaryHidden)
def fold_hidden(module: BinaryHidden) -> FusedBinaryConv2d:
    return fold_conv(module.conv, rprelu=module.rprelu)
