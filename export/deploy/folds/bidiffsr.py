"""Folds of BI-DiffSR: one step as a network of a map and a timestep."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.export.deploy.folds.common import fold_all, fold_conv, with_weight
from bitsr.export.deploy.folds.diffusion import (
    AttendPixels,
    EveryOther,
    EverySecondPixel,
    FoldedGroupNorm,
    NearestEnlargement,
    PixelsToChannels,
    pixel_conv,
    pixel_linear,
)
from bitsr.export.deploy.layers import AddVector, FusedBinaryConv2d, PixelShuffle
from bitsr.export.deploy.registry import fold, folds
from bitsr.export.errors import ExportError
from bitsr.training.diffusion.unet import behind_fusion, levels, run_unet, without_context
from bitsr.training.models.bidiffsr import (
    BiConv,
    BiDiffSr,
    BinaryAttention,
    ChannelFusion,
    ConcatFusion,
    Down,
    FloatConv,
    PlainDown,
    PlainUp,
    ResBlock,
    Up,
    mix_channels,
)
from bitsr.training.models.method_conv import METHODS, MethodConv


class FoldedTimestep(NamedTuple):
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

    def forward(self, at: FoldedTimestep) -> Tensor:
        return torch.mm(at.row, self.table)


class PixelTable(nn.Module):
    """As :class:`RowTable`, for maps: (1, C, 1, 1)."""

    table: Tensor

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", table.detach().T.clone()[:, :, None, None].contiguous())  # (C, K, 1, 1)

    def forward(self, at: FoldedTimestep) -> Tensor:
        return F.conv2d(at.pixel, self.table)


@folds(BiConv)
class FoldedBiConv(nn.Module):
    """Binary layer with the threshold and the RPReLU of the step's group, and its own input added.

    The fused layer takes the threshold as it comes; the RPReLU follows in floating point, because its three vectors
    are constants of the fused layer.
    """

    def __init__(self, module: BiConv) -> None:
        super().__init__()
        self.conv: FusedBinaryConv2d = fold_conv(module.conv, picture_threshold=True)
        self.threshold = RowTable(module.threshold.expand(module.groups, -1))
        self.before = PixelTable(module.activation.shift_before.expand(module.groups, -1))
        self.slope = PixelTable(module.activation.slope.expand(module.groups, -1))
        self.after = PixelTable(module.activation.shift_after.expand(module.groups, -1))
        self.identity = module.identity

    def forward(self, x: Tensor, at: FoldedTimestep) -> Tensor:
        y = self.conv(x, threshold=self.threshold(at)) + self.before(at)
        y = F.relu(y) + self.slope(at) * y.clamp(max=0) + self.after(at)
        return y + x if self.identity else y


@folds(FloatConv)
class FoldedFloatConv(nn.Module):
    """A float layer in the place of a timed one."""

    def __init__(self, module: FloatConv) -> None:
        super().__init__()
        self.conv = with_weight(module, module.weight, module.bias)

    def forward(self, x: Tensor, at: FoldedTimestep) -> Tensor:
        return self.conv(x)


@folds(ResBlock)
class FoldedResBlock(nn.Module):
    """Deploy form of :class:`~bitsr.training.models.bidiffsr.ResBlock`."""

    def __init__(self, module: ResBlock) -> None:
        super().__init__()
        self.norm1, self.norm2 = fold(module.norm1), fold(module.norm2)
        self.conv1, self.conv2 = fold(module.conv1), fold(module.conv2)
        self.time = pixel_linear(module.time)

    def forward(self, x: Tensor, at: FoldedTimestep) -> Tensor:
        h = self.conv1(self.norm1(x), at) + self.time(at.encoding)
        return self.conv2(self.norm2(h), at) + x


@folds(Down)
class FoldedDown(nn.Module):
    """Deploy form of CP-Down."""

    def __init__(self, module: Down) -> None:
        super().__init__()
        self.conv1, self.conv2 = fold(module.conv1), fold(module.conv2)
        self.unshuffle = PixelsToChannels(module.conv1.conv.in_channels)

    def forward(self, x: Tensor, at: FoldedTimestep) -> Tensor:
        half = x.shape[1] // 2
        first, second = (part.contiguous(memory_format=torch.channels_last) for part in (x[:, :half], x[:, half:]))
        return self.unshuffle(self.conv1(first, at) + self.conv2(second, at))


@folds(Up)
class FoldedUp(nn.Module):
    """Deploy form of CP-Up."""

    def __init__(self, module: Up) -> None:
        super().__init__()
        self.conv1, self.conv2 = fold(module.conv1), fold(module.conv2)
        self.shuffle = PixelShuffle(2)

    def forward(self, x: Tensor, at: FoldedTimestep) -> Tensor:
        return self.shuffle(torch.cat([self.conv1(x, at), self.conv2(x, at)], dim=1))


@folds(MethodConv)
class FoldedMethodConv(nn.Module):
    """Binary layer with all that stands around it but ReActNet's last shift, which follows in floating point."""

    def __init__(self, module: MethodConv) -> None:
        super().__init__()
        made = METHODS[module.method]
        if made.norm == "before":
            raise ExportError(
                f"'{module.method}' normalises before its sign, which has no deploy form here; it is for comparison in "
                "training: export bnn, irnet, reactnet or bbcu"
            )
        inner = module.rprelu if made.activation == "before" else None
        outer = module.rprelu if made.activation == "behind" else None
        self.conv = fold_conv(
            module.conv, norm=module.norm, rprelu=inner, activation=None if outer is None else outer.prelu
        )
        self.last = None
        if outer is not None:
            assert self.conv.shift is not None  # batch normalisation gives it
            self.conv.shift = self.conv.shift + outer.shift_before.detach()
            self.last = AddVector(outer.shift_after.detach())
        self.skip = module.skip

    def forward(self, x: Tensor, at: FoldedTimestep) -> Tensor:
        y: Tensor = self.conv(x, residual=x if self.skip else None)
        return y if self.last is None else self.last(y)


@folds(PlainDown)
class FoldedPlainDown(nn.Module):
    """Every second row and column of the convolution."""

    def __init__(self, module: PlainDown) -> None:
        super().__init__()
        self.conv = fold(module.conv)
        self.every_second = EverySecondPixel(module.conv.conv.out_channels)

    def forward(self, x: Tensor, at: FoldedTimestep) -> Tensor:
        y: Tensor = self.every_second(self.conv(x, at))
        return y


@folds(PlainUp)
class FoldedPlainUp(nn.Module):
    """Nearest enlargement and the convolution."""

    def __init__(self, module: PlainUp) -> None:
        super().__init__()
        self.enlarge = NearestEnlargement(module.conv.conv.in_channels)
        self.conv = fold(module.conv)

    def forward(self, x: Tensor, at: FoldedTimestep) -> Tensor:
        y: Tensor = self.conv(self.enlarge(x), at)
        return y


@folds(ConcatFusion)
class FoldedConcatFusion(nn.Module):
    """Concatenation and the convolution."""

    def __init__(self, module: ConcatFusion) -> None:
        super().__init__()
        self.conv = fold(module.conv)

    def forward(self, decoder: Tensor, skip: Tensor, at: FoldedTimestep) -> Tensor:
        joined = torch.cat([decoder, skip], dim=1).contiguous(memory_format=torch.channels_last)
        y: Tensor = self.conv(joined, at)
        return y


@folds(ChannelFusion)
def fold_fusion(module: ChannelFusion) -> nn.Module:
    if isinstance(module.conv1, FloatConv):
        return FoldedFloatFusion(module, module.conv1.in_channels)
    assert isinstance(module.conv1, BiConv)
    return FoldedFusion(module, module.conv1.conv.in_channels)


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

    def forward(self, decoder: Tensor, skip: Tensor, at: FoldedTimestep) -> Tensor:
        return self.decoder(decoder) + self.skip(skip)


class FoldedFusion(nn.Module):
    """Binary CS-Fusion."""

    def __init__(self, module: ChannelFusion, channels: int) -> None:
        super().__init__()
        self.fusion = module.fusion
        self.conv1, self.conv2 = fold(module.conv1), fold(module.conv2)
        self.even, self.odd = EveryOther(channels, start=0), EveryOther(channels, start=1)

    def forward(self, decoder: Tensor, skip: Tensor, at: FoldedTimestep) -> Tensor:
        if self.fusion == "split":
            first, second = mix_channels(decoder, skip, "split")
        else:
            same = self.fusion == "same"
            even, odd = self.even(decoder), self.odd(decoder)
            first = torch.cat([even if same else odd, self.even(skip)], dim=1)
            second = torch.cat([odd if same else even, self.odd(skip)], dim=1)
        first, second = (map_.contiguous(memory_format=torch.channels_last) for map_ in (first, second))
        return self.conv1(first, at) + self.conv2(second, at)


@folds(BinaryAttention)
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

    def forward(self, x: Tensor, at: FoldedTimestep) -> Tensor:
        normed = self.norm(x)
        query = self.query(normed, at) * self.factor
        y = self.attend(query, self.key(normed, at), self.value(normed, at))
        return self.out(y.contiguous(memory_format=torch.channels_last), at) + x


@folds(BiDiffSr)
class FoldedBiDiffSr(nn.Module):
    """One step: ``x`` (1, 6, H, W), the enlarged picture and x_t, and ``timestep`` int64 (1,) -> noise (1, 3, H, W).

    The group is found by comparisons with the groups' first timesteps, which is exact in every runtime.
    """

    starts: Tensor
    ends: Tensor

    def __init__(self, module: BiDiffSr) -> None:
        super().__init__()
        starts = module.noise_schedule.group_starts(module.time_groups)
        self.register_buffer("starts", torch.tensor(starts))
        self.register_buffer("ends", torch.tensor([*starts[1:], module.noise_schedule.timesteps]))
        self.encoding = fold(module.encoding)
        self.head, self.norm, self.tail = fold(module.head), fold(module.norm), fold(module.tail)
        self.encoder, self.fusions, self.decoder = (
            fold_all(part) for part in (module.encoder, module.fusions, module.decoder)
        )
        self.downs, self.ups = fold_all(module.downs), fold_all(module.ups)
        self.middle1, self.attention, self.middle2 = (
            fold(part) for part in (module.middle1, module.attention, module.middle2)
        )

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        attention = self.attention
        h = run_unet(
            self.head(x).contiguous(memory_format=torch.channels_last),
            self._timestep(timestep),
            encoder=levels(self.encoder),
            downs=list(self.downs),
            middle=[
                self.middle1,
                attention if isinstance(attention, FoldedBinaryAttention) else without_context(attention),
                self.middle2,
            ],
            decoder=[
                [behind_fusion(fusion, block) for fusion, block in zip(fusions, blocks, strict=True)]
                for fusions, blocks in zip(levels(self.fusions)[::-1], levels(self.decoder)[::-1], strict=True)
            ],
            ups=list(self.ups)[::-1],
        )
        return self.tail(self.norm(h)).contiguous(memory_format=torch.contiguous_format)

    def _timestep(self, timestep: Tensor) -> FoldedTimestep:
        row, pixel = (
            self._one_hot(timestep.reshape(*shape[:1], 1, *shape[2:]), shape) for shape in ((1, -1), (1, -1, 1, 1))
        )
        return FoldedTimestep(self.encoding(timestep.float().reshape(1, 1, 1, 1)), pixel, row)

    def _one_hot(self, timestep: Tensor, shape: tuple[int, ...]) -> Tensor:
        begun, not_over = timestep >= self.starts.reshape(shape), timestep < self.ends.reshape(shape)
        return begun.float() * not_over.float()
