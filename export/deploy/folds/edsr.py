"""Fold of EDSR and SRResNet: no binary layer, range and mean of the values are folded into the outer convolutions."""

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
    normalize = module.normalize
    return FoldedBackbone(
        mean=normalize.mean,
        head=fold_head(module.head, normalize),
        body=AddInput(nn.Sequential(fold(module.body), fold(module.body_end))),
        tail=nn.Sequential(*upsampler, fold_tail(module.tail, input_scale=normalize.input_scale, mean=normalize.mean)),
    )
