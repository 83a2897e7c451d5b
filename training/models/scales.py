"""SCALES: binary networks with three scalings, for the light frame and for the light SwinIR.

Source: Wei et al., "SCALES: Boost Binary Neural Network for Image Super-Resolution with Efficient Scalings", arXiv
2303.12270v2, the successor of EBSR. Public is its abstract, which names three scalings: a layer-wise factor, an
input-dependent spatial and an input-dependent channel-wise re-scaling, for convolutional networks and transformers.
Which of them stay in a network is a switch each. All else is inferred:

* the layer-wise factor is EBSR's: ``alpha * sign((x - b) / alpha)`` with one learned alpha for each layer; b is learned
  for each channel and no longer computed from the picture, because the abstract names no threshold any more.
* the spatial re-scaling is EBSR's gate, a convolution to one channel and a sigmoid, of the kernel size of the layer; of
  linear layers it is one number for each token.
* the channel-wise re-scaling is squeeze and excitation of the layer's input (mean over the picture, FC, ReLU, FC,
  sigmoid; reduction 16), with as many gains as the layer has outputs.
* both gates read the real-valued input of the layer and multiply its output, and start near one half.
* the light frame is EBSR's (LeakyReLU(0.1), values 0 to 255), with a skip over every binary convolution.
* the transformer has the structure of FRBT (:mod:`bitsr.training.models.frb`) with one weight plane: all linear layers
  are binary, RPReLU stands before the gates of the MLP's hidden layer in place of GELU.
"""

from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.binarizers import MeanScaleWeight, RSign, ScaledSign
from bitsr.training.layers import EDSR_RANGE, BinaryConv2d, RPReLU, SpatialRescale
from bitsr.training.models.backbones import LEAKY_SLOPE, LightBackbone
from bitsr.training.models.registry import positive, register_model
from bitsr.training.models.swinir import SwinIr, SwinIrConfig, SwinParts

PAPER = "SCALES, arXiv 2303.12270v2"


class ChannelRescale(nn.Module):
    """Gain of every output channel: ``sigmoid(FC2(ReLU(FC1(mean of x over H, W))))``.

    (N, C, H, W) -> (N, out, 1, 1) in (0, 1); the biases start at 0.
    """

    global_pooling = True

    def __init__(self, channels: int, out_channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, max(channels // reduction, 1))
        self.fc2 = nn.Linear(self.fc1.out_features, out_channels)
        nn.init.zeros_(self.fc2.bias)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.fc2(F.relu(self.fc1(x.mean(dim=(2, 3))))))[:, :, None, None]


class ScalesConv(nn.Module):
    """``binary_conv(x)``, RPReLU where asked for, times channel gain and spatial gain of x.

    (N, C, H, W) -> (N, out, H, W). ``layer``, ``spatial`` and ``channel`` are the three scalings; without ``layer`` the
    signs count 1.
    """

    # The spatial gate looks as far as the convolution beside it.
    receptive_field_radius: int

    def __init__(
        self,
        channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        layer: bool,
        spatial: bool,
        channel: bool,
        rprelu: bool = False,
        bias: bool = False,
    ) -> None:
        super().__init__()
        self.receptive_field_radius = kernel_size // 2
        self.conv = BinaryConv2d(
            channels,
            out_channels,
            kernel_size,
            activation_binarizer=ScaledSign(channels) if layer else RSign(channels),
            weight_binarizer=MeanScaleWeight(),
            bias=bias,
        )
        self.rprelu = RPReLU(out_channels) if rprelu else None
        self.channel = ChannelRescale(channels, out_channels) if channel else None
        self.spatial = SpatialRescale(channels, kernel_size=kernel_size) if spatial else None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.rprelu is not None:
            y = self.rprelu(y)
        if self.channel is not None:
            y = y * self.channel(x)
        if self.spatial is not None:
            y = y * self.spatial(x)
        return y


class ScalesUnit(nn.Module):
    """A 3x3 :class:`ScalesConv` that carries its input along. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, **scalings: bool) -> None:
        super().__init__()
        self.conv = ScalesConv(channels, channels, 3, **scalings)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + x


@dataclass(frozen=True)
class ScalesConfig:
    """Shape of a SCALES network in the light frame, and which scalings it has.

    ``activation``, ``input_scale`` and ``nearest_skip`` as in :class:`~bitsr.training.models.ebsr.EbsrConfig`.
    """

    channels: int = 64
    blocks: int = 16
    layer: bool = True
    spatial: bool = True
    channel: bool = True
    activation: Literal["leaky_relu", "prelu"] = "leaky_relu"
    input_scale: float = positive(EDSR_RANGE)
    nearest_skip: bool = False


class ScalesBlock(nn.Module):
    """Two units with an activation between them. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, config: ScalesConfig) -> None:
        super().__init__()
        scalings = _scalings(config)
        self.unit1 = ScalesUnit(config.channels, **scalings)
        self.activation = nn.PReLU(config.channels) if config.activation == "prelu" else nn.LeakyReLU(LEAKY_SLOPE)
        self.unit2 = ScalesUnit(config.channels, **scalings)

    def forward(self, x: Tensor) -> Tensor:
        return self.unit2(self.activation(self.unit1(x)))


def _scalings(config: Any) -> dict[str, bool]:
    return {"layer": config.layer, "spatial": config.spatial, "channel": config.channel}


_PLUS = ScalesConfig(activation="prelu", input_scale=64.0, nearest_skip=True)
_PLUS_PAPER = f"{PAPER}; in the frame of ebsr_light_plus"


@register_model("scales_light_x{scale}", paper=PAPER, config=ScalesConfig())
@register_model("scales_light_no_layer_x{scale}", paper=PAPER, config=ScalesConfig(layer=False))
@register_model("scales_light_no_spatial_x{scale}", paper=PAPER, config=ScalesConfig(spatial=False))
@register_model("scales_light_no_channel_x{scale}", paper=PAPER, config=ScalesConfig(channel=False))
@register_model("scales_light_plus_x{scale}", paper=_PLUS_PAPER, config=_PLUS)
@register_model("test_scales_x{scale}", scales=(2,), paper=PAPER, config=ScalesConfig(channels=8, blocks=1))
def scales_light(scale: int, config: ScalesConfig) -> LightBackbone:
    """SCALES in the light frame."""
    return LightBackbone(
        nn.Sequential(*(ScalesBlock(config) for _ in range(config.blocks))),
        channels=config.channels,
        scale=scale,
        input_scale=config.input_scale,
        nearest_skip=config.nearest_skip,
    )


@dataclass(frozen=True)
class ScalesSwinIrConfig(SwinIrConfig):
    """Shape of a SCALES SwinIR, and which scalings it has."""

    layer: bool = True
    spatial: bool = True
    channel: bool = True


@register_model("scales_swinir_x{scale}", paper=PAPER, config=ScalesSwinIrConfig())
@register_model(
    "scales_swinir_baseline_x{scale}",
    paper=f"{PAPER}; its light SwinIR of one bit without a scaling",
    config=ScalesSwinIrConfig(layer=False, spatial=False, channel=False),
)
@register_model(
    "test_scales_swinir_x{scale}",
    scales=(2,),
    paper=PAPER,
    config=ScalesSwinIrConfig(channels=8, depths=(2,), heads=2, window=4, tile=16, overlap=4),
)
def scales_swinir(scale: int, config: ScalesSwinIrConfig) -> SwinIr:
    """SCALES on the light SwinIR of binary linear layers."""
    scalings = _scalings(config)
    parts = SwinParts(
        linear=lambda channels, out: ScalesConv(channels, out, 1, **scalings, bias=True),
        hidden=lambda channels, hidden: ScalesConv(channels, hidden, 1, **scalings, rprelu=True),
        group_end=lambda channels: ScalesUnit(channels, **scalings),
        body_end=lambda channels: ScalesUnit(channels, **scalings),
        group_skip=False,
    )
    return SwinIr(parts, config, scale=scale)
