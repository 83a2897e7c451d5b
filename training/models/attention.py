"""Binary EDSR with attention on the residual branch, on the binary branch, on both, or on none ("BinEDSR").

Source: Ovcharenko and Zharikov, preprint on attention in binarized super-resolution: block, attentions, rows of its
table. The preprint is silent on the following; what is done here:

- scale, channels and blocks of its EDSR: 64 channels and 16 blocks, since the 45.1 GFLOPs of its float row are those at
  x2 for a 128x128 picture; any scale can be built. That row is the model ``srresnet_x2``.
- amplification: its equation multiplies the trunk by BBCU's k in every layer, which diverges; one global k, as in
  BBCU. Gates of the residual branch see the trunk divided by k, since a sigmoid of values of that size is a step.
- the global skip of EDSR is left out: each unit carries its input along, as in BBCU.
- the upsampler is BBCU's binary one without attention, head and tail are float.
- squeeze and excitation reduces by 16, as Hu et al. (CVPR 2018) do.
- a1 and a2, which the rows with attention have, start at 1, and at 2 where a sigmoid follows, so that every branch
  starts unscaled; they are kept positive. Next to them the global k stays, which the preprint calls unnecessary then.
- the learned scale of a filter starts at ``mean|W|``.
"""

import itertools
from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.binarizers.activations import MINIMUM_SCALE
from bitsr.training.layers import Normalize, RPReLU
from bitsr.training.models.backbones import upsampling_factors, upsampling_radius
from bitsr.training.models.bbcu import BbcuUnit, BbcuUpsampler, amplification, bbcu_conv
from bitsr.training.models.network import SuperResolutionModel
from bitsr.training.models.registry import register_model

PAPER = "Attention in binary super-resolution networks, Ovcharenko and Zharikov, preprint"
Attention = Literal["none", "se", "spatial", "pixel"]
KINDS: tuple[Attention, ...] = ("none", "se", "spatial", "pixel")


class Gain(nn.Module):
    """A learned positive factor, for a branch without attention. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, initial: float = 1.0) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(float(initial)))

    def factor(self) -> Tensor:
        """The factor, a positive scalar."""
        return self.a.abs() + MINIMUM_SCALE

    def forward(self, z: Tensor) -> Tensor:
        return z * self.factor()


class AttentionGain(Gain):
    """``a * z * M(z / divisor)`` with M in (0, 1) from z itself. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, mask: nn.Module, *, divisor: float) -> None:
        super().__init__(initial=2.0)
        self.mask = mask
        self.divisor = divisor

    def forward(self, z: Tensor) -> Tensor:
        return z * (self.mask(z / self.divisor) * self.factor())


class SqueezeExcitation(nn.Module):
    """M = sigmoid(FC2(ReLU(FC1(mean of z over H, W)))). (N, C, H, W) -> (N, C, 1, 1) in (0, 1)."""

    global_pooling = True

    def __init__(self, channels: int, *, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(channels // reduction, 1)
        self.first = nn.Conv2d(channels, hidden, 1)
        self.second = nn.Conv2d(hidden, channels, 1)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.second(F.relu(self.first(z.mean(dim=(2, 3), keepdim=True)))))


class ConvolutionMask(nn.Module):
    """M = sigmoid(conv1x1(z)): (N, C, H, W) -> (N, masks, H, W) in (0, 1); masks 1 (spatial) or C (pixel attention)."""

    def __init__(self, channels: int, masks: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, masks, 1)

    def forward(self, z: Tensor) -> Tensor:
        return torch.sigmoid(self.first(z))


def _branch(kind: Attention, channels: int, *, divisor: float) -> Gain:
    if kind == "none":
        return Gain()
    if kind == "se":
        return AttentionGain(SqueezeExcitation(channels), divisor=divisor)
    return AttentionGain(ConvolutionMask(channels, 1 if kind == "spatial" else channels), divisor=divisor)


class AttentionUnit(nn.Module):
    """``y = a1 Att_b(RPReLU(binary_conv(x))) + a2 Att_r(x)``, the proposed block. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, *, residual: Attention, binary: Attention, input_scale: float) -> None:
        super().__init__()
        self.conv = bbcu_conv(channels, channels, learned_scale=True)
        self.rprelu = RPReLU(channels)
        self.binary = _branch(binary, channels, divisor=1.0)
        self.residual = _branch(residual, channels, divisor=input_scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.binary(self.rprelu(self.conv(x))) + self.residual(x)


@dataclass(frozen=True)
class BinEdsrConfig:
    """Shape of a binary EDSR, and the attention on each of its two branches."""

    residual: Attention = "none"
    binary: Attention = "none"
    channels: int = 64
    blocks: int = 16


def _unit(config: BinEdsrConfig, *, input_scale: float) -> nn.Module:
    """The preprint's baseline (its eq. 10) has neither attention nor learned factors of the branches."""
    if config.residual == config.binary == "none":
        return BbcuUnit(config.channels, learned_scale=True)
    return AttentionUnit(config.channels, residual=config.residual, binary=config.binary, input_scale=input_scale)


class BinEdsr(SuperResolutionModel):
    """Float head, ``2 * blocks + 1`` units, binary upsampler, float tail; the mean of DIV2K is subtracted and added."""

    def __init__(self, config: BinEdsrConfig, *, scale: int = 2) -> None:
        channels, blocks = config.channels, config.blocks
        super().__init__(
            scale=scale,
            channels=channels,
            receptive_field_radius=2 * blocks + 2 + upsampling_radius(scale, full_resolution_convs=1),
            global_pooling="se" in (config.residual, config.binary),
        )
        input_scale = amplification(channels)
        self.normalize = Normalize(input_scale=input_scale)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = nn.Sequential(*(_unit(config, input_scale=input_scale) for _ in range(2 * blocks + 1)))
        self.upsampler = nn.Sequential(
            *(BbcuUpsampler(channels, factor, learned_scale=True) for factor in upsampling_factors(scale))
        )
        self.tail = nn.Conv2d(channels, 3, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        y = self.tail(self.upsampler(self.body(self.head(self.normalize(x)))))
        return y / self.normalize.input_scale + self.normalize.mean


def row_name(residual: Attention, binary: Attention) -> str:
    """Id without the scale of a row of the table: ``binedsr``, ``binedsr_res_se``, ``binedsr_res_spatial_bin_se``."""
    parts = [f"_res_{residual}" if residual != "none" else "", f"_bin_{binary}" if binary != "none" else ""]
    return "binedsr" + "".join(parts)


def binedsr(scale: int, config: BinEdsrConfig) -> BinEdsr:
    """A row of the preprint's table."""
    return BinEdsr(config, scale=scale)


_TINY_ROWS: tuple[tuple[Attention, Attention], ...] = (
    ("none", "none"),
    ("se", "spatial"),
    ("spatial", "none"),
    ("pixel", "se"),
    ("none", "pixel"),
)

for _residual, _binary in itertools.product(KINDS, KINDS):
    register_model(f"{row_name(_residual, _binary)}_x{{scale}}", paper=PAPER, config=BinEdsrConfig(_residual, _binary))(
        binedsr
    )
for _residual, _binary in _TINY_ROWS:
    register_model(
        f"test_{row_name(_residual, _binary)}_x{{scale}}",
        scales=(2,),
        paper=PAPER,
        config=BinEdsrConfig(_residual, _binary, channels=8, blocks=1),
    )(binedsr)
