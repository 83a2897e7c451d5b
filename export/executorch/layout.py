"""Contiguous maps for ExecuTorch's own kernels, many of which take no channels-last ones (1.5.1).

A network's body is channels-last, for our kernels and XNNPACK's. An op in it that neither takes is ExecuTorch's: most
of its kernels refuse other dimension orders, or mix them up. So such an op is given contiguous maps, and its result
is made channels-last again.
"""

from typing import Any

import torch
from executorch.exir.dialects._ops import ops as exir_ops
from executorch.exir.lowered_backend_module import executorch_call_delegate
from torch.fx.passes.infra.pass_base import PassBase, PassResult

_COPY = exir_ops.edge.dim_order_ops._to_dim_order_copy.default
_NCHW, _NHWC = [0, 1, 2, 3], [0, 2, 3, 1]
# Element by element, whatever the order of the memory, and means over a whole map: ``aten::NAME``.
_ANY_ORDER = frozenset(
    [
        "abs",
        "add",
        "bitwise_not",
        "clamp",
        "div",
        "eq",
        "exp",
        "ge",
        "gelu",
        "gt",
        "hardtanh",
        "le",
        "leaky_relu",
        "logical_not",
        "lt",
        "maximum",
        "mean",
        "minimum",
        "mul",
        "ne",
        "neg",
        "pow",
        "reciprocal",
        "relu",
        "rsqrt",
        "sigmoid",
        "sign",
        "sqrt",
        "sub",
        "tanh",
        "where",
    ]
)


def needs_contiguous_kernels(graph: torch.fx.Graph) -> bool:
    """Whether :class:`ContiguousKernels` would change anything."""
    return any(
        is_kernel(node) and any(_is_channels_last(one.meta.get("val")) for one in (node, *node.all_input_nodes))
        for node in graph.nodes
    )


class ContiguousKernels(PassBase):
    """Run after the delegates took theirs."""

    def call(self, graph_module: torch.fx.GraphModule) -> PassResult:
        changed = False
        for node in list(graph_module.graph.nodes):
            if is_kernel(node):
                changed = _make_contiguous(graph_module.graph, node) or changed
        if changed:
            graph_module.recompile()
        return PassResult(graph_module, changed)


def is_kernel(node: torch.fx.Node) -> bool:
    """An op of ExecuTorch's own kernels that may not take every order."""
    if node.op != "call_function" or node.target is executorch_call_delegate:
        return False
    schema = getattr(node.target, "_schema", None)
    namespace, _, name = ("" if schema is None else str(schema.name)).partition("::")
    return namespace == "aten" and name not in _ANY_ORDER and not name.startswith("sym_")


def _make_contiguous(graph: torch.fx.Graph, node: torch.fx.Node) -> bool:
    mixed = [source for source in node.all_input_nodes if _is_channels_last(source.meta.get("val"))]
    for source in mixed:
        with graph.inserting_before(node):
            copy = _copy(graph, source, _NCHW, source.meta["val"].contiguous())
        node.replace_input_with(source, copy)
    value: Any = node.meta.get("val")
    if not _is_channels_last(value):
        return bool(mixed)
    node.meta["val"] = value.contiguous()
    with graph.inserting_after(node):
        copy = _copy(graph, node, _NHWC, value)
    node.replace_all_uses_with(copy, delete_user_cb=lambda user: user is not copy)
    return True


def _copy(graph: torch.fx.Graph, source: torch.fx.Node, order: list[int], value: torch.Tensor) -> torch.fx.Node:
    copy = graph.call_function(_COPY, (source,), {"dtype": value.dtype, "dim_order": order})
    copy.meta = {key: item for key, item in source.meta.items() if key in ("nn_module_stack", "stack_trace")}
    copy.meta["val"] = value
    return copy


def _is_channels_last(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.dim() == 4 and list(value.dim_order()) == _NHWC
