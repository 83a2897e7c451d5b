"""BBCU: binary convolutions with the activation inside the binary branch and one global amplification.

Source: Xia et al., "Basic Binary Convolution Unit for Binarized Image Restoration Network", ICLR 2023, and its
published code: unit, block, variants L and M (head and last convolution stay float in both), initial values.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.binarizers import LearnedScaleWeight, MeanScaleWeight, RSign
from bitsr.training.layers import BinaryConv2d, RPReLU
from bitsr.training.models.edsr import ResidualBlock
from bitsr.training.models.frames import SrResNetFrame, upsampling_factors
from bitsr.training.models.registry import register_model

PAPER = "BBCU, ICLR 2023"


def amplification(channels: int) -> float:
    """BBCU's factor of the input picture: ``k = 130 n / 64`` for n channels."""
    return 130.0 * channels / 64


class BbcuUnit(nn.Module):
    """BBCU-B: ``y = RPReLU(binary_conv(x)) + x``. (N, C, H, W) -> (N, C, H, W).

    Neither batch normalisation nor bias; the skip passes the activation by, so that its negative part is kept.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = bbcu_conv(channels, channels)
        self.rprelu = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.rprelu(self.conv(x)) + x


class BbcuUpsampler(nn.Module):
    """BBCU-U: ``y = shuffle(RPReLU(binary_conv(x))) + nearest(x)``. (N, C, H, W) -> (N, C, H f, W f).

    ``learned_scale`` makes the scales of the weights parameters instead of means.
    """

    def __init__(self, channels: int, factor: int, *, learned_scale: bool = False) -> None:
        super().__init__()
        self.factor = factor
        self.conv = bbcu_conv(channels, channels * factor**2, learned_scale=learned_scale)
        self.rprelu = RPReLU(channels * factor**2)

    def forward(self, x: Tensor) -> Tensor:
        y = self.rprelu(self.conv(x))
        # Each channel repeated before the shuffle is its nearest-neighbour enlargement after it.
        return F.pixel_shuffle(y + x.repeat_interleave(self.factor**2, dim=1), self.factor)


def bbcu_conv(channels: int, out_channels: int, *, learned_scale: bool = False) -> BinaryConv2d:
    """3x3, a threshold for each input channel, a scale (mean or learned) for each filter."""
    return BinaryConv2d(
        channels,
        out_channels,
        3,
        activation_binarizer=RSign(channels),
        weight_binarizer=LearnedScaleWeight(out_channels) if learned_scale else MeanScaleWeight(),
    )


def _bbcu(
    model_id: str, scale: int, *, family: str, binary_upsampler: bool, channels: int = 64, blocks: int = 16
) -> SrResNetFrame:
    stages = nn.ModuleList(BbcuUpsampler(channels, factor) for factor in upsampling_factors(scale))
    return SrResNetFrame(
        model_id,
        scale,
        # A block is two units in series without a skip of its own.
        body=nn.Sequential(*(BbcuUnit(channels) for _ in range(2 * blocks))),
        channels=channels,
        blocks=blocks,
        family=family,
        paper=PAPER,
        input_scale=amplification(channels),
        stages=stages if binary_upsampler else None,
        conv_hr=BbcuUnit(channels) if binary_upsampler else None,
        config={"binary_upsampler": binary_upsampler},
    )


@register_model("bbcu_l_x{scale}")
def _bbcu_l(model_id: str, scale: int) -> SrResNetFrame:
    return _bbcu(model_id, scale, family="bbcu_l", binary_upsampler=False)


@register_model("bbcu_m_x{scale}")
def _bbcu_m(model_id: str, scale: int) -> SrResNetFrame:
    return _bbcu(model_id, scale, family="bbcu_m", binary_upsampler=True)


@register_model("msrresnet_x{scale}")
def _msrresnet(model_id: str, scale: int) -> SrResNetFrame:
    """The float network that BBCU's tables call SRResNet."""
    return _float(model_id, scale, family="msrresnet", channels=64, blocks=16)


def _float(model_id: str, scale: int, *, family: str, channels: int, blocks: int) -> SrResNetFrame:
    return SrResNetFrame(
        model_id,
        scale,
        body=nn.Sequential(*(ResidualBlock(channels, residual_scale=1.0) for _ in range(blocks))),
        channels=channels,
        blocks=blocks,
        family=family,
        paper="SRResNet in the form of BasicSR, the float reference of BBCU (ICLR 2023)",
    )


@register_model("test_bbcu_l_x{scale}", scales=(2,))
def _test_bbcu_l(model_id: str, scale: int) -> SrResNetFrame:
    return _bbcu(model_id, scale, family="test_bbcu_l", binary_upsampler=False, channels=8, blocks=1)


@register_model("test_bbcu_m_x{scale}", scales=(3, 4))
def _test_bbcu_m(model_id: str, scale: int) -> SrResNetFrame:
    return _bbcu(model_id, scale, family="test_bbcu_m", binary_upsampler=True, channels=8, blocks=1)


@register_model("test_msrresnet_x{scale}", scales=(2,))
def _test_msrresnet(model_id: str, scale: int) -> SrResNetFrame:
    return _float(model_id, scale, family="test_msrresnet", channels=8, blocks=1)
