"""The deploy form: trained modules folded into fused binary layers and plain float ops."""

from bitsr.export.deploy import rules  # noqa: F401 (registers the rules)
from bitsr.export.deploy.layers import (
    ChannelGate,
    ChannelShiftGate,
    FusedBinaryConv2d,
    PixelShuffle,
    QuantizedSpatialGate,
    SpatialGate,
    SuperResolver,
)
from bitsr.export.deploy.registry import fold, fold_rule

__all__ = [
    "ChannelGate",
    "ChannelShiftGate",
    "FusedBinaryConv2d",
    "PixelShuffle",
    "QuantizedSpatialGate",
    "SpatialGate",
    "SuperResolver",
    "fold",
    "fold_rule",
]
