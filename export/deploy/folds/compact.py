"""Folds of the compact float networks."""

import torch
from torch import Tensor, nn

from bitsr.export.deploy.layers import PixelShuffle
from bitsr.export.deploy.registry import fold, folds
from bitsr.training.models.compact import EdgeConv, PlainNetwork


@folds(EdgeConv)
def fold_edge_conv(module: EdgeConv) -> nn.Conv2d:
    """The branches that ECBSR's block is trained with become one convolution."""
    with torch.no_grad():
        weight, bias = module.merged()
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 3, padding=1)
        conv.weight.copy_(weight)
        assert conv.bias is not None
        conv.bias.copy_(bias)
    return conv


@folds(PlainNetwork)
class FoldedPlainNetwork(nn.Module):
    """Layers in series and a pixel shuffle that adds the enlarged input."""

    def __init__(self, module: PlainNetwork) -> None:
        super().__init__()
        self.layers = fold(module.layers)
        self.shuffle = PixelShuffle(module.scale)
        self.nearest_skip = module.nearest_skip

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.shuffle(self.layers(x), x if self.nearest_skip else None)
        return y
