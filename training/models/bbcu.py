"""BBCU: binary convolutions with the activation inside the binary branch and one global amplification.

Source: Xia et al., "Basic Binary Convolution Unit for Binarized Image Restoration Network", ICLR 2023, and its
published code: unit, block, variants L and M (head and last convolution stay float in both), initial values. Binary
head (BBCU-H) and tail (BBCU-T) are in the figure of the units; inferred: what is binary beside them is all of M.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.binarizers import LearnedScaleWeight, MeanScaleWeight, RSign
from bitsr.training.layers import DIV2K_MEAN, BinaryConv2d, RPReLU
from bitsr.training.models.backbones import SrResNet, scaled_init, upsampling_factors
from bitsr.training.models.edsr import ResidualBlock
from bitsr.training.models.registry import register_model

PAPER = "BBCU, ICLR 2023"
FLOAT_PAPER = "SRResNet in the form of BasicSR, the float reference of BBCU (ICLR 2023)"


def amplification(channels: int) -> float:
    """BBCU's factor of the input picture: ``k = 130 n / 64`` for n channels."""
    return 130.0 * channels / 64


class BbcuUnit(nn.Module):
    """BBCU-B: ``y = RPReLU(binary_conv(x)) + x``. (N, C, H, W) -> (N, C, H, W).

    Neither batch normalisation nor bias; the skip passes the activation by, so that its negative part is kept.
    ``learned_scale`` makes the scales of the weights parameters instead of means.
    """

    def __init__(self, channels: int, *, learned_scale: bool = False) -> None:
        super().__init__()
        self.conv = bbcu_conv(channels, channels, learned_scale=learned_scale)
        self.rprelu = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.rprelu(self.conv(x)) + x


class BbcuUpsampler(nn.Module):
    """BBCU-U: ``y = shuffle(RPReLU(binary_conv(x))) + nearest(x)``. (N, C, H, W) -> (N, C, H f, W f).

    ``learned_scale`` as in :class:`BbcuUnit`.
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


class BbcuHead(nn.Module):
    """BBCU-H: ``y = RPReLU(binary_conv(x)) + repeat(x)``. (N, 3, H, W) -> (N, C, H, W).

    The skip repeats the three channels one after another until there are C, cut off at C. x is the amplified picture
    without DIV2K's mean: nothing else in the network would bring negative values about, and every bit would be +1.
    """

    mean: Tensor

    def __init__(self, channels: int, *, input_scale: float) -> None:
        super().__init__()
        self.conv = scaled_init(bbcu_conv(3, channels))
        mean = input_scale * torch.tensor(DIV2K_MEAN).reshape(1, 3, 1, 1)
        self.register_buffer("mean", mean, persistent=False)
        self.rprelu = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        x = x - self.mean
        y: Tensor = self.rprelu(self.conv(x))
        return y + x[:, torch.arange(y.shape[1], device=x.device) % 3]


class BbcuTail(nn.Module):
    """BBCU-T: ``y = RPReLU(binary_conv(x))``; the enlarged picture that the network adds is its skip.

    (N, C, H, W) -> (N, 3, H, W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = scaled_init(bbcu_conv(channels, 3))
        self.rprelu = RPReLU(3)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.rprelu(self.conv(x))
        return y


@dataclass(frozen=True)
class BbcuConfig:
    """Shape of a BBCU network, and which parts beside the body are binary.

    ``binary_upsampler``: upsampler and ``conv_hr`` (variant M). ``binary_head`` and ``binary_tail``: BBCU-H and BBCU-T,
    which the paper draws and its published networks leave float.
    """

    channels: int = 64
    blocks: int = 16
    binary_upsampler: bool = False
    binary_head: bool = False
    binary_tail: bool = False


@register_model("bbcu_l_x{scale}", paper=PAPER, config=BbcuConfig())
@register_model("bbcu_m_x{scale}", paper=PAPER, config=BbcuConfig(binary_upsampler=True))
@register_model("bbcu_h_x{scale}", paper=PAPER, config=BbcuConfig(binary_upsampler=True, binary_head=True))
@register_model("bbcu_t_x{scale}", paper=PAPER, config=BbcuConfig(binary_upsampler=True, binary_tail=True))
@register_model("test_bbcu_l_x{scale}", scales=(2,), paper=PAPER, config=BbcuConfig(channels=8, blocks=1))
@register_model(
    "test_bbcu_m_x{scale}",
    scales=(3, 4),
    paper=PAPER,
    config=BbcuConfig(channels=8, blocks=1, binary_upsampler=True),
)
@register_model(
    "test_bbcu_ht_x{scale}",
    scales=(2,),
    paper=PAPER,
    config=BbcuConfig(channels=8, blocks=1, binary_upsampler=True, binary_head=True, binary_tail=True),
)
def bbcu(scale: int, config: BbcuConfig) -> SrResNet:
    """BBCU: ``config.blocks`` blocks, each two units in series without a skip of its own."""
    channels = config.channels
    stages, conv_hr = None, None
    if config.binary_upsampler:
        stages = nn.ModuleList(BbcuUpsampler(channels, factor) for factor in upsampling_factors(scale))
        conv_hr = BbcuUnit(channels)
        for layer in (*stages, conv_hr):
            assert isinstance(layer, BbcuUpsampler | BbcuUnit)
            scaled_init(layer.conv)
    return SrResNet(
        nn.Sequential(*(BbcuUnit(channels) for _ in range(2 * config.blocks))),
        channels=channels,
        scale=scale,
        input_scale=amplification(channels),
        stages=stages,
        conv_hr=conv_hr,
        head=BbcuHead(channels, input_scale=amplification(channels)) if config.binary_head else None,
        conv_last=BbcuTail(channels) if config.binary_tail else None,
    )


@dataclass(frozen=True)
class SrResNetConfig:
    """Shape of the float network."""

    channels: int = 64
    blocks: int = 16


@register_model("msrresnet_x{scale}", paper=FLOAT_PAPER, config=SrResNetConfig())
@register_model("test_msrresnet_x{scale}", scales=(2,), paper=FLOAT_PAPER, config=SrResNetConfig(channels=8, blocks=1))
def msrresnet(scale: int, config: SrResNetConfig) -> SrResNet:
    """The float network that BBCU's tables call SRResNet."""
    blocks = (ResidualBlock(config.channels, residual_scale=1.0) for _ in range(config.blocks))
    return SrResNet(nn.Sequential(*blocks), channels=config.channels, scale=scale)
