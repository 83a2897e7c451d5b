"""FRBC: SRResNet whose body's convolutions have residually binarized weights, two planes on one binarized activation.

Source: Zhang, Qin et al., "Flexible Residual Binarization for Image Super-Resolution", ICML 2024. Public are its
abstract and reviews, no code: weights only are binarized twice, head and tail stay float, the network is SRResNet, and
training is guided by the float network of the same structure (:mod:`bitsr.training.distillation`). All else is
inferred: frame, unit and amplification are those of BBCU-L (Xia et al., ICLR 2023), so that the two differ in the
weights alone, and ``msrresnet`` is the float network of this structure. A binary weight has 2 bits and works twice:
compare with 1-bit networks only with that said.
"""

from torch import Tensor, nn

from bitsr.training.binarizers import ResidualWeight, RSign
from bitsr.training.layers import BinaryConv2d, RPReLU
from bitsr.training.models.bbcu import amplification
from bitsr.training.models.frames import SrResNetFrame
from bitsr.training.models.registry import register_model

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
        return self.rprelu(self.conv(x)) + x  # type: ignore[no-any-return]


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


@register_model("test_frb_x{scale}", scales=(2,))
def _test_frb(model_id: str, scale: int) -> SrResNetFrame:
    return _frbc(model_id, scale, family="test_frb", channels=8, blocks=1)
