"""SwinIR, light variant: a float reference, and the network of the transformer with binary linear layers (FRBT).

Source: Liang et al., "SwinIR: Image Restoration Using Swin Transformer", ICCV workshops 2021, and its published code:
60 channels, four groups of six layers, 6 heads, windows of 8, MLP ratio 2, one convolution and a pixel shuffle at the
end; 910,152 parameters at x2, of which the paper's table 3 counts 878 K, without the tables of relative positions.
The code pads pictures to whole windows by reflection; here the last row and column are repeated, which works for
pictures of any size and is how tiles are filled.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.training.layers import Normalize
from bitsr.training.models.network import SuperResolutionModel
from bitsr.training.models.registry import positive, register_model

PAPER = "SwinIR, ICCVW 2021 (arXiv 2108.10257)"
# Added to the attention between pixels that a shift brought into one window.
MASKED = -100.0


@dataclass(frozen=True)
class SwinParts:
    """What the layers are made of. Every part maps (N, C, H, W) to (N, C', H, W).

    ``group_end`` closes a group of layers and ``body_end`` the body; ``group_skip`` adds the group's input behind the
    first, for a convolution that does not carry its input along itself.
    """

    linear: Callable[[int, int], nn.Module]
    hidden: Callable[[int, int], nn.Module]
    group_end: Callable[[int], nn.Module]
    body_end: Callable[[int], nn.Module]
    group_skip: bool


def _linear(channels: int, out_channels: int) -> nn.Conv2d:
    """A fully connected layer of each pixel, as a 1x1 convolution."""
    layer = nn.Conv2d(channels, out_channels, 1)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
    return layer


def _conv(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1)


FLOAT_PARTS = SwinParts(
    linear=_linear,
    hidden=lambda channels, hidden: nn.Sequential(_linear(channels, hidden), nn.GELU()),
    group_end=_conv,
    body_end=_conv,
    group_skip=True,
)


class ChannelNorm(nn.LayerNorm):
    """Layer normalisation over the channels of each pixel. (N, C, H, W) -> (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def to_windows(x: Tensor, size: int) -> Tensor:
    """(N, C, H, W) -> (N * windows, size * size, C); H and W are multiples of ``size``."""
    batch, channels, height, width = x.shape
    rows = x.permute(0, 2, 3, 1).contiguous().reshape(batch * height // size, size, width // size, size * channels)
    return rows.transpose(1, 2).reshape(-1, size * size, channels)


def from_windows(x: Tensor, size: int, height: int, width: int) -> Tensor:
    """Inverse of :func:`to_windows`: (N * windows, size * size, C) -> (N, C, H, W)."""
    channels = x.shape[2]
    rows = x.reshape(-1, width // size, size, size * channels).transpose(1, 2)
    return rows.reshape(-1, height, width, channels).permute(0, 3, 1, 2)


def shifted_regions(height: int, width: int, size: int) -> Tensor:
    """Which of up to nine parts of the picture each pixel of the shifted windows is from: (windows, size * size)."""
    numbers = [
        torch.cat([torch.zeros(side - size), torch.ones(size - size // 2), torch.full((size // 2,), 2.0)])
        for side in (height, width)
    ]
    regions = 3 * numbers[0][:, None] + numbers[1][None, :]
    return to_windows(regions[None, None], size)[..., 0]


def shift_mask(height: int, width: int, size: int) -> Tensor:
    """(windows, size * size, size * size): 0 between pixels of one part, else :data:`MASKED`."""
    regions = shifted_regions(height, width, size)
    return MASKED * (regions[:, :, None] != regions[:, None, :]).float()


def relative_positions(size: int) -> Tensor:
    """Number of the offset between each two pixels of a window, of (2 size - 1)^2: (size * size, size * size)."""
    pixels = torch.stack(torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")).flatten(1)
    offsets = pixels[:, :, None] - pixels[:, None, :] + size - 1
    return offsets[0] * (2 * size - 1) + offsets[1]


class WindowAttention(nn.Module):
    """Multi-head attention among the pixels of each window, with a learned bias for each offset and head."""

    positions: Tensor

    def __init__(self, channels: int, *, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.window = window
        self.bias_table = nn.Parameter(torch.empty((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.bias_table, std=0.02)
        self.register_buffer("positions", relative_positions(window), persistent=False)
        self.scale = (channels // heads) ** -0.5

    def bias(self) -> Tensor:
        """(1, heads, size * size, size * size)."""
        return self.bias_table[self.positions].permute(2, 0, 1).unsqueeze(0)

    def forward(self, qkv: Tensor, mask: Tensor | None) -> Tensor:
        """(N, 3C, H, W): queries, keys and values; ``mask`` (windows, size^2, size^2). -> (N, C, H, W)."""
        return attend(qkv, self.bias(), mask, heads=self.heads, window=self.window, scale=self.scale)


def attend(qkv: Tensor, bias: Tensor, mask: Tensor | None, *, heads: int, window: int, scale: float) -> Tensor:
    """``softmax(q k^T * scale + bias + mask) v`` in each window and head; shapes as in :class:`WindowAttention`."""
    batch, channels, height, width = qkv.shape
    channels //= 3
    q, k, v = _of_heads(qkv, heads=heads, window=window)
    weights = attention_weights(q, k, bias, mask, scale=scale, batch=batch)
    mixed = torch.bmm(weights.reshape(-1, window**2, window**2), v)
    mixed = mixed.reshape(-1, heads, window**2, channels // heads).transpose(1, 2)
    return from_windows(mixed.reshape(-1, window**2, channels), window, height, width)


def _of_heads(qkv: Tensor, *, heads: int, window: int) -> tuple[Tensor, Tensor, Tensor]:
    """(N, 3C, H, W) -> queries, keys and values, each (N * windows * heads, size * size, C / heads)."""
    channels = qkv.shape[1] // 3
    tokens = to_windows(qkv, window)
    q, k, v = (
        tokens[:, :, first : first + channels]
        .reshape(-1, window**2, heads, channels // heads)
        .transpose(1, 2)
        .reshape(-1, window**2, channels // heads)
        for first in (0, channels, 2 * channels)
    )
    return q, k, v


def attention_weights(q: Tensor, k: Tensor, bias: Tensor, mask: Tensor | None, *, scale: float, batch: int) -> Tensor:
    """``softmax(q k^T * scale + bias + mask)``: (N * windows, heads, size^2 queries, size^2 keys)."""
    scores = torch.bmm(q * scale, k.transpose(1, 2)).reshape(-1, *bias.shape[1:]) + bias
    if mask is not None:
        scores = scores + (mask if batch == 1 else mask.repeat(batch, 1, 1)).unsqueeze(1).to(scores.dtype)
    return scores.softmax(dim=3)


def attention_received(attention: WindowAttention, qkv: Tensor, mask: Tensor | None) -> Tensor:
    """How much the pixels of its window attend to each pixel, mean over heads and 1 on average: (N, 1, H, W)."""
    size = attention.window
    q, k, _ = _of_heads(qkv, heads=attention.heads, window=size)
    weights = attention_weights(q, k, attention.bias(), mask, scale=attention.scale, batch=len(qkv))
    received = weights.mean(dim=1).sum(dim=1)
    return from_windows(received.unsqueeze(2), size, qkv.shape[2], qkv.shape[3])


class SwinLayer(nn.Module):
    """``x + proj(attention(qkv(norm(x))))``, then ``x + fc2(hidden(norm(x)))``. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, parts: SwinParts, *, heads: int, window: int, shifted: bool) -> None:
        super().__init__()
        self.shift = window // 2 if shifted else 0
        self.norm1 = ChannelNorm(channels)
        self.qkv = parts.linear(channels, 3 * channels)
        self.attention = WindowAttention(channels, heads=heads, window=window)
        self.proj = parts.linear(channels, channels)
        self.norm2 = ChannelNorm(channels)
        self.hidden = parts.hidden(channels, 2 * channels)
        self.fc2 = parts.linear(2 * channels, channels)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """``mask`` is :func:`shift_mask`'s for the size of ``x``."""
        y = self.norm1(x)
        if self.shift:
            y = self.attention(self.qkv(torch.roll(y, (-self.shift, -self.shift), (2, 3))), mask)
            y = torch.roll(y, (self.shift, self.shift), (2, 3))
        else:
            y = self.attention(self.qkv(y), None)
        x = x + self.proj(y)
        return x + self.fc2(self.hidden(self.norm2(x)))


class SwinGroup(nn.Module):
    """Layers, every second one with shifted windows, and what closes the group. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, parts: SwinParts, *, layers: int, heads: int, window: int) -> None:
        super().__init__()
        self.window = window
        self.layers = nn.ModuleList(
            SwinLayer(channels, parts, heads=heads, window=window, shifted=number % 2 == 1) for number in range(layers)
        )
        self.end = parts.group_end(channels)
        self.skip = parts.group_skip

    def forward(self, x: Tensor) -> Tensor:
        mask = shift_mask(x.shape[2], x.shape[3], self.window).to(x.device)
        y = x
        for layer in self.layers:
            y = layer(y, mask)
        y = self.end(y)
        return y + x if self.skip else y


@dataclass(frozen=True)
class SwinIrConfig:
    """Shape of a SwinIR: ``depths`` are the layers of each group, ``window`` and ``tile`` sides in pixels.

    ``tile`` is the side of the pictures that artifacts take, ``overlap`` what tiles overlap: by default as much as the
    paper's crops, and two windows.
    """

    channels: int = 60
    depths: tuple[int, ...] = (6, 6, 6, 6)
    heads: int = positive(6)
    window: int = positive(8)
    tile: int = positive(64)
    overlap: int = 16


class SwinIr(SuperResolutionModel):
    """Head 3x3 and norm, groups, norm and closing convolution with a skip around all of it, tail 3x3, pixel shuffle."""

    def __init__(self, parts: SwinParts, config: SwinIrConfig, *, scale: int = 4) -> None:
        channels, heads, window = config.channels, config.heads, config.window
        super().__init__(
            scale=scale,
            channels=channels,
            receptive_field_radius=config.overlap,
            global_pooling=True,
            fixed_size=config.tile,
        )
        if channels % heads:
            raise UsageError(
                f"{channels} channels can not be shared by {heads} heads, expected a multiple; change channels or heads"
            )
        self.window = window
        self.normalize = Normalize()
        self.head = nn.Conv2d(3, channels, 3, padding=1)
        self.head_norm = ChannelNorm(channels)
        self.body = nn.Sequential(
            *(SwinGroup(channels, parts, layers=depth, heads=heads, window=window) for depth in config.depths)
        )
        self.norm = ChannelNorm(channels)
        self.body_end = parts.body_end(channels)
        self.tail = nn.Conv2d(channels, 3 * scale**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[2:]
        x = fill_windows(self.normalize(x), self.window)
        head = self.head(x)
        features = self.body_end(self.norm(self.body(self.head_norm(head)))) + head
        y = F.pixel_shuffle(self.tail(features), self.scale)[..., : height * self.scale, : width * self.scale]
        return y + self.normalize.mean


def fill_windows(x: Tensor, size: int) -> Tensor:
    """Repeat the last row and column until both sides of (N, C, H, W) are multiples of ``size``."""
    missing = [math.ceil(side / size) * size - side for side in x.shape[2:]]
    return F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate") if any(missing) else x


# A network for tests: one group of two layers, one of them shifted.
TINY = SwinIrConfig(channels=8, depths=(2,), heads=2, window=4, tile=16, overlap=4)


@register_model("swinir_light_x{scale}", paper=PAPER, config=SwinIrConfig())
@register_model("test_swinir_x{scale}", scales=(2,), paper=PAPER, config=TINY)
def swinir(scale: int, config: SwinIrConfig) -> SwinIr:
    """The float network."""
    return SwinIr(FLOAT_PARTS, config, scale=scale)
