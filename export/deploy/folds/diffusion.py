"""Folds of the diffusion networks' float blocks, in ops that both exporters take as they are.

All maps stay four-dimensional and channels-last; vectors are maps of one pixel, (1, C, 1, 1), so that nothing is
reshaped between layouts.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.export.deploy.layers import PixelShuffle
from bitsr.export.deploy.registry import folds
from bitsr.training.diffusion.blocks import NormActivation, SelfAttention, TimeEncoding


@folds(nn.GroupNorm)
class FoldedGroupNorm(nn.Module):
    """Group normalisation of (1, C, H, W) from means over the pixels and, by small 1x1 convolutions, over the groups.

    The convolutions that spread a group's number over its channels carry the weights, those of the variance the eps.
    """

    bias: Tensor

    def __init__(self, norm: nn.GroupNorm) -> None:
        super().__init__()
        members = norm.num_channels // norm.num_groups
        belongs = torch.eye(norm.num_groups).repeat_interleave(members, dim=0)[:, :, None, None]  # (C, groups, 1, 1)
        average = belongs.transpose(0, 1) / members
        self.group_mean, self.spread_mean = pixel_conv(average), pixel_conv(belongs)
        self.group_variance = pixel_conv(average, torch.full((norm.num_groups,), norm.eps))
        self.spread_gain = pixel_conv(belongs * norm.weight.detach().reshape(-1, 1, 1, 1))
        self.register_buffer("bias", as_pixel(norm.bias))

    def forward(self, x: Tensor) -> Tensor:
        centred = x - self.spread_mean(self.group_mean(x.mean(dim=(2, 3), keepdim=True)))
        variance = self.group_variance((centred * centred).mean(dim=(2, 3), keepdim=True))
        return centred * self.spread_gain(torch.rsqrt(variance)) + self.bias


@folds(NormActivation)
class FoldedNormActivation(nn.Module):
    """Group normalisation and Swish."""

    def __init__(self, module: NormActivation) -> None:
        super().__init__()
        self.norm = FoldedGroupNorm(module.norm)

    def forward(self, x: Tensor) -> Tensor:
        return swish(self.norm(x))


@folds(TimeEncoding)
class FoldedTimeEncoding(nn.Module):
    """Timestep (1, 1, 1, 1) float32 -> its encoding after the Swish that every block applies, (1, C, 1, 1)."""

    frequencies: Tensor

    def __init__(self, encoding: TimeEncoding) -> None:
        super().__init__()
        self.register_buffer("frequencies", as_pixel(encoding.frequencies))
        self.expand = pixel_linear(encoding.expand)
        self.reduce = pixel_linear(encoding.reduce)

    def forward(self, timestep: Tensor) -> Tensor:
        angles = timestep * self.frequencies
        return swish(self.reduce(swish(self.expand(torch.cat([angles.sin(), angles.cos()], dim=1)))))


@folds(SelfAttention)
class FoldedSelfAttention(nn.Module):
    """Attention over all pixels of (1, C, H, W); ``1 / sqrt(C)`` is folded into the queries."""

    def __init__(self, attention: SelfAttention) -> None:
        super().__init__()
        weight = attention.qkv.weight.detach()
        channels = weight.shape[1]
        self.norm = FoldedGroupNorm(attention.norm)
        query, key, value = weight.chunk(3)
        self.query, self.key, self.value = (pixel_conv(part) for part in (query / math.sqrt(channels), key, value))
        self.attend = AttendPixels()
        self.out = pixel_conv(attention.out.weight, attention.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        return self.out(self.attend(self.query(normed), self.key(normed), self.value(normed))) + x


class AttendPixels(nn.Module):
    """``softmax(q k^T) v`` with all pixels as tokens; maps (1, C, H, W), channels-last.

    A module, because .tflite has another form of it: :mod:`bitsr.export.tflite.to_onnx`.
    """

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        batch, channels, height, width = value.shape
        q, k, v = (map_.permute(0, 2, 3, 1).reshape(batch, height * width, -1) for map_ in (query, key, value))
        y = torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(dim=2), v)
        return y.reshape(batch, height, width, channels).permute(0, 3, 1, 2)


class PixelsToChannels(nn.Module):
    """The inverse of a pixel shuffle by 2, as a strided depthwise convolution with weights 0 and 1: exact.

    (1, C, H, W) -> (1, 4C, H / 2, W / 2).
    """

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("weight", torch.eye(4).reshape(4, 1, 2, 2).repeat(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, stride=2, groups=self.channels)


class EverySecondPixel(nn.Module):
    """``x[:, :, ::2, ::2]`` of (1, C, H, W), as a strided depthwise convolution with weights 1: exact."""

    weight: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = channels
        self.register_buffer("weight", torch.ones(channels, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, stride=2, groups=self.channels)


class NearestEnlargement(nn.Module):
    """Nearest enlargement by 2, as a repetition of the channels by a 1x1 convolution and a shuffle: exact.

    (1, C, H, W) -> (1, C, 2H, 2W).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.repeat = pixel_conv(torch.eye(channels).repeat_interleave(4, dim=0)[:, :, None, None])
        self.shuffle = PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.shuffle(self.repeat(x))
        return y


class EveryOther(nn.Module):
    """Channels ``start, start + 2, ...`` of (1, C, H, W), as a grouped convolution with weights 0 and 1: exact."""

    weight: Tensor

    def __init__(self, channels: int, *, start: int) -> None:
        super().__init__()
        self.start = start
        self.groups = channels // 2
        weight = torch.zeros(self.groups, 2, 1, 1)
        weight[:, start] = 1
        self.register_buffer("weight", weight)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, groups=self.groups)


def swish(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)


def as_pixel(vector: Tensor) -> Tensor:
    """(C,) -> (1, C, 1, 1)."""
    return vector.detach().clone().reshape(1, -1, 1, 1)


def pixel_linear(linear: nn.Linear) -> nn.Conv2d:
    """The same numbers for vectors as maps of one pixel."""
    return pixel_conv(linear.weight[:, :, None, None], linear.bias)


def pixel_conv(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """A 1x1 convolution with these numbers: weight (Co, Ci, 1, 1), bias (Co,)."""
    conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    with torch.no_grad():
        conv.weight.copy_(weight)
        if conv.bias is not None and bias is not None:
            conv.bias.copy_(bias)
    return conv
