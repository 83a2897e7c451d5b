"""Float references of the networks in the light backbone: what binarization costs at equal depth and width."""

from dataclasses import dataclass, replace

from torch import Tensor, nn

from bitsr.training.models.backbones import LightBackbone
from bitsr.training.models.registry import register_model

PAPER = "float reference of EBSR-light in our variant"


@dataclass(frozen=True)
class FloatLightConfig:
    """Shape of a float network in the light backbone."""

    channels: int = 64
    blocks: int = 16


class FloatBlock(nn.Module):
    """Two 3x3 convolutions, each with a skip around it, a PReLU between them. (N, C, H, W) -> (N, C, H, W).

    The geometry of EBSR's block: a skip around every convolution, no gates.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.activation = nn.PReLU(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.conv1(x) + x)
        return self.conv2(x) + x


_FULL = FloatLightConfig()


@register_model("float_light_x{scale}", paper=PAPER, config=_FULL)
@register_model("float_light_fast_x{scale}", paper=PAPER, config=replace(_FULL, blocks=4))
@register_model("test_float_light_x{scale}", scales=(2,), paper=PAPER, config=FloatLightConfig(channels=8, blocks=1))
def float_light(scale: int, config: FloatLightConfig) -> LightBackbone:
    """``config.blocks`` blocks with the head, tail and nearest-neighbour skip of ``ebsr_light_plus``."""
    return LightBackbone(
        nn.Sequential(*(FloatBlock(config.channels) for _ in range(config.blocks))),
        channels=config.channels,
        scale=scale,
        nearest_skip=True,
    )
