"""E2FIF: a full-precision shortcut over every binary convolution, batch normalisation instead of scales.

Source: Lang, Zhang, Wei, "E2FIF: Push the Limit of Binarized Deep Imagery Super-resolution using End-to-end
Full-precision Information Flow", arXiv 2207.06893; topology and range of values (0 to 255) of the published
EDSR_e2fif, here for RGB.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from bitsr.training.binarizers import Sign, SignWeight
from bitsr.training.layers import EDSR_RANGE, BinaryConv2d
from bitsr.training.models.backbones import LightBackbone
from bitsr.training.models.registry import positive, register_model

PAPER = "E2FIF, arXiv 2207.06893"


class E2fifUnit(nn.Module):
    """``y = BN(binary_conv(x) + bias) + x``, without ``norm`` no BN. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, *, norm: bool = True) -> None:
        super().__init__()
        self.conv = BinaryConv2d(
            channels, channels, 3, activation_binarizer=Sign(), weight_binarizer=SignWeight(), bias=True
        )
        self.norm = nn.BatchNorm2d(channels) if norm else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return (y if self.norm is None else self.norm(y)) + x


class E2fifBlock(nn.Module):
    """Two units with LeakyReLU(0.1) on the main path between them."""

    def __init__(self, channels: int, *, norm: bool = True) -> None:
        super().__init__()
        self.unit1 = E2fifUnit(channels, norm=norm)
        self.activation = nn.LeakyReLU(0.1)
        self.unit2 = E2fifUnit(channels, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.unit2(self.activation(self.unit1(x)))


@dataclass(frozen=True)
class E2fifConfig:
    """Shape of an E2FIF network, whether it normalises, and the range of its values."""

    channels: int = 64
    blocks: int = 16
    norm: bool = True
    input_scale: float = positive(EDSR_RANGE)


@register_model("e2fif_x{scale}", paper=PAPER, config=E2fifConfig())
@register_model("e2fif_no_norm_x{scale}", paper=PAPER, config=E2fifConfig(norm=False))
@register_model("e2fif_large_x{scale}", paper=PAPER, config=E2fifConfig(channels=256, blocks=32))
@register_model("test_e2fif_x{scale}", paper=PAPER, config=E2fifConfig(channels=8, blocks=1))
def e2fif(scale: int, config: E2fifConfig) -> LightBackbone:
    """E2FIF: ``config.blocks`` blocks in the light backbone."""
    body = nn.Sequential(*(E2fifBlock(config.channels, norm=config.norm) for _ in range(config.blocks)))
    return LightBackbone(body, channels=config.channels, scale=scale, input_scale=config.input_scale)
