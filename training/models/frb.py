"""FRB: SRResNet (FRBC) and light SwinIR (FRBT) with residually binarized weights, two planes on one activation.

Source: Zhang, Qin et al., "Flexible Residual Binarization for Image Super-Resolution", ICML 2024. Public are its
abstract and reviews, no code: weights only are binarized twice, head and tail stay float, the networks are SRResNet and
the small SwinIR, and training is guided by the float network of the same structure
(:mod:`bitsr.training.distillation`). All else is inferred:

* FRBC has backbone, unit and amplification of BBCU-L (Xia et al., ICLR 2023), so that the two differ in the weights
  alone; ``msrresnet`` is the float network of this structure.
* FRBT: "SwinIR_S" is the light SwinIR, ``swinir_light``. Binary are all linear layers (queries, keys and values,
  projection, both of the MLP), as 1x1 convolutions with learnable thresholds, and the 3x3 convolutions that close the
  groups and the body, as units that carry their input along themselves in place of the group's skip. RPReLU stands
  where GELU did, between two binary layers. Float are normalisation, the attention's products and its softmax.

A binary weight has 2 bits and works twice: compare with 1-bit networks only with that said.
"""

from dataclasses import asdict, dataclass

from torch import Tensor, nn

from bitsr.training.binarizers import ResidualWeight, RSign
from bitsr.training.layers import BinaryConv2d, RPReLU
from bitsr.training.models.backbones import SrResNet
from bitsr.training.models.bbcu import amplification
from bitsr.training.models.registry import register_model
from bitsr.training.models.swinir import TINY, SwinIr, SwinIrConfig, SwinParts

PAPER = "FRB, ICML 2024"


def frb_conv(
    channels: int, out_channels: int, kernel_size: int, *, learned_scales: bool, bias: bool = False
) -> BinaryConv2d:
    """Binary convolution with learnable thresholds and two weight planes."""
    return BinaryConv2d(
        channels,
        out_channels,
        kernel_size,
        activation_binarizer=RSign(channels),
        weight_binarizer=ResidualWeight(out_channels, learned=learned_scales),
        bias=bias,
    )


class FrbUnit(nn.Module):
    """``y = RPReLU(conv(x)) + x`` with a 3x3 :func:`frb_conv`. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, *, learned_scales: bool) -> None:
        super().__init__()
        self.conv = frb_conv(channels, channels, 3, learned_scales=learned_scales)
        self.rprelu = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.rprelu(self.conv(x)) + x


def _block(channels: int, *, learned_scales: bool) -> nn.Sequential:
    return nn.Sequential(*(FrbUnit(channels, learned_scales=learned_scales) for _ in range(2)))


@dataclass(frozen=True)
class FrbcConfig:
    """Shape of an FRBC network; ``learned_scales``: the planes' scales are learned, rather than in closed form."""

    channels: int = 64
    blocks: int = 16
    learned_scales: bool = True


@register_model("frbc_x{scale}", paper=PAPER, config=FrbcConfig())
@register_model("frbc_closed_x{scale}", paper=PAPER, config=FrbcConfig(learned_scales=False))
@register_model("test_frb_x{scale}", scales=(2,), paper=PAPER, config=FrbcConfig(channels=8, blocks=1))
def frbc(scale: int, config: FrbcConfig) -> SrResNet:
    """FRBC: a block is two units, as a residual block of the float network is two convolutions."""
    blocks = (_block(config.channels, learned_scales=config.learned_scales) for _ in range(config.blocks))
    return SrResNet(
        nn.Sequential(*blocks), channels=config.channels, scale=scale, input_scale=amplification(config.channels)
    )


class BinaryHidden(nn.Module):
    """First half of an MLP: ``RPReLU(conv(x))`` with a 1x1 :func:`frb_conv`. (N, C, H, W) -> (N, hidden, H, W)."""

    def __init__(self, channels: int, hidden: int, *, learned_scales: bool) -> None:
        super().__init__()
        self.conv = frb_conv(channels, hidden, 1, learned_scales=learned_scales)
        self.rprelu = RPReLU(hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.rprelu(self.conv(x))


@dataclass(frozen=True)
class FrbtConfig(SwinIrConfig):
    """Shape of an FRBT network; ``learned_scales`` as in :class:`FrbcConfig`."""

    learned_scales: bool = True


@register_model("frbt_x{scale}", paper=PAPER, config=FrbtConfig())
@register_model("frbt_closed_x{scale}", paper=PAPER, config=FrbtConfig(learned_scales=False))
@register_model("test_frbt_x{scale}", scales=(2,), paper=PAPER, config=FrbtConfig(**asdict(TINY)))
def frbt(scale: int, config: FrbtConfig) -> SwinIr:
    """FRBT: the light SwinIR of binary linear layers."""
    learned_scales = config.learned_scales
    parts = SwinParts(
        linear=lambda channels, out: frb_conv(channels, out, 1, learned_scales=learned_scales, bias=True),
        hidden=lambda channels, hidden: BinaryHidden(channels, hidden, learned_scales=learned_scales),
        group_end=lambda channels: FrbUnit(channels, learned_scales=learned_scales),
        body_end=lambda channels: FrbUnit(channels, learned_scales=learned_scales),
        group_skip=False,
    )
    return SwinIr(parts, config, scale=scale)
