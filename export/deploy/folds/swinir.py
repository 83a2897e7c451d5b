"""Folds of SwinIR and of its form with binary linear layers (FRBT)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.export.deploy.folds.common import fold_conv, fold_head, fold_tail
from bitsr.export.deploy.folds.scales import FoldedScalesConv
from bitsr.export.deploy.layers import ChannelNorm, FusedBinaryConv2d, PixelShuffle
from bitsr.export.deploy.registry import fold, folds
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import swinir
from bitsr.training.models.swinir import (
    MASKED,
    SwinGroup,
    SwinIr,
    SwinLayer,
    WindowAttention,
    attend,
    fill_windows,
    shifted_regions,
)


def shared_regions(height: int, width: int, size: int) -> Tensor:
    """One-hot number of the part that each pixel of a shifted window is from: (windows, size * size, 4).

    A window has at most four of the picture's nine parts, in two rows and two columns.
    """
    regions = shifted_regions(height, width, size)
    number = 2 * (regions >= 6).long() + (regions % 3 == 2).long()
    return F.one_hot(number, 4).float()


folds(swinir.ChannelNorm)(ChannelNorm)


@folds(WindowAttention)
class FoldedWindowAttention(nn.Module):
    """:class:`~bitsr.training.models.swinir.WindowAttention`, its bias worked out. (N, 3C, H, W) -> (N, C, H, W)."""

    bias: Tensor

    def __init__(self, module: WindowAttention) -> None:
        super().__init__()
        self.heads = module.heads
        self.window = module.window
        self.scale = module.scale
        self.register_buffer("bias", module.bias().detach().clone(memory_format=torch.contiguous_format))

    def forward(self, qkv: Tensor, mask: Tensor | None) -> Tensor:
        return attend(qkv, self.bias, mask, heads=self.heads, window=self.window, scale=self.scale).contiguous()


class ShiftMask(nn.Module):
    """``(R R^T - 1) * 100``: the mask of one-hot parts R (windows, size * size, 4), which a file holds in little."""

    def forward(self, regions: Tensor) -> Tensor:
        return (torch.bmm(regions, regions.transpose(1, 2)) - 1) * -MASKED


@folds(SwinLayer)
class FoldedSwinLayer(nn.Module):
    """:class:`~bitsr.training.models.swinir.SwinLayer`; binary layers add its skips."""

    def __init__(self, module: SwinLayer) -> None:
        super().__init__()
        self.shift = module.shift
        self.norm1 = fold(module.norm1)
        self.qkv = _layer(module.qkv)
        self.attention = fold(module.attention)
        self.proj = _layer(module.proj)
        self.norm2 = fold(module.norm2)
        self.hidden = fold(module.hidden)
        self.fc2 = _layer(module.fc2)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        y = self.norm1(x)
        y = self.qkv(_rolled(y, self.shift) if self.shift else y)
        y = self.attention(y, mask if self.shift else None)
        x = _with_skip(self.proj, _rolled(y, -self.shift) if self.shift else y, x)
        return _with_skip(self.fc2, self.hidden(self.norm2(x)), x)


def _layer(module: nn.Module) -> nn.Module:
    return fold_conv(module) if isinstance(module, BinaryConv2d) else fold(module)


def _with_skip(layer: nn.Module, y: Tensor, x: Tensor) -> Tensor:
    if isinstance(layer, (FusedBinaryConv2d, FoldedScalesConv)):
        return layer(y, residual=x)
    return x + layer(y)


def _rolled(x: Tensor, shift: int) -> Tensor:
    """``torch.roll`` by ``-shift`` rows and columns, of slices: the runtimes have them."""
    x = torch.cat([x[:, :, shift:], x[:, :, :shift]], dim=2)
    return torch.cat([x[..., shift:], x[..., :shift]], dim=3)


@folds(SwinGroup)
class FoldedSwinGroup(nn.Module):
    """:class:`~bitsr.training.models.swinir.SwinGroup` with the mask from outside."""

    def __init__(self, module: SwinGroup) -> None:
        super().__init__()
        self.layers = nn.ModuleList(fold(layer) for layer in module.layers)
        self.end = fold(module.end)
        self.skip = module.skip

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        y = x
        for layer in self.layers:
            y = layer(y, mask)
        y = self.end(y)
        return y + x if self.skip else y


@folds(SwinIr)
class FoldedSwinIr(nn.Module):
    """:class:`~bitsr.training.models.swinir.SwinIr`; the mask of the size of artifacts is prepared."""

    mean: Tensor
    regions: Tensor

    def __init__(self, module: SwinIr) -> None:
        super().__init__()
        self.scale = module.scale
        self.window = module.window
        self.tile = module.fixed_size
        self.register_buffer("mean", module.normalize.mean.detach().clone())
        self.register_buffer("regions", shared_regions(self.tile, self.tile, self.window))
        self.mask = ShiftMask()
        self.head = fold_head(module.head, module.normalize)
        self.head_norm = fold(module.head_norm)
        self.body = nn.ModuleList(fold(group) for group in module.body)
        self.norm = fold(module.norm)
        self.body_end = fold(module.body_end)
        self.tail = fold_tail(module.tail, mean=module.normalize.mean, pixels=module.scale**2)
        self.shuffle = PixelShuffle(module.scale)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H s, W s), not clamped."""
        height, width = x.shape[2:]
        x = fill_windows(x - self.mean, self.window)
        regions = self.regions
        if x.shape[2:] != (self.tile, self.tile):
            regions = shared_regions(x.shape[2], x.shape[3], self.window)
        mask = self.mask(regions)
        head = self.head(x)
        y = self.head_norm(head)
        for group in self.body:
            y = group(y, mask)
        y = self.shuffle(self.tail(self.body_end(self.norm(y)) + head))
        return y[..., : height * self.scale, : width * self.scale].contiguous()
