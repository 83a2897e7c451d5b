"""Fold rules of BI-DiffSR: one step as a network of a map and a timestep."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.export.deploy.layers import FusedBinaryConv2d, PixelShuffle
from bitsr.export.deploy.registry import fold, fold_rule
from bitsr.export.deploy.rules.diffusion import (
    AttendPixels,
    EveryOther,
    FoldedGroupNorm,
    PixelsToChannels,
    pixel_conv,
    pixel_linear,
)
from bitsr.export.deploy.rules.folding import fold_conv, with_weight
from bitsr.training.models.bidiffsr import (
    AddFusion,
    BiConv,
    BiDiffSr,
    BinaryAttention,
    ChannelFusion,
    Down,
    FloatConv,
    ResBlock,
    Up,
    mix_channels,
)


class Step(NamedTuple):
    """What the layers of one evaluation need of the timestep: its encoding (1, C, 1, 1) and the group, one-hot."""

    encoding: Tensor
    pixel: Tensor  # (1, K, 1, 1)
    row: Tensor  # (1, K)


class RowTable(nn.Module):
    """K vectors, of which the step's group picks one, (1, C): the product with a one-hot vector is exact."""

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table.detach().clone())  # (K, C)

    def forward(self, step: Step) -> Tensor:
        return torch.mm(step.row, self.table)


class PixelTable(nn.Module):
    """As :class:`RowTable`, for maps: (1, C, 1, 1)."""

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table.detach().T.clone()[:, :, None, None].contiguous())  # (C, K, 1, 1)

    def forward(self, step: Step) -> Tensor:
        return F.conv2d(step.pixel, self.table)


class TimedBinaryConv(nn.Module):
    """Binary layer with the threshold and the RPReLU of the step's group, and its own input added.

    The fused layer takes the threshold as it comes; the RPReLU follows in floating point, because its three vectors
    are constants of the fused layer.
    """

    def __init__(self, module: BiConv) -> None:
        super().__init__()
        self.conv: FusedBinaryConv2d = fold_conv(module.conv, picture_threshold=True)
        self.threshold = RowTable(module.threshold)
        self.before = PixelTable(module.activation.shift_before)
        self.slope = PixelTable(module.activation.slope)
        self.after = PixelTable(module.activation.shift_after)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        y = self.conv(x, threshold=self.threshold(step)) + self.before(step)
        return F.relu(y) + self.slope(step) * y.clamp(max=0) + self.after(step) + x


class PlainConv(nn.Module):
    """A float layer in the place of a timed one."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor, step: Step) -> Tensor:
        return self.conv(x)


class FoldedResBlock(nn.Module):
    """Deploy form of :class:`~bitsr.training.models.bidiffsr.ResBlock`."""

    def __init__(self, module: ResBlock) -> None:
        super().__init__()
        self.norm1, self.norm2 = fold(module.norm1), fold(module.norm2)
        self.conv1, self.conv2 = fold(module.conv1), fold(module.conv2)
        self.time = pixel_linear(module.time)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        h = self.conv1(self.norm1(x), step) + self.time(step.encoding)
        return self.conv2(self.norm2(h), step) + x


class FoldedDown(nn.Module):
    """Deploy form of CP-Down."""

    def __init__(self, module: Down) -> None:
        super().__init__()
        self.conv1, self.conv2 = fold(module.conv1), fold(module.conv2)
        self.unshuffle = PixelsToChannels(module.conv1.conv.in_channels)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        half = x.shape[1] // 2
        first, second = (part.contiguous(memory_format=torch.channels_last) for part in (x[:, :half], x[:, half:]))
        return self.unshuffle(self.conv1(first, step) + self.conv2(second, step))


class FoldedUp(nn.Module):
    """Deploy form of CP-Up."""

    def __init__(self, module: Up) -> None:
        super().__init__()
        self.conv1, self.conv2 = fold(module.conv1), fold(module.conv2)
        self.shuffle = PixelShuffle(2)

    def forward(self, x: Tensor, step: Step) -> Tensor:
        return self.shuffle(torch.cat([self.conv1(x, step), self.conv2(x, step)], dim=1))


class FoldedFloatFusion(nn.Module):
    """Float CS-Fusion: the choice of channels is the order of the weights' columns. One 1x1 convolution a map."""

    def __init__(self, module: ChannelFusion, channels: int) -> None:
        super().__init__()
        order = torch.arange(2 * channels).reshape(1, -1, 1, 1)
        weight = torch.zeros(channels, 2 * channels, 1, 1)
        bias = torch.zeros(channels)
        mixed = mix_channels(order[:, :channels], order[:, channels:], module.fusion)
        for columns, conv in zip(mixed, (module.conv1, module.conv2), strict=True):
            weight[:, columns.flatten()] = conv.weight.detach()  # type: ignore[operator]
            bias += conv.bias.detach()  # type: ignore[operator]
        self.decoder, self.skip = pixel_conv(weight[:, :channels]), pixel_conv(weight[:, channels:], bias)

    def forward(self, decoder: Tensor, skip: Tensor, step: Step) -> Tensor:
        return self.decoder(decoder) + self.skip(skip)


class FoldedFusion(nn.Module):
    """Binary CS-Fusion."""

    def __init__(self, module: ChannelFusion, channels: int) -> None:
        super().__init__()
        self.fusion = module.fusion
        self.conv1, self.conv2 = fold(module.conv1), fold(module.conv2)
        self.even, self.odd = EveryOther(channels, start=0), EveryOther(channels, start=1)

    def forward(self, decoder: Tensor, skip: Tensor, step: Step) -> Tensor:
        if self.fusion == "split":
            first, second = mix_channels(decoder, skip, "split")
        else:
            same = self.fusion == "same"
            even, odd = self.even(decoder), self.odd(decoder)
            first = torch.cat([even if same else odd, self.even(skip)], dim=1)
            second = torch.cat([odd if same else even, self.odd(skip)], dim=1)
        first, second = (map_.contiguous(memory_format=torch.channels_last) for map_ in (first, second))
        return self.conv1(first, step) + self.conv2(second, step)


class FoldedBinaryAttention(nn.Module):
    """Deploy form of the attention between BI-Convs."""

    def __init__(self, module: BinaryAttention) -> None:
        super().__init__()
        self.norm = FoldedGroupNorm(module.norm)
        self.query, self.key, self.value, self.out = (
            fold(layer) for layer in (module.query, module.key, module.value, module.out)
        )
        self.attend = AttendPixels()
        self.factor = module.norm.num_channels**-0.5

    def forward(self, x: Tensor, step: Step) -> Tensor:
        normed = self.norm(x)
        query = self.query(normed, step) * self.factor
        y = self.attend(query, self.key(normed, step), self.value(normed, step))
        return self.out(y.contiguous(memory_format=torch.channels_last), step) + x


class BiDiffSrStep(nn.Module):
    """One step: ``x`` (1, 6, H, W), the enlarged picture and x_t, and ``timestep`` int64 (1,) -> noise (1, 3, H, W).

    The group is found by comparisons with the groups' first timesteps, which is exact in every runtime.
    """

    starts: Tensor
    ends: Tensor

    def __init__(self, module: BiDiffSr) -> None:
        super().__init__()
        starts = module.process.group_starts(module.config.time_groups)
        self.register_buffer("starts", torch.tensor(starts))
        self.register_buffer("ends", torch.tensor([*starts[1:], module.process.timesteps]))
        self.encoding = fold(module.encoding)
        self.head, self.tail = copied(module.head), copied(module.tail)
        self.encoder = nn.ModuleList(nn.ModuleList(fold(block) for block in level) for level in module.encoder)  # type: ignore[attr-defined]
        self.downs = nn.ModuleList(fold(down) for down in module.downs)
        self.middle1, self.middle2 = fold(module.middle1), fold(module.middle2)
        self.attention = fold(module.attention)
        self.fusions = nn.ModuleList(nn.ModuleList(fold(fusion) for fusion in level) for level in module.fusions)  # type: ignore[attr-defined]
        self.decoder = nn.ModuleList(nn.ModuleList(fold(block) for block in level) for level in module.decoder)  # type: ignore[attr-defined]
        self.ups = nn.ModuleList(fold(up) for up in module.ups)
        self.norm = fold(module.norm)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        step = self._step(timestep)
        h = self.head(x).contiguous(memory_format=torch.channels_last)
        skips = [h]
        for level, blocks in enumerate(self.encoder):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, step)
                skips.append(h)
            if level < len(self.downs):
                h = self.downs[level](h, step)
                skips.append(h)
        h = self.middle1(h, step)
        h = self.attention(h, step) if isinstance(self.attention, FoldedBinaryAttention) else self.attention(h)
        h = self.middle2(h, step)
        for level in reversed(range(len(self.decoder))):
            for fusion, block in zip(self.fusions[level], self.decoder[level], strict=True):  # type: ignore[call-overload]
                h = block(fusion(h, skips.pop(), step), step)
            if level:
                h = self.ups[level - 1](h, step)
        return self.tail(self.norm(h)).contiguous(memory_format=torch.contiguous_format)

    def _step(self, timestep: Tensor) -> Step:
        row, pixel = (
            self._one_hot(timestep.reshape(*shape[:1], 1, *shape[2:]), shape) for shape in ((1, -1), (1, -1, 1, 1))
        )
        return Step(self.encoding(timestep.float().reshape(1, 1, 1, 1)), pixel, row)

    def _one_hot(self, timestep: Tensor, shape: tuple[int, ...]) -> Tensor:
        begun, not_over = timestep >= self.starts.reshape(shape), timestep < self.ends.reshape(shape)
        return begun.float() * not_over.float()


def copied(conv: nn.Conv2d) -> nn.Conv2d:
    return with_weight(conv, conv.weight, conv.bias)


@fold_rule(BiConv)
def _bi_conv(module: BiConv) -> TimedBinaryConv:
    return TimedBinaryConv(module)


@fold_rule(FloatConv)
def _float_conv(module: FloatConv) -> PlainConv:
    return PlainConv(copied(module))


@fold_rule(ResBlock)
def _res_block(module: ResBlock) -> FoldedResBlock:
    return FoldedResBlock(module)


@fold_rule(Down)
def _down(module: Down) -> FoldedDown:
    return FoldedDown(module)


@fold_rule(Up)
def _up(module: Up) -> FoldedUp:
    return FoldedUp(module)


@fold_rule(ChannelFusion)
def _fusion(module: ChannelFusion) -> nn.Module:
    if isinstance(module.conv1, FloatConv):
        return FoldedFloatFusion(module, module.conv1.in_channels)
    assert isinstance(module.conv1, BiConv)
    return FoldedFusion(module, module.conv1.conv.in_channels)


@fold_rule(AddFusion)
def _add_fusion(module: AddFusion) -> AddFusion:
    return AddFusion()


@fold_rule(BinaryAttention)
def _binary_attention(module: BinaryAttention) -> FoldedBinaryAttention:
    return FoldedBinaryAttention(module)


@fold_rule(BiDiffSr)
def _bidiffsr(module: BiDiffSr) -> BiDiffSrStep:
    return BiDiffSrStep(module)
