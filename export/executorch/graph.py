"""What the partitioner and the backend both need to know of an edge-dialect node."""

from typing import Any

import torch
from executorch.exir.dialects._ops import ops as exir_ops
from torch._export.utils import (
    get_buffer,
    get_lifted_tensor_constant,
    get_param,
    is_buffer,
    is_lifted_tensor_constant,
    is_param,
)
from torch.export import ExportedProgram

import bitsr.export.ops  # noqa: F401 (registers the ops)

_EDGE = exir_ops.edge
BINARY_CONV2D = _EDGE.bitsr.binary_conv2d.default
CHANNEL_SHIFT_GATE = _EDGE.bitsr.channel_shift_gate.default
CHANNEL_GATE = _EDGE.bitsr.channel_gate.default
SPATIAL_GATE = _EDGE.bitsr.spatial_gate.default
QUANTIZED_SPATIAL_GATE = _EDGE.bitsr.quantized_spatial_gate.default
PIXEL_SHUFFLE = _EDGE.bitsr.pixel_shuffle.default
ADD = _EDGE.aten.add.Tensor
LAYOUT_COPIES = (_EDGE.dim_order_ops._to_dim_order_copy.default, _EDGE.dim_order_ops._clone_dim_order.default)
OUR_OPS = (BINARY_CONV2D, CHANNEL_SHIFT_GATE, CHANNEL_GATE, SPATIAL_GATE, QUANTIZED_SPATIAL_GATE, PIXEL_SHUFFLE)


def op_name(target: Any) -> str:
    """``bitsr::binary_conv2d`` for an edge or ATen op."""
    schema = getattr(target, "_schema", None)
    return schema.name if schema is not None else str(target)


def arguments(node: torch.fx.Node) -> dict[str, Any]:
    """All arguments of a call by their schema name, defaults included."""
    found: dict[str, Any] = {}
    for index, argument in enumerate(node.target._schema.arguments):  # type: ignore[union-attr]
        if index < len(node.args):
            found[argument.name] = node.args[index]
        else:
            found[argument.name] = node.kwargs.get(argument.name, argument.default_value)
    return found


def constant(program: ExportedProgram, node: Any) -> torch.Tensor | None:
    """The tensor behind a parameter, buffer or lifted constant; ``None`` for anything that is computed or given."""
    if not isinstance(node, torch.fx.Node) or node.op != "placeholder":
        return None
    if is_param(program, node):
        return get_param(program, node)
    if is_buffer(program, node):
        return get_buffer(program, node)
    if is_lifted_tensor_constant(program, node):
        return get_lifted_tensor_constant(program, node)
    return None


def fake(node: torch.fx.Node) -> torch.Tensor:
    """The fake tensor of a node with one output."""
    return node.meta["val"]
