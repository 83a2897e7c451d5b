"""Networks with ops of others on their way to .tflite: PyTorch -> ONNX -> onnx2tf. Loads TensorFlow."""

import sys
from collections import Counter

from torch import Tensor, nn

from bitsr.artifact.flatbuffer import graph_ops
from bitsr.artifact.program import CUSTOM_OPS
from bitsr.common.quiet import quiet, silent_stderr
from bitsr.export.errors import ExportError

_RECURSION_LIMIT = sys.getrecursionlimit()
with quiet(), silent_stderr():  # TensorFlow logs from native code before it can be told not to
    # First torch's compiler: its Triton, loaded after TensorFlow, crashes the process (both bring LLVM along).
    import torch._dynamo  # noqa: F401

    from bitsr.export.tflite.from_onnx import to_int8, to_tflite
    from bitsr.export.tflite.to_onnx import to_onnx
# onnx2tf lifts the limit for the whole process, in which a file of brackets would then overflow the stack.
sys.setrecursionlimit(_RECURSION_LIMIT)


def convert(
    module: nn.Module, *, channels: int, max_pixels: int, ours: bool, example_inputs: tuple[Tensor, ...] | None
) -> tuple[bytes, int]:
    """The .tflite of a deploy form, as :func:`bitsr.export.tflite.lower.lower`; the number is its least side.

    Raises:
        ExportError: the module can not be traced or converted, or an op of ours was lost on the way.
    """
    graph, min_side = to_onnx(module, channels=channels, max_pixels=max_pixels, example_inputs=example_inputs)
    content = to_tflite(graph, fused=ours)
    wanted = Counter(node.op_type for node in graph.graph.node if node.op_type in CUSTOM_OPS) if ours else Counter()
    got = Counter(op.name for op in graph_ops(content, name="the converted model") if op.custom)
    if got != wanted:
        raise ExportError(
            f"the converter did not keep the custom ops: expected {dict(wanted)}, got {dict(got)}; "
            "install the pinned versions of bitsr[export]"
        )
    return content, min_side


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
