"""Ops of PyTorch that onnx2tf has no right form of (1.28.8), as nodes of ours that become stock ops of TensorFlow.

They are replaced where a network calls them, whatever module does: no LiteRT op is an error function, and onnx2tf loses
the sizes of a reflecting pad.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bitsr.export.tflite.nodes import DOMAIN, ERF, GELU, REFLECT_PAD


def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x * x * x)))
    return stock_node(GELU, [x], {}, tuple(x.shape))


def _erf(x: Tensor) -> Tensor:
    return stock_node(ERF, [x], {}, tuple(x.shape))


def _reflection_pad2d(x: Tensor, padding: list[int]) -> Tensor:
    left, right, top, bottom = padding
    *outer, height, width = x.shape
    attributes = {"left": left, "right": right, "top": top, "bottom": bottom}
    return stock_node(REFLECT_PAD, [x], attributes, (*outer, height + top + bottom, width + left + right))


def stock_node(name: str, given: list[Tensor], attributes: dict[str, Any], shape: tuple[Any, ...]) -> Tensor:
    """A node of domain ``bitsr`` with one float32 output."""
    return torch.onnx.ops.symbolic(f"{DOMAIN}::{name}", given, attributes, dtype=torch.float32, shape=shape, version=1)


# By the op that they replace.
STOCK_NODES: dict[Any, Callable[..., Tensor]] = {
    torch.ops.aten.gelu.default: _gelu,
    torch.ops.aten.erf.default: _erf,
    torch.ops.aten.reflection_pad2d.default: _reflection_pad2d,
}
