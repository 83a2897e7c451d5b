"""SR3: the float diffusion UNet that BI-DiffSR is compared with.

Source: Saharia et al., "Image Super-Resolution via Iterative Refinement" (SR3), TPAMI 2022, with the shape of its
public implementation that the tables of BI-DiffSR count. It is trained and sampled as BI-DiffSR is: the time encoding
takes the timestep rather than the noise level.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.diffusion.blocks import NormActivation, SelfAttention, TimeEncoding
from bitsr.training.diffusion.noise_schedule import NoiseSchedule
from bitsr.training.diffusion.unet import behind_concatenation, levels, run_unet, without_context
from bitsr.training.models.bidiffsr import DROPOUT, convolution_reach
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.training.models.registry import positive, register_model

PAPER = "SR3, TPAMI 2022"


class Sr3Block(nn.Module):
    """Residual block with the time added between its convolutions. (N, Ci, H, W) -> (N, Co, H, W)."""

    def __init__(self, in_channels: int, out_channels: int, *, time_channels: int, groups: int) -> None:
        super().__init__()
        self.norm1 = NormActivation(in_channels, groups=groups)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time = nn.Linear(time_channels, out_channels)
        self.norm2 = NormActivation(out_channels, groups=groups)
        self.dropout = nn.Dropout(DROPOUT)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.skip = nn.Identity() if in_channels == out_channels else nn.Conv2d(in_channels, out_channels, 1)

    def forward(self, x: Tensor, time: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x)) + self.time(time)[:, :, None, None]
        return self.conv2(self.dropout(self.norm2(h))) + self.skip(x)


class NearestUp(nn.Conv2d):
    """A 3x3 convolution behind the nearest-neighbour enlargement by 2. (N, C, H, W) -> (N, C, 2H, 2W)."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.interpolate(x, scale_factor=2, mode="nearest"))


@dataclass(frozen=True)
class Sr3Config:
    """Shape of an SR3: channels of the first level, those of each level as multiples of it, blocks a level."""

    channels: int = 64
    multipliers: tuple[int, ...] = positive((1, 2, 4, 8))
    blocks: int = 2
    norm_groups: int = positive(16)


class Sr3(DiffusionModel):
    """UNet: strided convolutions down, nearest enlargement and a convolution up, skips concatenated."""

    def __init__(self, config: Sr3Config, *, scale: int = 4) -> None:
        channels, blocks, norm_groups = config.channels, config.blocks, config.norm_groups
        widths = [channels * multiplier for multiplier in config.multipliers]
        super().__init__(
            scale=scale,
            channels=channels,
            receptive_field_radius=convolution_reach(blocks, levels=len(widths), scale=scale),
            multiple=2 ** (len(widths) - 1),
            noise_schedule=NoiseSchedule(),
        )

        def block(in_channels: int, out_channels: int) -> Sr3Block:
            return Sr3Block(in_channels, out_channels, time_channels=channels, groups=norm_groups)

        self.encoding = TimeEncoding(channels)
        self.head = nn.Conv2d(6, channels, 3, padding=1)
        self.encoder, self.downs = nn.ModuleList(), nn.ModuleList()
        stored, width = [channels], channels
        for level, level_width in enumerate(widths):
            level_blocks = nn.ModuleList()
            for _ in range(blocks):
                level_blocks.append(block(width, level_width))
                width = level_width
                stored.append(width)
            self.encoder.append(level_blocks)
            if level < len(widths) - 1:
                self.downs.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
                stored.append(width)
        self.middle1 = block(width, width)
        self.attention = SelfAttention(width, groups=norm_groups)
        self.middle2 = block(width, width)
        self.decoder, self.ups = nn.ModuleList(), nn.ModuleList()
        for level, level_width in reversed(list(enumerate(widths))):
            level_blocks = nn.ModuleList()
            for _ in range(blocks + 1):
                level_blocks.append(block(width + stored.pop(), level_width))
                width = level_width
            self.decoder.append(level_blocks)
            if level:
                self.ups.append(NearestUp(width))
        self.norm = NormActivation(width, groups=norm_groups)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        h = run_unet(
            self.head(x),
            F.silu(self.encoding(timestep)),
            encoder=levels(self.encoder),
            downs=[without_context(down) for down in self.downs],
            middle=[self.middle1, without_context(self.attention), self.middle2],
            decoder=[[behind_concatenation(block) for block in blocks] for blocks in levels(self.decoder)],
            ups=[without_context(up) for up in self.ups],
        )
        return self.tail(self.norm(h))


@register_model("sr3_x{scale}", scales=(2, 4), paper=PAPER, config=Sr3Config(), kind="diffusion")
@register_model(
    "test_sr3_x{scale}",
    scales=(2, 4),
    paper=PAPER,
    config=Sr3Config(channels=16, multipliers=(1, 2), blocks=0, norm_groups=4),
    kind="diffusion",
)
def sr3(scale: int, config: Sr3Config) -> Sr3:
    """The float network."""
    return Sr3(config, scale=scale)
