"""SR3: the float diffusion UNet that BI-DiffSR is compared with.

Source: Saharia et al., "Image Super-Resolution via Iterative Refinement" (SR3), TPAMI 2022, with the shape of its
public implementation that the tables of BI-DiffSR count. It is trained and sampled as BI-DiffSR is: the time encoding
takes the timestep rather than the noise level.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.diffusion.blocks import NormActivation, SelfAttention, TimeEncoding
from bitsr.training.diffusion.process import DiffusionProcess
from bitsr.training.models.bidiffsr import DROPOUT, convolution_reach
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.training.models.registry import ModelInfo, register_model

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


class Sr3(DiffusionModel):
    """UNet: strided convolutions down, nearest enlargement and a convolution up, skips concatenated."""

    def __init__(
        self,
        model_id: str,
        scale: int,
        *,
        family: str,
        channels: int = 64,
        multipliers: tuple[int, ...] = (1, 2, 4, 8),
        blocks: int = 2,
        norm_groups: int = 16,
    ) -> None:
        widths = [channels * multiplier for multiplier in multipliers]
        info = ModelInfo(
            id=model_id,
            family=family,
            scale=scale,
            channels=channels,
            blocks=blocks,
            receptive_field_radius=convolution_reach(blocks, levels=len(widths), scale=scale),
            global_pooling=True,
            paper=PAPER,
            config={"channels": channels, "multipliers": multipliers, "blocks": blocks, "norm_groups": norm_groups},
        )
        super().__init__(info, process=DiffusionProcess(), multiple=2 ** (len(widths) - 1))

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
                self.ups.append(nn.Conv2d(width, width, 3, padding=1))
        self.norm = NormActivation(width, groups=norm_groups)
        self.tail = nn.Conv2d(width, 3, 3, padding=1)

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        time = F.silu(self.encoding(timestep))
        h = self.head(x)
        skips = [h]
        for level, blocks in enumerate(self.encoder):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, time)
                skips.append(h)
            if level < len(self.downs):
                h = self.downs[level](h)
                skips.append(h)
        h = self.middle2(self.attention(self.middle1(h, time)), time)
        for level, blocks in enumerate(self.decoder):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(torch.cat([h, skips.pop()], dim=1), time)
            if level < len(self.ups):
                h = self.ups[level](F.interpolate(h, scale_factor=2, mode="nearest"))
        return self.tail(self.norm(h))


@register_model("sr3_x{scale}", scales=(2, 4), kind="diffusion")
def _sr3(model_id: str, scale: int) -> Sr3:
    return Sr3(model_id, scale, family="sr3")


@register_model("test_sr3_x{scale}", scales=(2, 4), kind="diffusion")
def _test_sr3(model_id: str, scale: int) -> Sr3:
    return Sr3(model_id, scale, family="test_sr3", channels=16, multipliers=(1, 2), blocks=0, norm_groups=4)
