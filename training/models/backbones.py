"""Backbones that binary blocks are compared on: SRResNet as in BasicSR, and the light one of E2FIF and EBSR.

Both take the body as a module (N, C, H, W) -> (N, C, H, W). Sources: the published code of BBCU (Xia et al., ICLR
2023) for the first, which its tables count (85.43 GMACs in float at x2); E2FIF (arXiv 2207.06893) for the second.
"""

import math
from typing import TypeVar

import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.layers import BinaryConv2d, Normalize
from bitsr.training.models.network import SuperResolutionModel
from bitsr.training.models.receptive_field import pools_globally, receptive_field_radius

LEAKY_SLOPE = 0.1
Conv = TypeVar("Conv", nn.Conv2d, BinaryConv2d)


class FloatStage(nn.Module):
    """``LeakyReLU(shuffle(conv(x)))``. (N, C, H, W) -> (N, C, H f, W f)."""

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        self.factor = factor
        self.conv = scaled_init(nn.Conv2d(channels, channels * factor**2, 3, padding=1))

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(F.pixel_shuffle(self.conv(x), self.factor), LEAKY_SLOPE)


class SrResNet(SuperResolutionModel):
    """Head and LeakyReLU, body, upsampling stages, ``conv_hr`` and LeakyReLU, ``conv_last``, plus the bilinear input.

    ``stages`` map C channels to C channels, each at its factor times the resolution; ``conv_hr`` keeps the channels and
    runs at full resolution; both are float convolutions unless they are given. The input is multiplied by
    ``input_scale`` and the output divided by it (BBCU's amplification). There is no skip around the body: binary units
    carry their input along themselves. A ``head`` (3 to C channels) or ``conv_last`` (C to 3) that is given stands for
    the float one; a head then has no LeakyReLU behind it.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        channels: int = 64,
        scale: int = 4,
        input_scale: float = 1.0,
        stages: nn.ModuleList | None = None,
        conv_hr: nn.Module | None = None,
        head: nn.Module | None = None,
        conv_last: nn.Module | None = None,
    ) -> None:
        super().__init__(
            scale=scale,
            channels=channels,
            receptive_field_radius=receptive_field_radius(body) + 1 + upsampling_radius(scale, full_resolution_convs=2),
            global_pooling=pools_globally(body),
        )
        self.input_scale = float(input_scale)
        self.head = scaled_init(nn.Conv2d(3, channels, 3, padding=1)) if head is None else head
        self.has_float_head = head is None
        self.body = body
        if stages is None:
            stages = nn.ModuleList(FloatStage(channels, factor) for factor in upsampling_factors(scale))
        self.stages = stages
        self.conv_hr = scaled_init(nn.Conv2d(channels, channels, 3, padding=1)) if conv_hr is None else conv_hr
        self.conv_last = scaled_init(nn.Conv2d(channels, 3, 3, padding=1)) if conv_last is None else conv_last

    def forward(self, x: Tensor) -> Tensor:
        x = x * self.input_scale
        y = self.head(x)
        y = self.body(F.leaky_relu(y, LEAKY_SLOPE) if self.has_float_head else y)
        for stage in self.stages:
            y = stage(y)
        y = self.conv_last(F.leaky_relu(self.conv_hr(y), LEAKY_SLOPE))
        y = y + F.interpolate(x, scale_factor=self.scale, mode="bilinear", align_corners=False)
        return y / self.input_scale


class LightBackbone(SuperResolutionModel):
    """Float head 3x3, body with a skip around it, float tail 3x3 to 3*s*s channels and pixel shuffle.

    The mean of DIV2K is subtracted before and added behind; with ``nearest_skip`` the nearest-neighbour enlargement of
    the input is added instead. ``input_scale`` as in :class:`SrResNet`.
    """

    def __init__(
        self,
        body: nn.Module,
        *,
        channels: int = 64,
        scale: int = 4,
        input_scale: float = 1.0,
        nearest_skip: bool = False,
    ) -> None:
        super().__init__(
            scale=scale,
            channels=channels,
            receptive_field_radius=receptive_field_radius(body) + 2,
            global_pooling=pools_globally(body),
        )
        self.nearest_skip = nearest_skip
        self.normalize = Normalize(input_scale=input_scale)
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.body = body
        self.tail = nn.Conv2d(channels, 3 * scale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        head = self.head(self.normalize(x))
        y = self.tail(self.body(head) + head) / self.normalize.input_scale
        if self.nearest_skip:
            # Repeating each channel s*s times before the shuffle is the nearest-neighbour enlargement after it.
            return F.pixel_shuffle(y + x.repeat_interleave(self.scale**2, dim=1), self.scale)
        return F.pixel_shuffle(y, self.scale) + self.normalize.mean


def upsampling_factors(scale: int) -> tuple[int, ...]:
    """Factors of the pixel shuffles: two of 2 at x4, one of 2 or 3 otherwise."""
    return (2, 2) if scale == 4 else (scale,)


def upsampling_radius(scale: int, *, full_resolution_convs: int) -> int:
    """Reach in low-resolution pixels of the stages' 3x3 convolutions and of those at full resolution."""
    factors = upsampling_factors(scale)
    reach = sum(1 / math.prod(factors[:i]) for i in range(len(factors))) + full_resolution_convs / scale
    return math.ceil(reach)


def scaled_init(conv: Conv) -> Conv:
    """Kaiming-normal times 0.1 and zero bias, as BBCU's code starts all convolutions outside of the body."""
    nn.init.kaiming_normal_(conv.weight)
    conv.weight.data.mul_(0.1)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)
    return conv
