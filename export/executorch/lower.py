"""Lowering of a deploy form to a .pte: our partitions, XNNPACK for the float rest, dynamic height and width."""

import copy
import math
import operator
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from executorch.exir import EdgeCompileConfig, EdgeProgramManager, to_edge_transform_and_lower
from executorch.exir.lowered_backend_module import executorch_call_delegate
from torch import Tensor, nn
from torch.export import ExportedProgram, export

from bitsr.artifact.program import FIRST_VERSION, version_of
from bitsr.common.errors import first_line
from bitsr.common.quiet import quiet
from bitsr.export.calls import module_of
from bitsr.export.capture import CAPTURE_ERRORS, capture
from bitsr.export.captured import op_name
from bitsr.export.delegation import OURS, DelegationTable, Lowered
from bitsr.export.errors import ExportError
from bitsr.export.executorch.layout import ContiguousKernels, is_kernel, needs_contiguous_kernels
from bitsr.export.executorch.partitioner import BACKEND_ID, BitsrPartitioner
from bitsr.export.executorch.whole import capture_program
from bitsr.export.executorch.xnnpack import Xnnpack, needed_passes
from bitsr.export.ops import memory_format
from bitsr.export.whole import may_be_whole, whole_program, with_ends

XNNPACK = "XNNPACK"
PORTABLE = "ExecuTorch kernels"


def _largest_side(max_pixels: int) -> int:
    side = math.isqrt(max_pixels)
    if side < 32:
        raise ExportError(f"the pixel budget is {max_pixels}, expected at least 1024 (32 x 32); raise it")
    return side


def capture_fixed(module: nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """``torch.export`` for the sizes of ``inputs`` alone, of which there may be several.

    Raises:
        ExportError: the network can not be captured.
    """
    try:
        with torch.no_grad(), quiet():
            return export(module, inputs, strict=False)
    except CAPTURE_ERRORS as error:
        raise ExportError(f"torch.export can not capture {type(module).__name__}: {first_line(error)}") from error


def _refuse_free_sides(program: ExportedProgram) -> None:
    """Refuse ops that make indices as long as one free side.

    The runtime plans them for the side of the largest square, while a picture of as many pixels may be longer.
    """
    for node in program.graph.nodes:
        if node.target not in _ALONG_SIDES or not _ALONG_SIDES[node.target](node):
            continue
        raise ExportError(
            f"{module_of(node)} moves pixels along a side, which ExecuTorch plans for the largest square alone; pad "
            "with zeros instead, or export to .tflite"
        )


def _rolls_sides(node: torch.fx.Node) -> bool:
    dims = node.args[2] if len(node.args) > 2 else []
    return not dims or any(dim % 4 > 1 for dim in dims)  # type: ignore[union-attr, operator]


_ALONG_SIDES: dict[Any, Callable[[torch.fx.Node], bool]] = {
    torch.ops.aten.reflection_pad2d.default: lambda _: True,
    torch.ops.aten.pad.default: lambda node: len(node.args) > 2 and node.args[2] == "reflect",
    torch.ops.aten.roll.default: _rolls_sides,
}


class _StockPixelShuffle(nn.Module):
    """A pixel shuffle for ExecuTorch's own kernels, whose views of a channels-last map give wrong values (1.5.1)."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        y = F.pixel_shuffle(x.to(memory_format=torch.contiguous_format), self.factor)
        return y.to(memory_format=memory_format(x))


def _with_stock_shuffles(module: nn.Module) -> nn.Module:
    copied = copy.deepcopy(module)
    for name, child in module.named_modules():
        if isinstance(child, nn.PixelShuffle):
            copied.set_submodule(name, _StockPixelShuffle(child.upscale_factor))
    return copied


def lower(
    module: nn.Module,
    *,
    channels: int,
    max_pixels: int,
    ours: bool = True,
    example_inputs: tuple[Tensor, ...] | None = None,
    pixels: bool = False,
) -> Lowered:
    """Lower a deploy form. ``ours=False`` leaves everything to XNNPACK and the kernels of ExecuTorch.

    ``example_inputs`` are of the only size that it shall take, the first of them a map; its pixels are the budget then.
    ``pixels``: input and output are uint8.

    Raises:
        ExportError: the budget is below 32 x 32 pixels, the module can not be captured, an op of ours was not lowered
            to our backend, or not all of it is ours where it shall take pixels.
    """
    module = module if ours else _with_stock_shuffles(module)
    if example_inputs is None:
        side = _largest_side(max_pixels)
        budget = side * side
        program, min_side = capture(module, channels=channels, side=side, refuse=_refuse_free_sides)
        whole = with_ends(whole_program(program) if ours and may_be_whole(module) else None, pixels=pixels)
        if whole is not None:
            program = capture_program(whole, side=side, min_side=min_side)
    else:
        budget = example_inputs[0].shape[2] * example_inputs[0].shape[3]
        program, min_side, whole = capture_fixed(module, example_inputs), 1, with_ends(None, pixels=pixels)
    partitioner = BitsrPartitioner()
    partitioners = [partitioner, Xnnpack()] if ours else [Xnnpack()]
    with quiet(), _refusals(module), needed_passes():
        edge = to_edge_transform_and_lower(
            program, partitioner=partitioners, compile_config=EdgeCompileConfig(_check_ir_validity=True)
        )
    table = (
        delegation_table(edge, partitioner.refusals, ours=ours) if whole is None else DelegationTable.of_program(whole)
    )
    left = table.not_lowered()
    if left:
        details = "; ".join(f"{row.op} x{row.count}: {row.reason}" for row in left)
        raise ExportError(f"not every binary op was lowered to {BACKEND_ID}, so the .pte would not run: {details}")
    framework_ops = [module_of(node) for node in _calls(edge.exported_program().graph) if is_kernel(node)]
    with quiet(), _refusals(module):
        if needs_contiguous_kernels(edge.exported_program().graph):
            edge = edge.transform([ContiguousKernels()])
        executorch = edge.to_executorch()
    arenas = executorch.executorch_program.execution_plan[0].non_const_buffer_sizes
    return Lowered(
        bytes(executorch.buffer),
        table,
        arena_bytes=sum(arenas),
        max_pixels=budget,
        min_side=min_side,
        framework_ops=tuple(dict.fromkeys(framework_ops)),
        blob_version=FIRST_VERSION if whole is None else version_of(whole),
    )


@contextmanager
def _refusals(module: nn.Module) -> Iterator[None]:
    """ExecuTorch refuses an op by whatever exception comes first."""
    try:
        yield
    except ExportError:
        raise
    except Exception as error:
        raise ExportError(
            f"ExecuTorch can not lower {type(module).__name__}: {first_line(error)}; write the op that it names with "
            "other ops"
        ) from error


def delegation_table(edge: EdgeProgramManager, refusals: dict[str, str], *, ours: bool = True) -> DelegationTable:
    """Every op of the lowered program with the place where it runs."""
    ops: list[tuple[str, str, str]] = []
    partitions: dict[str, int] = {}
    graph_module = edge.exported_program().graph_module
    for node in _calls(graph_module.graph):
        if node.target is executorch_call_delegate:
            lowered = graph_module.get_submodule(str(node.args[0].target))  # type: ignore[union-attr]
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
