"""BI-DiffSR: a binary diffusion UNet with consistent-pixel sampling, channel-shuffle fusion and timestep groups.

Source: Chen et al., "Binarized Diffusion Model for Image Super-Resolution" (BI-DiffSR), NeurIPS 2024, arXiv
2406.05723, and its published code where the paper is silent.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.binarizers import MeanScaleWeight, Sign
from bitsr.training.diffusion.blocks import NormActivation, SelfAttention, TimeEncoding, attend
from bitsr.training.diffusion.noise_schedule import NoiseSchedule
from bitsr.training.diffusion.unet import Layer, behind_fusion, levels, run_unet, without_context
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.training.models.method_conv import METHODS, MethodConv
from bitsr.training.models.registry import positive, register_model

PAPER = "BI-DiffSR, NeurIPS 2024"
DROPOUT = 0.2

Fusion = Literal["opposite", "same", "split", "add", "concat"]
Grouped = Literal["both", "thresholds", "activations"]


@dataclass(frozen=True)
class BiDiffSrConfig:
    """Shape and switches of a BI-DiffSR network.

    Attributes:
        channels: of the first level; ``multipliers`` give those of each level, which halves the resolution.
        time_groups: K, the number of thresholds (TaR) and activations (TaA) that take turns over the timesteps.
        grouped: which of the two have K sets; the paper's table 1 also has either alone.
        fusion: how decoder and skip are mixed, see :class:`ChannelFusion` and :class:`ConcatFusion`.
        identity: whether a BI-Conv adds its input.
        resampling: CP-Down and CP-Up, or the plain layers that they replaced.
        method: ``bi`` for BI-Conv, or one of :mod:`~bitsr.training.models.method_conv`, whose layer stands in its
            place in the rows of binarized SR3.
        float_levels: decoder levels whose fusions and blocks are in floating point. The published numbers have (0, 1).
        attention: at the bottleneck: in floating point as published, binary, or none.
    """

    channels: int = 64
    multipliers: tuple[int, ...] = positive((1, 2, 4, 8))
    blocks: int = 2
    norm_groups: int = positive(16)
    time_groups: int = positive(5)
    grouped: Grouped = "both"
    fusion: Fusion = "opposite"
    identity: bool = True
    resampling: Literal["pixels", "plain"] = "pixels"
    method: str = "bi"
    float_levels: tuple[int, ...] = (0, 1)
    attention: Literal["float", "binary", "none"] = "float"


class Timestep(NamedTuple):
    """What the layers need of a timestep."""

    encoding: Tensor  # (1, config.channels), behind the Swish that all blocks share
    group: Tensor  # (1,) int64


class TimestepRPReLU(nn.Module):
    """RPReLU with K sets of its three vectors (TaA). (N, C, H, W) and group (1,) int64 -> (N, C, H, W)."""

    def __init__(self, channels: int, *, groups: int) -> None:
        super().__init__()
        self.shift_before = nn.Parameter(torch.zeros(groups, channels))
        self.slope = nn.Parameter(torch.full((groups, channels), 0.25))
        self.shift_after = nn.Parameter(torch.zeros(groups, channels))

    def forward(self, x: Tensor, group: Tensor) -> Tensor:
        tables = (self.shift_before, self.slope, self.shift_after)
        before, slope, after = (_row(table, group)[:, :, None, None] for table in tables)
        x = x + before
        return F.relu(x) - slope * F.relu(-x) + after


def _row(table: Tensor, group: Tensor) -> Tensor:
    """The group's row (1, C) of a table (K, C), or the only one."""
    return table[group] if len(table) > 1 else table


class BiConv(nn.Module):
    """``TaA_g(binary_conv(sign(x - b_g))) + x``: the input is always carried along (paper, section 3.2 and 3.4).

    ``b_g`` is the threshold of the timestep's group (TaR), initially 0; the weights have the mean of their magnitude
    as scale for each filter, as in the code. Without ``identity``, an ablation, and where ``out_channels`` differ from
    ``channels``, which the paper's own layers avoid, nothing is added. (N, C, H, W) -> (N, out, H, W).
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int,
        *,
        groups: int,
        grouped: Grouped = "both",
        out_channels: int | None = None,
        identity: bool = True,
    ) -> None:
        super().__init__()
        out = channels if out_channels is None else out_channels
        self.groups = groups
        self.conv = BinaryConv2d(
            channels, out, kernel_size, activation_binarizer=Sign(), weight_binarizer=MeanScaleWeight()
        )
        self.threshold = nn.Parameter(torch.zeros(1 if grouped == "activations" else groups, channels))
        self.activation = TimestepRPReLU(out, groups=1 if grouped == "thresholds" else groups)
        self.identity = identity and out == channels

    def forward(self, x: Tensor, at: Timestep) -> Tensor:
        threshold = _row(self.threshold, at.group)[:, :, None, None]
        y: Tensor = self.activation(self.conv(x, threshold), at.group)
        return y + x if self.identity else y


class FloatConv(nn.Conv2d):
    """What stands for a :class:`BiConv` at the float levels: a convolution with bias and no skip, as in the code."""

    def __init__(self, channels: int, kernel_size: int, *, out_channels: int | None = None) -> None:
        super().__init__(channels, out_channels or channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor, at: Timestep) -> Tensor:  # type: ignore[override]
        return super().forward(x)


class ResBlock(nn.Module):
    """Norm, Swish, conv, plus the time; norm, Swish, dropout, conv; plus the input. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, config: BiDiffSrConfig, *, binary: bool = True) -> None:
        super().__init__()
        self.norm1 = NormActivation(channels, groups=config.norm_groups)
        self.conv1 = _conv(channels, 3, config, binary=binary)
        self.time = nn.Linear(config.channels, channels)
        self.norm2 = NormActivation(channels, groups=config.norm_groups)
        self.dropout = nn.Dropout(DROPOUT)
        self.conv2 = _conv(channels, 3, config, binary=binary)

    def forward(self, x: Tensor, at: Timestep) -> Tensor:
        h = self.conv1(self.norm1(x), at) + self.time(at.encoding)[:, :, None, None]
        return self.conv2(self.dropout(self.norm2(h)), at) + x


class Down(nn.Module):
    """CP-Down: both halves of the channels through a binary convolution, added, and pixels into channels.

    (N, C, H, W) -> (N, 2C, H / 2, W / 2). Source: paper, section 3.3.
    """

    def __init__(self, channels: int, config: BiDiffSrConfig) -> None:
        super().__init__()
        self.conv1 = _bi_conv(channels // 2, 3, config)
        self.conv2 = _bi_conv(channels // 2, 3, config)

    def forward(self, x: Tensor, at: Timestep) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return F.pixel_unshuffle(self.conv1(first, at) + self.conv2(second, at), 2)


class Up(nn.Module):
    """CP-Up: two binary convolutions of the same map, concatenated, and channels into pixels.

    (N, C, H, W) -> (N, C / 2, 2H, 2W). Source: paper, section 3.3.
    """

    def __init__(self, channels: int, config: BiDiffSrConfig) -> None:
        super().__init__()
        self.conv1 = _bi_conv(channels, 3, config)
        self.conv2 = _bi_conv(channels, 3, config)

    def forward(self, x: Tensor, at: Timestep) -> Tensor:
        return F.pixel_shuffle(torch.cat([self.conv1(x, at), self.conv2(x, at)], dim=1), 2)


class PlainDown(nn.Module):
    """The ablations' down-sampling: a binary 3x3 convolution with stride 2. (N, C, H, W) -> (N, 2C, H / 2, W / 2).

    The kernels have no stride: every second row and column of the convolution is kept, which is the same.
    """

    def __init__(self, channels: int, config: BiDiffSrConfig) -> None:
        super().__init__()
        self.conv = _bi_conv(channels, 3, config, out_channels=2 * channels)

    def forward(self, x: Tensor, at: Timestep) -> Tensor:
        y: Tensor = self.conv(x, at)
        return y[:, :, ::2, ::2]


class PlainUp(nn.Module):
    """The ablations' up-sampling: nearest neighbour, then a binary 3x3 convolution C -> C / 2, as in SR3.

    (N, C, H, W) -> (N, C / 2, 2H, 2W).
    """

    def __init__(self, channels: int, config: BiDiffSrConfig) -> None:
        super().__init__()
        self.conv = _bi_conv(channels, 3, config, out_channels=channels // 2)

    def forward(self, x: Tensor, at: Timestep) -> Tensor:
        y: Tensor = self.conv(F.interpolate(x, scale_factor=2, mode="nearest"), at)
        return y


class ConcatFusion(nn.Module):
    """The ablations' fusion: decoder and skip concatenated, then a 1x1 convolution 2C -> C, which adds no input."""

    def __init__(self, channels: int, config: BiDiffSrConfig, *, binary: bool) -> None:
        super().__init__()
        self.conv: nn.Module
        if binary:
            self.conv = _bi_conv(2 * channels, 1, config, out_channels=channels)
        else:
            self.conv = FloatConv(2 * channels, 1, out_channels=channels)

    def forward(self, decoder: Tensor, skip: Tensor, at: Timestep) -> Tensor:
        y: Tensor = self.conv(torch.cat([decoder, skip], dim=1), at)
        return y


class ChannelFusion(nn.Module):
    """CS-Fusion: two maps whose channels are mixed, each through a 1x1 convolution, added.

    Of the decoder's map a and the skip b (N, C, H, W) each mixed map has half of the channels, numbered from 0:

    - ``opposite`` (published code): ``[a odd, b even]`` and ``[a even, b odd]``
    - ``same`` (paper, eq. 3): ``[a even, b even]`` and ``[a odd, b odd]``
    - ``split`` (ablation without shuffle): ``[first half of a, first half of b]`` and the second halves
    """

    def __init__(self, channels: int, config: BiDiffSrConfig, *, binary: bool = True) -> None:
        super().__init__()
        self.fusion = config.fusion
        self.conv1 = _conv(channels, 1, config, binary=binary)
        self.conv2 = _conv(channels, 1, config, binary=binary)

    def forward(self, decoder: Tensor, skip: Tensor, at: Timestep) -> Tensor:
        first, second = mix_channels(decoder, skip, self.fusion)
        return self.conv1(first, at) + self.conv2(second, at)


class AddFusion(nn.Module):
    """The ablation's plain sum of decoder and skip."""

    def forward(self, decoder: Tensor, skip: Tensor, at: Any) -> Tensor:
        return decoder + skip


def mix_channels(a: Tensor, b: Tensor, fusion: Fusion) -> tuple[Tensor, Tensor]:
    """The two mixed maps of :class:`ChannelFusion`."""
    if fusion == "opposite":
        return torch.cat([a[:, 1::2], b[:, 0::2]], dim=1), torch.cat([a[:, 0::2], b[:, 1::2]], dim=1)
    if fusion == "same":
        return torch.cat([a[:, 0::2], b[:, 0::2]], dim=1), torch.cat([a[:, 1::2], b[:, 1::2]], dim=1)
    half = a.shape[1] // 2
    return torch.cat([a[:, :half], b[:, :half]], dim=1), torch.cat([a[:, half:], b[:, half:]], dim=1)


class BinaryAttention(nn.Module):
    """Self-attention whose q, k, v and output layers are BI-Convs; its matrix products stay in floating point."""

    def __init__(self, channels: int, config: BiDiffSrConfig) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(config.norm_groups, channels)
        self.query, self.key, self.value, self.out = (_bi_conv(channels, 1, config) for _ in range(4))

    def forward(self, x: Tensor, at: Timestep) -> Tensor:
        normed = self.norm(x)
        y = attend(self.query(normed, at), self.key(normed, at), self.value(normed, at))
        return self.out(y, at) + x


class BiDiffSr(DiffusionModel):
    """The UNet: float head and tail, binary in between but for what ``config`` says."""

    def __init__(self, config: BiDiffSrConfig, *, scale: int = 4) -> None:
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        super().__init__(
            scale=scale,
            channels=config.channels,
            receptive_field_radius=convolution_reach(config.blocks, levels=len(widths), scale=scale),
            multiple=2 ** (len(widths) - 1),
            noise_schedule=NoiseSchedule(),
            time_groups=config.time_groups,
        )
        self.encoding = TimeEncoding(config.channels)
        self.head = nn.Conv2d(6, config.channels, 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.ModuleList(ResBlock(width, config) for _ in range(config.blocks)) for width in widths
        )
        down, up = (Down, Up) if config.resampling == "pixels" else (PlainDown, PlainUp)
        self.downs = nn.ModuleList(down(width, config) for width in widths[:-1])
        self.middle1 = ResBlock(widths[-1], config)
        self.attention = _attention(widths[-1], config)
        self.middle2 = ResBlock(widths[-1], config)
        binary = [level not in config.float_levels for level in range(len(widths))]
        count = config.blocks + 1
        self.fusions = nn.ModuleList(
            nn.ModuleList(_fusion(widths[level], config, binary=binary[level]) for _ in range(count))
            for level in range(len(widths))
        )
        self.decoder = nn.ModuleList(
            nn.ModuleList(ResBlock(widths[level], config, binary=binary[level]) for _ in range(count))
            for level in range(len(widths))
        )
        self.ups = nn.ModuleList(up(width, config) for width in widths[1:])
        self.norm = NormActivation(config.channels, groups=config.norm_groups)
        self.tail = nn.Conv2d(config.channels, 3, 3, padding=1)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        time = F.silu(self.encoding(timestep))
        group = timestep * self.time_groups // self.noise_schedule.timesteps
        h = run_unet(
            self.head(x),
            Timestep(time, group),
            encoder=levels(self.encoder),
            downs=list(self.downs),
            middle=[self.middle1, self._attention_layer(), self.middle2],
            decoder=[
                [behind_fusion(fusion, block) for fusion, block in zip(fusions, blocks, strict=True)]
                for fusions, blocks in zip(levels(self.fusions)[::-1], levels(self.decoder)[::-1], strict=True)
            ],
            ups=list(self.ups)[::-1],
        )
        return self.tail(self.norm(h))

    def _attention_layer(self) -> Layer:
        return self.attention if isinstance(self.attention, BinaryAttention) else without_context(self.attention)


def convolution_reach(blocks: int, *, levels: int, scale: int) -> int:
    """How far a UNet's 3x3 convolutions look, in pixels of the low-resolution picture: ``blocks`` blocks a level."""
    reach = 2.0
    for level in range(levels):
        convolutions = 2 * (2 * blocks + 1) + (4 if level == levels - 1 else 2)
        reach += convolutions * 2**level
    return -(-int(reach) // scale)


def _bi_conv(
    channels: int, kernel_size: int, config: BiDiffSrConfig, *, out_channels: int | None = None
) -> BiConv | MethodConv:
    if config.method != "bi":
        return MethodConv(channels, out_channels or channels, kernel_size, method=config.method)
    return BiConv(
        channels,
        kernel_size,
        groups=config.time_groups,
        grouped=config.grouped,
        out_channels=out_channels,
        identity=config.identity,
    )


def _conv(channels: int, kernel_size: int, config: BiDiffSrConfig, *, binary: bool) -> nn.Module:
    if binary:
        return _bi_conv(channels, kernel_size, config)
    return FloatConv(channels, kernel_size)


def _fusion(channels: int, config: BiDiffSrConfig, *, binary: bool) -> nn.Module:
    if config.fusion == "add":
        return AddFusion()
    fusion = ConcatFusion if config.fusion == "concat" else ChannelFusion
    return fusion(channels, config, binary=binary)


def _attention(channels: int, config: BiDiffSrConfig) -> nn.Module:
    if config.attention == "float":
        return SelfAttention(channels, groups=config.norm_groups)
    return BinaryAttention(channels, config) if config.attention == "binary" else nn.Identity()


_BINARY = BiDiffSrConfig(float_levels=())
# The first rows of the paper's table 1 come before TaR and TaA, too.
_CONCAT = BiDiffSrConfig(fusion="concat", time_groups=1)
_IDENTITY = replace(_CONCAT, resampling="plain")
_TINY = BiDiffSrConfig(channels=16, multipliers=(1, 2), blocks=0, norm_groups=4, time_groups=2, float_levels=(0,))

# The published network, its ablations, and what the cost table leaves in floating point made binary as well.
_VARIANTS = {
    "bidiffsr": BiDiffSrConfig(),
    "bidiffsr_k1": BiDiffSrConfig(time_groups=1),
    "bidiffsr_k2": BiDiffSrConfig(time_groups=2),
    "bidiffsr_tar": BiDiffSrConfig(grouped="thresholds"),
    "bidiffsr_taa": BiDiffSrConfig(grouped="activations"),
    "bidiffsr_same": BiDiffSrConfig(fusion="same"),
    # The published fusion ablations come before TaR and TaA, as their parameter counts show: one group.
    "bidiffsr_baseline": replace(_IDENTITY, identity=False),
    "bidiffsr_identity": _IDENTITY,
    "bidiffsr_concat": _CONCAT,
    **{f"sr3_{method}": replace(_IDENTITY, method=method) for method in METHODS},
    "bidiffsr_split": BiDiffSrConfig(fusion="split", time_groups=1),
    "bidiffsr_add": BiDiffSrConfig(fusion="add", time_groups=1),
    "bidiffsr_binary_decoder": _BINARY,
    "bidiffsr_binary": replace(_BINARY, attention="binary"),
    "bidiffsr_no_attention": replace(_BINARY, attention="none"),
    # Every kind of layer, but no blocks in the encoder: exporting takes time.
    "test_bidiffsr": _TINY,
    "test_bidiffsr_baseline": replace(
        _TINY, fusion="concat", resampling="plain", identity=False, time_groups=1, float_levels=()
    ),
    **{
        f"test_sr3_{method}": replace(
            _TINY, fusion="concat", resampling="plain", method=method, time_groups=1, float_levels=()
        )
        for method in ("reactnet", "bbcu")
    },
}


def bidiffsr(scale: int, config: BiDiffSrConfig) -> BiDiffSr:
    """The published network or a variant of it."""
    return BiDiffSr(config, scale=scale)


for _name, _config in _VARIANTS.items():
    register_model(f"{_name}_x{{scale}}", scales=(2, 4), paper=PAPER, config=_config, kind="diffusion")(bidiffsr)
