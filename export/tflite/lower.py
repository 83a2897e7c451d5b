"""Lowering of a deploy form to a .tflite."""

import math
from collections import Counter

from torch import Tensor, nn

from bitsr.artifact.flatbuffer import GraphOp, graph_ops
from bitsr.artifact.program import CUSTOM_OPS
from bitsr.common.quiet import quiet, silent_stderr
from bitsr.export.delegation import OURS, DelegationTable, Lowered
from bitsr.export.errors import ExportError

with quiet(), silent_stderr():  # TensorFlow logs from native code before it can be told not to
    # First torch's compiler: its Triton, loaded after TensorFlow, crashes the process (both bring LLVM along).
    import torch._dynamo  # noqa: F401

    from bitsr.export.tflite.from_onnx import to_int8, to_tflite
    from bitsr.export.tflite.to_onnx import to_onnx

LITERT = "LiteRT (XNNPACK)"


def lower(
    module: nn.Module,
    *,
    channels: int,
    max_pixels: int,
    ours: bool = True,
    example_inputs: tuple[Tensor, ...] | None = None,
) -> Lowered:
    """Lower a deploy form. ``ours=False`` writes the same numbers in stock ops, without the delegate.

    Maps of the .tflite are (1, H, W, C) with dynamic H and W. It plans no memory: LiteRT does when a size is known.
    ``example_inputs`` are of the only size that it shall take, the first of them a map; its pixels are the budget then.

    Raises:
        ExportError: the module can not be traced or converted, or an op of ours was lost on the way.
    """
    side = math.isqrt(max_pixels)
    if example_inputs is None and side < 32:
        raise ExportError(f"the pixel budget is {max_pixels}, expected at least 1024 (32 x 32); raise it")
    graph, min_side = to_onnx(module, channels=channels, max_pixels=max_pixels, example_inputs=example_inputs)
    content = to_tflite(graph, fused=ours)
    ops = graph_ops(content, name="the converted model")
    wanted = Counter(node.op_type for node in graph.graph.node if node.op_type in CUSTOM_OPS) if ours else Counter()
    got = Counter(op.name for op in ops if op.custom)
    if got != wanted:
        raise ExportError(
            f"the converter did not keep the custom ops: expected {dict(wanted)}, got {dict(got)}; "
            "install the pinned versions of bitsr[export]"
        )
    pixels = side * side if example_inputs is None else example_inputs[0].shape[2] * example_inputs[0].shape[3]
    return Lowered(content, delegation_table(ops), arena_bytes=0, max_pixels=pixels, min_side=min_side)


def quantize(module: nn.Module, *, channels: int, max_pixels: int, samples: list[Tensor]) -> bytes:
    """A float deploy form as an int8 .tflite, in and out int8 as well: an opponent in comparisons of speed.

    ``samples`` are inputs (1, C, H, W), whose values calibrate the ranges.

    Raises:
        ExportError: the module can not be traced or converted, or has an op of ours, which has no int8 form.
    """
    graph, _ = to_onnx(module, channels=channels, max_pixels=max_pixels)
    if any(node.op_type in CUSTOM_OPS for node in graph.graph.node):
        raise ExportError(
            f"{type(module).__name__} has binary layers, which have no int8 form; quantize float networks"
        )
    return to_int8(graph, samples=[sample.permute(0, 2, 3, 1).contiguous().numpy() for sample in samples])


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
