"""Folds of SR3, the float reference of the diffusion models: one step, with the inputs of BI-DiffSR's."""

import torch
from torch import Tensor, nn

from bitsr.export.deploy.folds.common import fold_all, with_weight
from bitsr.export.deploy.folds.diffusion import NearestEnlargement, pixel_linear
from bitsr.export.deploy.registry import fold, folds
from bitsr.training.diffusion.unet import behind_concatenation, levels, run_unet, without_context
from bitsr.training.models.sr3 import NearestUp, Sr3, Sr3Block


@folds(Sr3Block)
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


@folds(NearestUp)
class FoldedNearestUp(nn.Module):
    """Nearest enlargement by 2 and the convolution."""

    def __init__(self, module: NearestUp) -> None:
        super().__init__()
        self.enlarge = NearestEnlargement(module.in_channels)
        self.conv = with_weight(module, module.weight, module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.enlarge(x))


@folds(Sr3)
class FoldedSr3(nn.Module):
    """``x`` (1, 6, H, W), the enlarged picture and x_t, and ``timestep`` int64 (1,) -> noise (1, 3, H, W)."""

    def __init__(self, module: Sr3) -> None:
        super().__init__()
        self.encoding = fold(module.encoding)
        self.head, self.norm, self.tail = fold(module.head), fold(module.norm), fold(module.tail)
        self.encoder, self.decoder = fold_all(module.encoder), fold_all(module.decoder)
        self.downs, self.ups = fold_all(module.downs), fold_all(module.ups)
        self.middle1, self.attention, self.middle2 = (
            fold(part) for part in (module.middle1, module.attention, module.middle2)
        )

    def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
        h = run_unet(
            self.head(x).contiguous(memory_format=torch.channels_last),
            self.encoding(timestep.float().reshape(1, 1, 1, 1)),
            encoder=levels(self.encoder),
            downs=[without_context(down) for down in self.downs],
            middle=[self.middle1, without_context(self.attention), self.middle2],
            decoder=[[behind_concatenation(block) for block in blocks] for blocks in levels(self.decoder)],
            ups=[without_context(up) for up in self.ups],
        )
        return self.tail(self.norm(h)).contiguous(memory_format=torch.contiguous_format)
