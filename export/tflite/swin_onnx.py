"""SwinIR's parts that onnx2tf does not get right (1.28.8), as nodes of the ONNX graph that become stock TensorFlow ops.

onnx2tf keeps maps as (N, H, W, C) and guesses from sizes what a transposition of theirs is; windows of tokens have none
that are unambiguous. Here each part is one node, and its TensorFlow form is written for (N, H, W, C).
"""

from typing import Any

from torch import Tensor, nn

from bitsr.export.deploy.folds.swinir import FoldedWindowAttention, ShiftMask
from bitsr.export.tflite.nodes import SHIFT_MASK, WINDOW_ATTENTION
from bitsr.export.tflite.stock_nodes import stock_node


class _ShiftMaskNode(nn.Module):
    def __init__(self, _module: ShiftMask) -> None:
        super().__init__()

    def forward(self, regions: Tensor) -> Tensor:
        windows, pixels, _ = regions.shape
        return stock_node(SHIFT_MASK, [regions], {}, (windows, pixels, pixels))


class _WindowAttentionNode(nn.Module):
    def __init__(self, module: FoldedWindowAttention) -> None:
        super().__init__()
        self.attention = module

    def forward(self, qkv: Tensor, mask: Tensor | None) -> Tensor:
        batch, channels, height, width = qkv.shape
        attributes = {name: getattr(self.attention, name) for name in ("heads", "window", "scale")}
        given = [qkv, self.attention.bias] + ([] if mask is None else [mask])
        return stock_node(WINDOW_ATTENTION, given, attributes, (batch, channels // 3, height, width))


_NODES: dict[type[nn.Module], Any] = {
    ShiftMask: _ShiftMaskNode,
    FoldedWindowAttention: _WindowAttentionNode,
}


def with_window_nodes(module: nn.Module) -> nn.Module:
    """Put nodes in the place of the parts, in ``module`` itself."""
    for name, child in list(module.named_modules()):
        if type(child) in _NODES:
            module.set_submodule(name, _NODES[type(child)](child))
    return module
