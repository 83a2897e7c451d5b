"""FRB: SRResNet (FRBC) and light SwinIR (FRBT) with residually binarized weights, two planes on one activation.

Source: Zhang, Qin et al., "Flexible Residual Binarization for Image Super-Resolution", ICML 2024. Public are its
abstract and reviews, no code: weights only are binarized twice, head and tail stay float, the networks are SRResNet and
the small SwinIR, and training is guided by the float network of the same structure
(:mod:`bitsr.training.distillation`). All else is inferred:

* FRBC has frame, unit and amplification of BBCU-L (Xia et al., ICLR 2023), so that the two differ in the weights alone;
  ``msrresnet`` is the float network of this structure.
* FRBT: "SwinIR_S" is the light SwinIR, ``swinir_light``. Binary are all linear layers (queries, keys and values,
  projection, both of the MLP), as 1x1 convolutions with learnable thresholds, and the 3x3 convolutions that close the
  groups and the body, as units that carry their input along themselves in place of the group's skip. RPReLU stands
  where GELU did, between two binary layers. Float are normalisation, the attention's products and its softmax.

A binary weight has 2 bits and works twice: compare with 1-bit networks only with that said.
"""

from typing import Any

from torch import Tensor, nn

from bitsr.training.binarizers import ResidualWeight, RSign
from bitsr.training.layers import BinaryConv2d, RPReLU
from bitsr.training.models.bbcu import amplification
from bitsr.training.models.frames import SrResNetFrame
from bitsr.training.models.registry import register_model
from bitsr.training.models.swinir import TINY, SwinIr, SwinParts

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


def _frbc(
    model_id: str, scale: int, *, family: str, learned_scales: bool = True, channels: int = 64, blocks: int = 16
) -> SrResNetFrame:
    return SrResNetFrame(
        model_id,
        scale,
        # A block is two units, as a residual block of the float network is two convolutions.
        body=nn.Sequential(*(_block(channels, learned_scales=learned_scales) for _ in range(blocks))),
        channels=channels,
        blocks=blocks,
        family=family,
        paper=PAPER,
        input_scale=amplification(channels),
        config={"learned_scales": learned_scales},
    )


@register_model("frbc_x{scale}")
def _frbc_learned(model_id: str, scale: int) -> SrResNetFrame:
    return _frbc(model_id, scale, family="frbc")


@register_model("frbc_closed_x{scale}")
def _frbc_closed(model_id: str, scale: int) -> SrResNetFrame:
    """Scales in closed form rather than learned."""
    return _frbc(model_id, scale, family="frbc_closed", learned_scales=False)


class BinaryHidden(nn.Module):
    """First half of an MLP: ``RPReLU(conv(x))`` with a 1x1 :func:`frb_conv`. (N, C, H, W) -> (N, hidden, H, W)."""

    def __init__(self, channels: int, hidden: int, *, learned_scales: bool) -> None:
        super().__init__()
        self.conv = frb_conv(channels, hidden, 1, learned_scales=learned_scales)
        self.rprelu = RPReLU(hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.rprelu(self.conv(x))


def _frbt(model_id: str, scale: int, *, family: str, learned_scales: bool = True, **size: Any) -> SwinIr:
    parts = SwinParts(
        linear=lambda channels, out: frb_conv(channels, out, 1, learned_scales=learned_scales, bias=True),
        hidden=lambda channels, hidden: BinaryHidden(channels, hidden, learned_scales=learned_scales),
        group_end=lambda channels: FrbUnit(channels, learned_scales=learned_scales),
        body_end=lambda channels: FrbUnit(channels, learned_scales=learned_scales),
        group_skip=False,
    )
    return SwinIr(model_id, scale, parts, family=family, paper=PAPER, config={"learned_scales": learned_scales}, **size)


@register_model("frbt_x{scale}")
def _frbt_learned(model_id: str, scale: int) -> SwinIr:
    return _frbt(model_id, scale, family="frbt")


@register_model("frbt_closed_x{scale}")
def _frbt_closed(model_id: str, scale: int) -> SwinIr:
    """Scales in closed form rather than learned."""
    return _frbt(model_id, scale, family="frbt_closed", learned_scales=False)


@register_model("test_frbt_x{scale}", scales=(2,))
def _test_frbt(model_id: str, scale: int) -> SwinIr:
    return _frbt(model_id, scale, family="test_frbt", **TINY)


@register_model("test_frb_x{scale}", scales=(2,))
def _test_frb(model_id: str, scale: int) -> SrResNetFrame:
    return _frbc(model_id, scale, family="test_frb", channels=8, blocks=1)
