"""Lowering of a deploy form to a .pte: our partitions, XNNPACK for the float rest, dynamic height and width."""

import logging
import math
import operator
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import EdgeCompileConfig, EdgeProgramManager, to_edge_transform_and_lower
from executorch.exir.lowered_backend_module import executorch_call_delegate
from torch import nn
from torch.export import Dim, ExportedProgram, export

from bitsr.export.delegation import OURS, DelegationTable
from bitsr.export.errors import ExportError
from bitsr.export.executorch.graph import op_name
from bitsr.export.executorch.partitioner import BACKEND_ID, BitsrPartitioner

XNNPACK = "XNNPACK"
PORTABLE = "ExecuTorch kernels"


@dataclass(frozen=True)
class Lowered:
    """A lowered model: the bytes of the .pte, where its ops run, and the arena that its maximum size plans."""

    pte: bytes
    table: DelegationTable
    arena_bytes: int


def capture(module: nn.Module, *, channels: int, max_pixels: int, multiple: int = 1) -> ExportedProgram:
    """``torch.export`` with dynamic height and width.

    The runtime bounds the number of elements, not the sides, so that both sides are given the same maximum: the
    largest with ``side * side <= max_pixels``. Every picture (1, channels, H, W) with ``H * W`` up to
    ``side * side`` runs.

    Raises:
        ExportError: the budget is below 32 x 32 pixels, or the network does not allow dynamic sizes.
    """
    side = math.isqrt(max_pixels) // multiple * multiple
    if side < 32:
        raise ExportError(f"the pixel budget is {max_pixels}, expected at least 1024 (32 x 32); raise it")
    # The sides differ, so that the tracer does not take them for the same dimension.
    example = torch.rand(1, channels, 24 // multiple * multiple or multiple, 32 // multiple * multiple or 2 * multiple)
    sizes = {}
    for axis, name in ((2, "height"), (3, "width")):
        if multiple == 1:
            sizes[axis] = Dim(name, min=2, max=side)
        else:
            sizes[axis] = multiple * Dim(f"{name}_blocks", min=1, max=side // multiple)
    try:
        with torch.no_grad(), _quiet():
            return export(module, (example,), dynamic_shapes=(sizes,), strict=False)
    except (torch._dynamo.exc.UserError, RuntimeError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ExportError(f"torch.export can not capture {type(module).__name__} with dynamic sizes: {first_line}") from error


def lower(module: nn.Module, *, channels: int, max_pixels: int, multiple: int = 1, ours: bool = True) -> Lowered:
    """Lower a deploy form. ``ours=False`` leaves everything to XNNPACK and ExecuTorch's kernels (a float twin).

    Raises:
        ExportError: the module can not be captured, or an op of ours was not lowered to our backend.
    """
    program = capture(module, channels=channels, max_pixels=max_pixels, multiple=multiple)
    partitioner = BitsrPartitioner()
    partitioners = [partitioner, XnnpackPartitioner()] if ours else [XnnpackPartitioner()]
    with _quiet():
        edge = to_edge_transform_and_lower(
            program, partitioner=partitioners, compile_config=EdgeCompileConfig(_check_ir_validity=True)
        )
    table = delegation_table(edge, partitioner.refusals, ours=ours)
    left = table.not_lowered()
    if left:
        details = "; ".join(f"{row.op} x{row.count}: {row.reason}" for row in left)
        raise ExportError(f"not every binary op was lowered to {BACKEND_ID}, so the .pte would not run: {details}")
    with _quiet():
        executorch = edge.to_executorch()
    arenas = executorch.executorch_program.execution_plan[0].non_const_buffer_sizes
    return Lowered(bytes(executorch.buffer), table, sum(arenas))


def delegation_table(edge: EdgeProgramManager, refusals: dict[str, str], *, ours: bool = True) -> DelegationTable:
    """Every op of the lowered program with the place where it runs."""
    ops: list[tuple[str, str, str]] = []
    partitions: dict[str, int] = {}
    graph_module = edge.exported_program().graph_module
    for node in _calls(graph_module.graph):
        if node.target is executorch_call_delegate:
            lowered = getattr(graph_module, node.args[0].target)  # type: ignore[union-attr]
            is_ours = lowered.backend_id == BACKEND_ID
            place = OURS if is_ours else XNNPACK
            partitions[place] = partitions.get(place, 0) + 1
            for inner in _calls(lowered.original_module.graph_module.graph):
                ops.append((op_name(inner.target), place, "" if is_ours else "float layer"))
        else:
            name = op_name(node.target)
            if name.startswith("bitsr::"):
                reason = refusals.get(node.name, f"{BACKEND_ID} was not asked" if not ours else "not claimed")
            else:
                reason = "XNNPACK does not take it"
            ops.append((name, PORTABLE, reason))
    return DelegationTable.from_ops(ops, partitions)


def _calls(graph: torch.fx.Graph) -> Iterator[torch.fx.Node]:
    return (node for node in graph.nodes if node.op == "call_function" and node.target is not operator.getitem)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' deprecation warnings and info logs out of the numbered steps; errors still pass."""
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(previous)
