"""Fold rules of SR3, the float reference of the diffusion models: one step, with the inputs of BI-DiffSR's."""

import torch
from torch import Tensor, nn

from bitsr.export.deploy.layers import PixelShuffle
from bitsr.export.deploy.registry import fold, fold_rule
from bitsr.export.deploy.rules.diffusion import pixel_conv, pixel_linear
from bitsr.training.models.sr3 import Sr3, Sr3Block


class FoldedSr3Block(nn.Module):
    """Deploy form of :class:`~bitsr.training.models.sr3.Sr3Block`."""

    def __init__(self, module: Sr3Block) -> None:
        super().__init__()
        self.norm1, self.norm2 = fold(module.norm1), fold(module.norm2)
        self.conv1, self.conv2, self.skip = fold(module.conv1), fold(module.conv2), fold(module.skip)
        self.time = pixel_linear(module.time)

    def forward(self, x: Tensor, encoding: Tensor) -> Tensor:
        h = self.conv1(self.norm1(x)) + self.time(encoding)
        return self.conv2(self.norm2(h)) + self.skip(x)


class NearestUp(nn.Module):
    """Nearest enlargement by 2, as a repetition of the channels by a 1x1 convolution and a shuffle; then ``conv``."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.repeat = pixel_conv(torch.eye(conv.in_channels).repeat_interleave(4, dim=0)[:, :, None, None])
        self.shuffle = PixelShuffle(2)
        self.conv = fold(conv)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.shuffle(self.repeat(x)))


class Sr3Step(nn.Module):
    """``x`` (1, 6, H, W), the enlarged picture and x_t, and ``timestep`` int64 (1,) -> noise (1, 3, H, W)."""

    def __init__(self, module: Sr3) -> None:
        super().__init__()
        self.encoding = fold(module.encoding)
        self.head, self.norm, self.tail = fold(module.head), fold(module.norm), fold(module.tail)
        self.encoder, self.decoder = (
            nn.ModuleList(nn.ModuleList(fold(block) for block in level) for level in part)  # type: ignore[attr-defined]
            for part in (module.encoder, module.decoder)
        )
        self.downs = nn.ModuleList(fold(down) for down in module.downs)
        self.middle1, self.attention, self.middle2 = (
            fold(part) for part in (module.middle1, module.attention, module.middle2)
        )
        self.ups = nn.ModuleList(NearestUp(up) for up in module.ups)  # type: ignore[arg-type]

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        encoding = self.encoding(timestep.float().reshape(1, 1, 1, 1))
        h = self.head(x).contiguous(memory_format=torch.channels_last)
        skips = [h]
        for level, blocks in enumerate(self.encoder):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(h, encoding)
                skips.append(h)
            if level < len(self.downs):
                h = self.downs[level](h)
                skips.append(h)
        h = self.middle2(self.attention(self.middle1(h, encoding)), encoding)
        for level, blocks in enumerate(self.decoder):
            for block in blocks:  # type: ignore[attr-defined]
                h = block(torch.cat([h, skips.pop()], dim=1), encoding)
            if level < len(self.ups):
                h = self.ups[level](h)
        return self.tail(self.norm(h)).contiguous(memory_format=torch.contiguous_format)


@fold_rule(Sr3Block)
def _block(module: Sr3Block) -> FoldedSr3Block:
    return FoldedSr3Block(module)


@fold_rule(Sr3)
def _sr3(module: Sr3) -> Sr3Step:
    return Sr3Step(module)
