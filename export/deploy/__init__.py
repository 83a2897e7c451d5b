"""The deploy form: trained modules folded into fused binary layers, integers at the ends, and plain float ops."""

from bitsr.export.deploy import folds as _registered  # noqa: F401 - importing them registers them
from bitsr.export.deploy.folds.common import fold_conv
from bitsr.export.deploy.integer_ends import deploy_form, ends_in_our_ops, with_integer_ends
from bitsr.export.deploy.layers import (
    ChannelGate,
    ChannelShiftGate,
    FoldedBackbone,
    FusedBinaryConv2d,
    PixelShuffle,
    QuantizedConv2d,
    QuantizedSpatialGate,
    ResidualBinaryConv2d,
    SpatialGate,
)
from bitsr.export.deploy.registry import fold, folds

__all__ = [
    "ChannelGate",
    "ChannelShiftGate",
    "FoldedBackbone",
    "FusedBinaryConv2d",
    "PixelShuffle",
    "QuantizedConv2d",
    "QuantizedSpatialGate",
    "ResidualBinaryConv2d",
    "SpatialGate",
    "deploy_form",
    "ends_in_our_ops",
    "fold",
    "fold_conv",
    "folds",
    "with_integer_ends",
]
