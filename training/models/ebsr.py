"""EBSR: binary convolutions with input-dependent threshold and re-scaling, and our variant of it.

Source: Wei et al., "EBSR: Enhanced Binary Neural Network for Image Super-Resolution", arXiv 2303.12270v1. Its text is
silent on the following; what is done here:

- the spatial gate is a 3x3 convolution and the channel branch reduces by 16: only so its tables 3 and 4 add up.
- the activations' scale alpha of the baseline stays in E-Conv, where the channel branch replaces the threshold.
- LeakyReLU(0.1), its ancestor E2FIF's, between the two E-Convs of a block; no 33rd convolution behind the body; a tail
  of one convolution before the pixel shuffle, E2FIF's, since EDSR's upsampler would cost ten times the network.
- alpha starts at 1, thresholds and biases at 0, the gates near one half.
- the values are 0 to 255, as in the published code of E2FIF, which it descends from.
"""

from dataclasses import dataclass, replace
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.binarizers import LsqQuantizer, MeanScaleWeight, ScaledSign
from bitsr.training.layers import EDSR_RANGE, BinaryConv2d, ChannelShiftRescale, SpatialRescale
from bitsr.training.models.backbones import LightBackbone
from bitsr.training.models.registry import positive, register_model

PAPER = "EBSR, arXiv 2303.12270v1"


@dataclass(frozen=True)
class EbsrConfig:
    """Shape and switches of an EBSR network.

    ``input_scale`` is the range of values, or BBCU's amplification; ``nearest_skip`` adds the nearest-neighbour
    enlargement of the input picture to the output; ``norm`` puts a batch normalisation behind each binary convolution
    (the paper's table 2 compares the baseline with and without). ``gate_bits`` are those of the spatial gate's weights
    and activations (EBSR-SQ). ``channel_scales`` gives each channel of the activations a scale alpha of its own, the
    per-channel quantization that the paper compares with (table 5); for training only.
    """

    channels: int = 64
    blocks: int = 16
    channel: Literal["none", "unfused", "fused"] = "fused"
    spatial: bool = True
    activation: Literal["leaky_relu", "prelu"] = "leaky_relu"
    input_scale: float = positive(EDSR_RANGE)
    nearest_skip: bool = False
    norm: bool = False
    gate_bits: tuple[int, int] | None = None
    channel_scales: bool = False


class QuantizedSpatialRescale(nn.Module):
    """Spatial gate of EBSR-SQ: LSQ-quantized weights and activations. (N, C, H, W) -> (N, 1, H, W) in (0, 1).

    ``sigmoid(conv2d(q(x), q(weight)) + bias)``, 3x3. Source: EBSR (arXiv 2303.12270v1), EBSR-SQ of its table 4, which
    names LSQ and the bits alone. Inferred: signed levels for activations too, because the gate reads the real-valued
    layer input; one step for each tensor; float bias.
    """

    def __init__(self, channels: int, *, weight_bits: int, activation_bits: int) -> None:
        super().__init__()
        self.weight_bits = weight_bits
        self.activation_bits = activation_bits
        initial = nn.Conv2d(channels, 1, 3)
        self.weight = nn.Parameter(initial.weight.detach().clone())
        self.bias = nn.Parameter(torch.zeros(1))
        self.weight_quantizer = LsqQuantizer(weight_bits, batched=False)
        self.activation_quantizer = LsqQuantizer(activation_bits, batched=True)
        self.weight_quantizer.start(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        x, weight = self.activation_quantizer(x), self.weight_quantizer(self.weight)
        return torch.sigmoid(F.conv2d(x, weight, self.bias, padding=1))


class EConv(nn.Module):
    """``y = binary_conv(x) * channel gain * spatial gain + x`` (EBSR, section 5.3). (N, C, H, W) -> (N, C, H, W)."""

    # The spatial gate looks as far as the convolution beside it.
    receptive_field_radius = 1

    def __init__(self, config: EbsrConfig) -> None:
        super().__init__()
        channels = config.channels
        has_channel = config.channel != "none"
        self.conv = BinaryConv2d(
            channels,
            channels,
            3,
            activation_binarizer=ScaledSign(
                channels, learn_threshold=not has_channel, per_channel=config.channel_scales
            ),
            weight_binarizer=MeanScaleWeight(),
        )
        self.norm = nn.BatchNorm2d(channels) if config.norm else None
        self.channel = ChannelShiftRescale(channels, fused=config.channel == "fused") if has_channel else None
        self.spatial = _spatial(config) if config.spatial else None

    def forward(self, x: Tensor) -> Tensor:
        shift, gain = (None, None) if self.channel is None else self.channel(x)
        y = self.conv(x, shift)
        if self.norm is not None:
            y = self.norm(y)
        if gain is not None:
            y = y * gain
        if self.spatial is not None:
            y = y * self.spatial(x)
        return y + x


def _spatial(config: EbsrConfig) -> nn.Module:
    if config.gate_bits is None:
        return SpatialRescale(config.channels)
    weight_bits, activation_bits = config.gate_bits
    return QuantizedSpatialRescale(config.channels, weight_bits=weight_bits, activation_bits=activation_bits)


class EbsrBlock(nn.Module):
    """Two E-Convs with an activation between them.

    The paper's text does not fix the activation: LeakyReLU(0.1) is its ancestor E2FIF's, a PReLU per channel is ours.
    """

    def __init__(self, config: EbsrConfig) -> None:
        super().__init__()
        self.conv1 = EConv(config)
        self.activation = nn.PReLU(config.channels) if config.activation == "prelu" else nn.LeakyReLU(0.1)
        self.conv2 = EConv(config)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv2(self.activation(self.conv1(x)))


_PLUS = EbsrConfig(activation="prelu", input_scale=64.0, nearest_skip=True)
_PLUS_PAPER = (
    f"{PAPER}; with the input amplification of BBCU (ICLR 2023), a PReLU per channel and a nearest-neighbour skip"
)


@register_model("ebsr_light_x{scale}", paper=PAPER, config=EbsrConfig())
@register_model("ebsr_x{scale}", paper=PAPER, config=EbsrConfig(channels=256, blocks=32))
@register_model("ebsr_light_baseline_x{scale}", paper=PAPER, config=EbsrConfig(channel="none", spatial=False))
@register_model(
    "ebsr_light_baseline_norm_x{scale}", paper=PAPER, config=EbsrConfig(channel="none", spatial=False, norm=True)
)
@register_model(
    "ebsr_light_baseline_per_channel_x{scale}",
    paper=PAPER,
    config=EbsrConfig(channel="none", spatial=False, channel_scales=True),
)
@register_model("ebsr_light_spatial_x{scale}", paper=PAPER, config=EbsrConfig(channel="none"))
@register_model("ebsr_light_channel_x{scale}", paper=PAPER, config=EbsrConfig(spatial=False))
@register_model("ebsr_light_unfused_x{scale}", paper=PAPER, config=EbsrConfig(channel="unfused"))
@register_model("ebsr_light_sq_w1a8_x{scale}", paper=PAPER, config=EbsrConfig(gate_bits=(1, 8)))
@register_model("ebsr_light_sq_w2a4_x{scale}", paper=PAPER, config=EbsrConfig(gate_bits=(2, 4)))
@register_model("ebsr_light_sq_w4a4_x{scale}", paper=PAPER, config=EbsrConfig(gate_bits=(4, 4)))
@register_model("ebsr_light_plus_x{scale}", paper=_PLUS_PAPER, config=_PLUS)
@register_model("ebsr_light_plus_fast_x{scale}", paper=_PLUS_PAPER, config=replace(_PLUS, blocks=4))
@register_model(
    "ebsr_light_plus_fast_photo_x{scale}", scales=(2, 4), paper=_PLUS_PAPER, config=replace(_PLUS, blocks=4)
)
@register_model("ebsr_light_plus_tiny_x{scale}", paper=_PLUS_PAPER, config=replace(_PLUS, blocks=2))
@register_model("ebsr_light_plus_micro_x{scale}", paper=_PLUS_PAPER, config=replace(_PLUS, blocks=1))
@register_model(
    "test_ebsr_plus_x{scale}", paper=_PLUS_PAPER, config=replace(_PLUS, channels=8, blocks=2, input_scale=8.0)
)
@register_model(
    "test_ebsr_sq_x{scale}", scales=(2,), paper=PAPER, config=EbsrConfig(channels=8, blocks=1, gate_bits=(4, 4))
)
def ebsr(scale: int, config: EbsrConfig) -> LightBackbone:
    """An EBSR network: ``config.blocks`` blocks in the light backbone."""
    return LightBackbone(
        nn.Sequential(*(EbsrBlock(config) for _ in range(config.blocks))),
        channels=config.channels,
        scale=scale,
        input_scale=config.input_scale,
        nearest_skip=config.nearest_skip,
    )
