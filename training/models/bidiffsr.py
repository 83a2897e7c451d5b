"""BI-DiffSR: a binary diffusion UNet with consistent-pixel sampling, channel-shuffle fusion and timestep groups.

Source: Chen et al., "Binarized Diffusion Model for Image Super-Resolution" (BI-DiffSR), NeurIPS 2024, arXiv
2406.05723, and its published code where the paper is silent.
"""

from dataclasses import asdict, dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.binarizers import MeanScaleWeight, Sign
from bitsr.training.diffusion.blocks import NormActivation, SelfAttention, TimeEncoding, attend
from bitsr.training.diffusion.process import DiffusionProcess
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.training.models.registry import ModelInfo, register_model

PAPER = "BI-DiffSR, NeurIPS 2024"
DROPOUT = 0.2

Fusion = Literal["opposite", "same", "split", "add"]


@dataclass(frozen=True)
class BiDiffSrConfig:
    """Shape and switches of a BI-DiffSR network.

    Attributes:
        channels: of the first level; ``multipliers`` give those of each level, which halves the resolution.
        time_groups: K, the number of thresholds (TaR) and activations (TaA) that take turns over the timesteps.
        fusion: how decoder and skip are mixed, see :class:`ChannelFusion`.
        float_levels: decoder levels whose fusions and blocks are in floating point. The published numbers have (0, 1).
        attention: at the bottleneck: in floating point as published, binary, or none.
    """

    channels: int = 64
    multipliers: tuple[int, ...] = (1, 2, 4, 8)
    blocks: int = 2
    norm_groups: int = 16
    time_groups: int = 5
    fusion: Fusion = "opposite"
    float_levels: tuple[int, ...] = (0, 1)
    attention: Literal["float", "binary", "none"] = "float"


class TimestepRPReLU(nn.Module):
    """RPReLU with K sets of its three vectors (TaA). (N, C, H, W) and group (1,) int64 -> (N, C, H, W)."""

    def __init__(self, channels: int, *, groups: int) -> None:
        super().__init__()
        self.shift_before = nn.Parameter(torch.zeros(groups, channels))
        self.slope = nn.Parameter(torch.full((groups, channels), 0.25))
        self.shift_after = nn.Parameter(torch.zeros(groups, channels))

    def forward(self, x: Tensor, group: Tensor) -> Tensor:
        tables = (self.shift_before, self.slope, self.shift_after)
        before, slope, after = (table[group][:, :, None, None] for table in tables)
        x = x + before
        return F.relu(x) - slope * F.relu(-x) + after


class BiConv(nn.Module):
    """``TaA_g(binary_conv(sign(x - b_g))) + x``: the input is always carried along (paper, section 3.2 and 3.4).

    ``b_g`` is the threshold of the timestep's group (TaR), initially 0; the weights have the mean of their magnitude
    as scale for each filter, as in the code. (N, C, H, W) and group (1,) int64 -> (N, C, H, W).
    """

    def __init__(self, channels: int, kernel_size: int, *, groups: int) -> None:
        super().__init__()
        self.conv = BinaryConv2d(
            channels, channels, kernel_size, activation_binarizer=Sign(), weight_binarizer=MeanScaleWeight()
        )
        self.threshold = nn.Parameter(torch.zeros(groups, channels))
        self.activation = TimestepRPReLU(channels, groups=groups)

    def forward(self, x: Tensor, group: Tensor) -> Tensor:
        return self.activation(self.conv(x, self.threshold[group][:, :, None, None]), group) + x


class FloatConv(nn.Conv2d):
    """What stands for a :class:`BiConv` at the float levels: a convolution with bias, without a skip of its own.

    That there is no skip is our inference: the published cost fixes the parameters alone.
    """

    def __init__(self, channels: int, kernel_size: int) -> None:
        super().__init__(channels, channels, kernel_size, padding=kernel_size // 2)

    def forward(self, x: Tensor, group: Tensor) -> Tensor:  # type: ignore[override]
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

    def forward(self, x: Tensor, time: Tensor, group: Tensor) -> Tensor:
        """``time`` (1, config.channels) is the encoded timestep after its Swish, which all blocks share."""
        h = self.conv1(self.norm1(x), group) + self.time(time)[:, :, None, None]
        return self.conv2(self.dropout(self.norm2(h)), group) + x


class Down(nn.Module):
    """CP-Down: both halves of the channels through a binary convolution, added, and pixels into channels.

    (N, C, H, W) -> (N, 2C, H / 2, W / 2). Source: paper, section 3.3.
    """

    def __init__(self, channels: int, config: BiDiffSrConfig) -> None:
        super().__init__()
        self.conv1 = BiConv(channels // 2, 3, groups=config.time_groups)
        self.conv2 = BiConv(channels // 2, 3, groups=config.time_groups)

    def forward(self, x: Tensor, group: Tensor) -> Tensor:
        first, second = x.chunk(2, dim=1)
        return F.pixel_unshuffle(self.conv1(first, group) + self.conv2(second, group), 2)


class Up(nn.Module):
    """CP-Up: two binary convolutions of the same map, concatenated, and channels into pixels.

    (N, C, H, W) -> (N, C / 2, 2H, 2W). Source: paper, section 3.3.
    """

    def __init__(self, channels: int, config: BiDiffSrConfig) -> None:
        super().__init__()
        self.conv1 = BiConv(channels, 3, groups=config.time_groups)
        self.conv2 = BiConv(channels, 3, groups=config.time_groups)

    def forward(self, x: Tensor, group: Tensor) -> Tensor:
        return F.pixel_shuffle(torch.cat([self.conv1(x, group), self.conv2(x, group)], dim=1), 2)


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

    def forward(self, decoder: Tensor, skip: Tensor, group: Tensor) -> Tensor:
        first, second = mix_channels(decoder, skip, self.fusion)
        return self.conv1(first, group) + self.conv2(second, group)


class AddFusion(nn.Module):
    """The ablation's plain sum of decoder and skip."""

    def forward(self, decoder: Tensor, skip: Tensor, group: Tensor) -> Tensor:
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
        self.query, self.key, self.value, self.out = (BiConv(channels, 1, groups=config.time_groups) for _ in range(4))

    def forward(self, x: Tensor, group: Tensor) -> Tensor:
        normed = self.norm(x)
        y = attend(self.query(normed, group), self.key(normed, group), self.value(normed, group))
        return self.out(y, group) + x


class BiDiffSr(DiffusionModel):
    """The UNet: float head and tail, binary in between but for what ``config`` says."""

    def __init__(self, model_id: str, scale: int, config: BiDiffSrConfig, *, family: str) -> None:
        widths = [config.channels * multiplier for multiplier in config.multipliers]
        levels = range(len(widths))
        info = ModelInfo(
            id=model_id,
            family=family,
            scale=scale,
            channels=config.channels,
            blocks=config.blocks,
            # Group norms read the whole picture; this is how far the convolutions look, in low-resolution pixels.
            receptive_field_radius=convolution_reach(config.blocks, levels=len(widths), scale=scale),
            global_pooling=True,
            paper=PAPER,
            config=asdict(config),
        )
        super().__init__(info, process=DiffusionProcess(), multiple=2 ** (len(widths) - 1))
        self.config = config
        self.encoding = TimeEncoding(config.channels)
        self.head = nn.Conv2d(6, config.channels, 3, padding=1)
        self.encoder = nn.ModuleList(
            nn.ModuleList(ResBlock(width, config) for _ in range(config.blocks)) for width in widths
        )
        self.downs = nn.ModuleList(Down(width, config) for width in widths[:-1])
        self.middle1 = ResBlock(widths[-1], config)
        self.attention = _attention(widths[-1], config)
        self.middle2 = ResBlock(widths[-1], config)
        binary = [level not in config.float_levels for level in levels]
        count = config.blocks + 1
        self.fusions = nn.ModuleList(
            nn.ModuleList(_fusion(widths[level], config, binary=binary[level]) for _ in range(count))
            for level in levels
        )
        self.decoder = nn.ModuleList(
            nn.ModuleList(ResBlock(widths[level], config, binary=binary[level]) for _ in range(count))
            for level in levels
        )
        self.ups = nn.ModuleList(Up(width, config) for width in widths[1:])
        self.norm = NormActivation(config.channels, groups=config.norm_groups)
        self.tail = nn.Conv2d(config.channels, 3, 3, padding=1)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        time = F.silu(self.encoding(timestep))
        group = timestep * self.config.time_groups // self.process.timesteps
        h = self.head(x)
        skips = [h]
        for level, blocks in enumerate(self.encoder):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, time, group)
                skips.append(h)
            if level < len(self.downs):
                h = self.downs[level](h, group)
                skips.append(h)
        h = self.middle1(h, time, group)
        h = self._attend(h, group)
        h = self.middle2(h, time, group)
        for level in reversed(range(len(self.decoder))):
            for fusion, block in zip(self.fusions[level], self.decoder[level], strict=True):  # type: ignore[call-overload]
                h = block(fusion(h, skips.pop(), group), time, group)
            if level:
                h = self.ups[level - 1](h, group)
        return self.tail(self.norm(h))

    def _attend(self, h: Tensor, group: Tensor) -> Tensor:
        if isinstance(self.attention, BinaryAttention):
            return self.attention(h, group)
        return self.attention(h)


def convolution_reach(blocks: int, *, levels: int, scale: int) -> int:
    """How far a UNet's 3x3 convolutions look, in pixels of the low-resolution picture: ``blocks`` blocks a level."""
    reach = 2.0
    for level in range(levels):
        convolutions = 2 * (2 * blocks + 1) + (4 if level == levels - 1 else 2)
        reach += convolutions * 2**level
    return -(-int(reach) // scale)


def _conv(channels: int, kernel_size: int, config: BiDiffSrConfig, *, binary: bool) -> nn.Module:
    if binary:
        return BiConv(channels, kernel_size, groups=config.time_groups)
    return FloatConv(channels, kernel_size)


def _fusion(channels: int, config: BiDiffSrConfig, *, binary: bool) -> nn.Module:
    return AddFusion() if config.fusion == "add" else ChannelFusion(channels, config, binary=binary)


def _attention(channels: int, config: BiDiffSrConfig) -> nn.Module:
    if config.attention == "float":
        return SelfAttention(channels, groups=config.norm_groups)
    return BinaryAttention(channels, config) if config.attention == "binary" else nn.Identity()


# The published network, its ablations, and what the cost table leaves in floating point made binary as well.
_VARIANTS = {
    "bidiffsr": BiDiffSrConfig(),
    "bidiffsr_k1": BiDiffSrConfig(time_groups=1),
    "bidiffsr_k2": BiDiffSrConfig(time_groups=2),
    "bidiffsr_same": BiDiffSrConfig(fusion="same"),
    # The published fusion ablations come before TaR and TaA, as their parameter counts show: one group.
    "bidiffsr_split": BiDiffSrConfig(fusion="split", time_groups=1),
    "bidiffsr_add": BiDiffSrConfig(fusion="add", time_groups=1),
    "bidiffsr_binary_decoder": BiDiffSrConfig(float_levels=()),
    "bidiffsr_binary": BiDiffSrConfig(float_levels=(), attention="binary"),
    "bidiffsr_no_attention": BiDiffSrConfig(float_levels=(), attention="none"),
    # Every kind of layer, but no blocks in the encoder: exporting takes time.
    "test_bidiffsr": BiDiffSrConfig(
        channels=16, multipliers=(1, 2), blocks=0, norm_groups=4, time_groups=2, float_levels=(0,)
    ),
}


def _register(family: str, config: BiDiffSrConfig) -> None:
    @register_model(f"{family}_x{{scale}}", scales=(2, 4), kind="diffusion")
    def build(model_id: str, scale: int) -> BiDiffSr:
        return BiDiffSr(model_id, scale, config, family=family)


for _family, _config in _VARIANTS.items():
    _register(_family, _config)
