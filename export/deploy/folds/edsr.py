"""Fold of EDSR and SRResNet: no binary layer, the mean of the output is folded into the last convolution."""

from torch import nn

from bitsr.export.deploy.folds.common import fold_head, fold_tail
from bitsr.export.deploy.layers import AddInput, FoldedBackbone
from bitsr.export.deploy.registry import fold, folds
from bitsr.training.models.edsr import Edsr


@folds(Edsr)
def fold_edsr(module: Edsr) -> FoldedBackbone:
    upsampler: list[nn.Module] = []
    for conv, factor in zip(module.upsampler.convs, module.upsampler.factors, strict=True):
        upsampler += [fold(conv), nn.PixelShuffle(factor)]
    return FoldedBackbone(
        mean=module.normalize.mean,
        head=fold_head(module.head, module.normalize),
        body=AddInput(nn.Sequential(fold(module.body), fold(module.body_end))),
        tail=nn.Sequential(*upsampler, fold_tail(module.tail, mean=module.normalize.mean)),
    )
