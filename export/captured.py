"""What a captured graph says of its nodes, in ATen's or in ExecuTorch's edge dialect: calls, constants, copies."""

from typing import Any

import torch
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
from bitsr.artifact.program import TORCH_OPS, OpInfo
from bitsr.export.calls import Call, bind, read_call, schema_name

# Ops that change at most the order in which a map lies in memory, where neither shape nor type change.
_LAYOUT_COPIES = frozenset(
    [
        "aten::clone",
        "aten::contiguous",
        "aten::to.dtype_layout",
        "dim_order_ops::_clone_dim_order",
        "dim_order_ops::_to_dim_order_copy",
    ]
)

# Checks in a capture with free sides, which say nothing that the graph does not.
_CHECKS = frozenset(["aten::_assert_tensor_metadata", "aten::sym_constrain_range_for_size"])


def op_name(target: Any) -> str:
    """``bitsr::binary_conv2d``, ``aten::add`` for an edge or ATen op, as people write it."""
    schema = getattr(target, "_schema", None)
    return schema.name if schema is not None else str(target)


def op_info(node: torch.fx.Node) -> OpInfo | None:
    """The op of the table that a node calls; ``None`` for any other."""
    schema = getattr(node.target, "_schema", None) if node.op == "call_function" else None
    return None if schema is None else TORCH_OPS.get(schema_name(schema))


def arguments(node: torch.fx.Node) -> dict[str, Any]:
    """All arguments of a call by their schema name, defaults included."""
    return bind(node.target._schema, node.args, node.kwargs)  # type: ignore[union-attr]


def call_of(program: ExportedProgram, node: torch.fx.Node) -> Call:
    """The call of an op of the table; its inputs and constants are nodes."""
    return read_call(
        schema_name(node.target._schema),  # type: ignore[union-attr]
        arguments(node),
        shape=lambda source: fake(source).shape,
        is_constant=lambda source: constant(program, source) is not None,
    )


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


def is_layout_copy(node: torch.fx.Node) -> bool:
    """A copy that changes nothing but the dimension order: a delegate writes its outputs in the order asked for."""
    schema = getattr(node.target, "_schema", None)
    if schema is None or schema_name(schema) not in _LAYOUT_COPIES:
        return False
    source = node.args[0]
    return isinstance(source, torch.fx.Node) and fake(source).dtype == fake(node).dtype


def is_check(node: torch.fx.Node) -> bool:
    """A call that computes nothing, but makes sure of a type or a side."""
    schema = getattr(node.target, "_schema", None)
    return schema is not None and schema.name in _CHECKS
