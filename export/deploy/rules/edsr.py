"""Fold rule of EDSR and SRResNet: no binary layer, the mean goes into the tail."""

import torch
from torch import Tensor, nn

from bitsr.export.deploy.registry import fold, fold_rule
from bitsr.export.deploy.rules.folding import fold_head, fold_tail
from bitsr.training.models.edsr import Edsr


class FloatSuperResolver(nn.Module):
    """EDSR and SRResNet: plain float layers; the mean of the output is folded into the last convolution."""

    mean: Tensor

    def __init__(self, module: Edsr) -> None:
        super().__init__()
        self.register_buffer("mean", module.normalize.mean.detach().clone())
        self.head = fold_head(module.head, module.normalize)
        self.body = fold(module.body)
        self.body_end = fold(module.body_end)
        self.convs = nn.ModuleList(fold(conv) for conv in module.upsampler.convs)
        self.shuffles = nn.ModuleList(nn.PixelShuffle(factor) for factor in module.upsampler.factors)
        self.tail = fold_tail(module.tail, mean=module.normalize.mean)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H s, W s), not clamped."""
        head = self.head(x - self.mean).to(memory_format=torch.channels_last)
        y = self.body_end(self.body(head)) + head
        for conv, shuffle in zip(self.convs, self.shuffles, strict=True):
            y = shuffle(conv(y))
        return self.tail(y).to(memory_format=torch.contiguous_format)


@fold_rule(Edsr)
def _edsr(module: Edsr) -> FloatSuperResolver:
    return FloatSuperResolver(module)
