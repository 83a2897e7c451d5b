"""Lowering of a deploy form to a .tflite: directly where all of it is ours, else through ONNX and TensorFlow."""

import math
from types import ModuleType

from torch import Tensor, nn

from bitsr.artifact.flatbuffer import GraphOp, graph_ops
from bitsr.artifact.program import CUSTOM_OPS, Program, version_of
from bitsr.common.errors import MissingExtraError
from bitsr.common.quiet import quiet
from bitsr.export.capture import capture
from bitsr.export.delegation import OURS, DelegationTable, Lowered
from bitsr.export.errors import ExportError
from bitsr.export.tflite.from_program import from_program
from bitsr.export.whole import may_be_whole, whole_program, with_ends

LITERT = "LiteRT (XNNPACK)"


def lower(
    module: nn.Module,
    *,
    channels: int,
    max_pixels: int,
    ours: bool = True,
    example_inputs: tuple[Tensor, ...] | None = None,
    pixels: bool = False,
) -> Lowered:
    """Lower a deploy form. ``ours=False`` writes the same numbers in stock ops, without the delegate.

    Maps of the .tflite are (1, H, W, C) with dynamic H and W. It plans no memory: LiteRT does when a size is known.
    ``example_inputs`` are of the only size that it shall take, the first of them a map; its pixels are the budget then.
    ``pixels``: input and output are uint8.

    Raises:
        ExportError: the module can not be traced or converted, an op of ours was lost on the way, or not all of it is
            ours where it shall take pixels.
        MissingExtraError: not all of it is ours, and onnx2tf or TensorFlow is not installed.
    """
    side = math.isqrt(max_pixels)
    if example_inputs is None and side < 32:
        raise ExportError(f"the pixel budget is {max_pixels}, expected at least 1024 (32 x 32); raise it")
    program: Program | None = None
    min_side = 1
    if ours and example_inputs is None and may_be_whole(module):
        captured, min_side = capture(module, channels=channels, side=side, refuse=lambda _: None)
        program = whole_program(captured)
    program = with_ends(program, pixels=pixels)
    if program is not None:
        return Lowered(
            from_program(program),
            DelegationTable.of_program(program),
            arena_bytes=0,
            max_pixels=side * side,
            min_side=min_side,
            blob_version=version_of(program),
        )
    content, min_side = _through_onnx().convert(
        module, channels=channels, max_pixels=max_pixels, ours=ours, example_inputs=example_inputs
    )
    table = delegation_table(graph_ops(content, name="the converted model"))
    budget = side * side if example_inputs is None else example_inputs[0].shape[2] * example_inputs[0].shape[3]
    return Lowered(content, table, arena_bytes=0, max_pixels=budget, min_side=min_side)


def _through_onnx() -> ModuleType:
    """Loaded where it is needed: TensorFlow costs seconds."""
    try:
        with quiet():
            from bitsr.export.tflite import through_onnx
    except ImportError as error:
        raise MissingExtraError(
            error.name or "onnx2tf", extra="export", purpose="Exporting float layers to .tflite"
        ) from error
    return through_onnx


def delegation_table(ops: list[GraphOp]) -> DelegationTable:
    """Every op with the place where it runs, and the partitions as LiteRT will make them."""
    claimed = claim(ops)
    rows = []
    for op, ours in zip(ops, claimed, strict=True):
        name = CUSTOM_OPS[op.name].torch_ops[0] if op.name in CUSTOM_OPS else op.name
        rows.append((name, OURS, "") if ours else (name, LITERT, "float layer"))
    partitions = _partitions(ops, claimed)
    return DelegationTable.from_ops(rows, {place: count for place, count in partitions.items() if count})


def claim(ops: list[GraphOp]) -> list[bool]:
    """What the delegate claims: our ops, and additions that read from what it claims."""
    ours: set[int] = set()
    claimed = []
    for op in ops:
        takes = op.name in CUSTOM_OPS or (op.plain_add and any(tensor in ours for tensor in op.inputs))
        if takes:
            ours.update(op.outputs)
        claimed.append(takes)
    return claimed


def _partitions(ops: list[GraphOp], claimed: list[bool]) -> dict[str, int]:
    """LiteRT's rule: take all ops of one kind that can run, then all of the other, until none is left."""
    counts = {OURS: 0, LITERT: 0}
    left = list(range(len(ops)))
    pending = {tensor for op in ops for tensor in op.outputs}
    while left:
        for kind in (claimed[left[0]], not claimed[left[0]]):
            taken = False
            for index in list(left):
                if claimed[index] is kind and not any(tensor in pending for tensor in ops[index].inputs):
                    pending.difference_update(ops[index].outputs)
                    left.remove(index)
                    taken = True
            if taken:
                counts[OURS if kind else LITERT] += 1
    return counts
