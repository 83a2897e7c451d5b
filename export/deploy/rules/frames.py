"""Fold rules of the backbones that several families share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.export.deploy.layers import GatedBinaryConv2d, PixelShuffle, SuperResolver
from bitsr.export.deploy.registry import fold, fold_rule
from bitsr.export.deploy.rules.folding import fold_head, fold_tail, with_weight
from bitsr.training.models.frames import LEAKY_SLOPE, FloatStage, LightFrame, SrResNetFrame


class BilinearUpsample(nn.Module):
    """Bilinear enlargement (half-pixel centres) as 3x3 convolutions and a pixel shuffle.

    (N, C, H, W) -> (N, C, H f, W f). Output pixel (h f + i, w f + j) reads the 3x3 neighbours of (h, w) with weights
    that depend on i and j alone. At the border the sum is divided by the weights that lie inside, which is what
    ``F.interpolate`` gives there. No map is larger than the picture: a padded one would not fit the memory that is
    planned for H * W pixels where the picture is long and narrow.
    """

    weight: Tensor
    inside: Tensor
    zero: Tensor
    one: Tensor

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        # Offset of each of the f positions from the centre of its pixel: on the left of it, -1 and 0 are mixed.
        offset = (torch.arange(factor, dtype=torch.float64) + 0.5) / factor - 0.5
        taps = torch.stack([(-offset).clamp_min(0), 1 - offset.abs(), offset.clamp_min(0)], dim=1)
        kernels = torch.einsum("iy,jx->ijyx", taps, taps).reshape(factor**2, 3, 3).float()
        weight = torch.zeros(channels, factor**2, channels, 3, 3)
        for channel in range(channels):
            weight[channel, :, channel] = kernels
        weight = weight.reshape(channels * factor**2, channels, 3, 3)
        self.register_buffer("weight", weight)
        self.register_buffer("inside", weight.sum(dim=1, keepdim=True))
        self.register_buffer("zero", torch.zeros(1, channels, 1, 1))
        self.register_buffer("one", torch.ones(1))
        self.shuffle = PixelShuffle(factor)

    def forward(self, x: Tensor) -> Tensor:
        ones = F.conv2d(x, self.zero, self.one)
        y = F.conv2d(x, self.weight, padding=1) / F.conv2d(ones, self.inside, padding=1)
        return self.shuffle(y)


class UpsamplingSuperResolver(nn.Module):
    """Deploy form of :class:`~bitsr.training.models.frames.SrResNetFrame`; the amplification is folded.

    Maps are channels-last between head and last convolution.
    """

    def __init__(self, module: SrResNetFrame) -> None:
        super().__init__()
        self.head = with_weight(module.head, module.head.weight * module.input_scale, module.head.bias)
        self.body = fold(module.body)
        self.stages = nn.Sequential(*(fold(stage) for stage in module.stages))
        self.conv_hr = _with_leaky_relu(fold(module.conv_hr))
        self.conv_last = fold_tail(module.conv_last, input_scale=module.input_scale)
        self.skip = BilinearUpsample(3, module.scale)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H s, W s), not clamped."""
        y = F.leaky_relu(self.head(x), LEAKY_SLOPE).to(memory_format=torch.channels_last)
        y = self.stages(self.body(y))
        y = self.conv_last(self.conv_hr(y)).to(memory_format=torch.contiguous_format)
        return y + self.skip(x)


def _with_leaky_relu(conv: nn.Module) -> nn.Module:
    """The activation inside a binary layer, as its last step, or behind a float one."""
    if not isinstance(conv, GatedBinaryConv2d):
        return nn.Sequential(conv, nn.LeakyReLU(LEAKY_SLOPE))
    conv.conv.slope = torch.full((conv.conv.out_channels,), LEAKY_SLOPE)
    return conv


@fold_rule(SrResNetFrame)
def _srresnet(module: SrResNetFrame) -> UpsamplingSuperResolver:
    return UpsamplingSuperResolver(module)


class FoldedFloatStage(nn.Module):
    """Convolution, our pixel shuffle, LeakyReLU."""

    def __init__(self, module: FloatStage) -> None:
        super().__init__()
        self.conv = fold(module.conv)
        self.shuffle = PixelShuffle(module.factor)

    def forward(self, x: Tensor) -> Tensor:
        return F.leaky_relu(self.shuffle(self.conv(x)), LEAKY_SLOPE)


@fold_rule(FloatStage)
def _float_stage(module: FloatStage) -> FoldedFloatStage:
    return FoldedFloatStage(module)


@fold_rule(LightFrame)
def _light(module: LightFrame) -> SuperResolver:
    return SuperResolver(
        mean=module.normalize.mean,
        head=fold_head(module.head, module.normalize),
        body=fold(module.body),
        tail=fold_tail(
            module.tail,
            input_scale=module.normalize.input_scale,
            mean=None if module.nearest_skip else module.normalize.mean,
            pixels=module.scale**2,
        ),
        scale=module.scale,
        nearest_skip=module.nearest_skip,
    )
