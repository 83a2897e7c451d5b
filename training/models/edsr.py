"""EDSR and its 64-channel form ("SRResNet" in the tables of binary super-resolution papers): float references.

Source: Lim et al., "Enhanced Deep Residual Networks for Single Image Super-Resolution", CVPRW 2017. In the tables of
BAM, BBCU, E2FIF and EBSR "SRResNet" is this topology with 64 channels and 16 blocks: 1.367 M parameters at x2 and
1.515 M at x4 without biases. The values are 0 to 255 inside, as in EDSR's published code.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.layers import EDSR_RANGE, Normalize
from bitsr.training.models.backbones import upsampling_factors, upsampling_radius
from bitsr.training.models.network import SuperResolutionModel
from bitsr.training.models.registry import register_model

PAPER = "EDSR, CVPRW 2017 (arXiv 1707.02921)"


class ResidualBlock(nn.Module):
    """``x + residual_scale * conv(ReLU(conv(x)))``. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, *, residual_scale: float) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.residual_scale = residual_scale

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(F.relu(self.conv1(x)))
        return x + (y if self.residual_scale == 1.0 else y * self.residual_scale)


class Upsampler(nn.Module):
    """Convolutions to ``f*f*C`` channels with pixel shuffles: two of factor 2 at x4, one of factor 2 or 3 otherwise."""

    def __init__(self, channels: int, scale: int) -> None:
        super().__init__()
        self.factors = upsampling_factors(scale)
        self.convs = nn.ModuleList(nn.Conv2d(channels, channels * f * f, 3, padding=1) for f in self.factors)

    def forward(self, x: Tensor) -> Tensor:
        for conv, factor in zip(self.convs, self.factors, strict=True):
            x = F.pixel_shuffle(conv(x), factor)
        return x


class Edsr(SuperResolutionModel):
    """Head 3x3, residual blocks and one more convolution with a skip around them, upsampler, convolution to RGB."""

    def __init__(self, *, channels: int = 64, blocks: int = 16, scale: int = 4, residual_scale: float = 1.0) -> None:
        super().__init__(
            scale=scale,
            channels=channels,
            receptive_field_radius=2 + 2 * blocks + upsampling_radius(scale, full_resolution_convs=1),
        )
        self.normalize = Normalize(input_scale=EDSR_RANGE)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*(ResidualBlock(channels, residual_scale=residual_scale) for _ in range(blocks)))
        self.body_end = nn.Conv2d(channels, channels, 3, padding=1)
        self.upsampler = Upsampler(channels, scale)
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        head = self.head(self.normalize(x))
        features = self.body_end(self.body(head)) + head
        return self.tail(self.upsampler(features)) / self.normalize.input_scale + self.normalize.mean


@dataclass(frozen=True)
class EdsrConfig:
    """Shape of an EDSR network."""

    channels: int = 64
    blocks: int = 16
    residual_scale: float = 1.0


@register_model("srresnet_x{scale}", paper=PAPER, config=EdsrConfig())
@register_model("edsr_x{scale}", paper=PAPER, config=EdsrConfig(channels=256, blocks=32, residual_scale=0.1))
@register_model("test_srresnet_x{scale}", paper=PAPER, config=EdsrConfig(channels=8, blocks=1))
def edsr(scale: int, config: EdsrConfig) -> Edsr:
    return Edsr(channels=config.channels, blocks=config.blocks, scale=scale, residual_scale=config.residual_scale)
