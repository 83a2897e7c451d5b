"""XNNPACK's partitioner without the work that finds nothing: half of an export's time otherwise (1.5.1)."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from executorch.backends.xnnpack import xnnpack_preprocess
from executorch.backends.xnnpack._passes import XNNPACKPassManager
from executorch.backends.xnnpack._passes.convert_to_sdpa import ConvertToSDPAPass
from executorch.backends.xnnpack._passes.convert_to_upsample_bilinear2d import ConvertToUpsampleBilinear2d
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir.dialects._ops import ops as exir_ops
from torch.export import ExportedProgram

# Passes that export example networks to look for them, and an op that each of those has.
_PATTERNS = {
    ConvertToSDPAPass: exir_ops.edge.aten._softmax.default,
    ConvertToUpsampleBilinear2d: exir_ops.edge.aten.index.Tensor,
}


class Xnnpack(XnnpackPartitioner):  # type: ignore[misc]
    """It asks for ops to be kept only where there are any: else the graph is traced twice more."""

    def ops_to_not_decompose(self, ep: ExportedProgram) -> tuple[list[Any], Callable[[torch.fx.Node], bool] | None]:
        kept, check = super().ops_to_not_decompose(ep)
        called = {node.target for node in ep.graph.nodes}
        return (kept, check) if called.intersection(kept) else ([], None)


class _NeededPasses(XNNPACKPassManager):  # type: ignore[misc]
    def __init__(self, exported_program: ExportedProgram, passes: list[Any] | None = None) -> None:
        super().__init__(exported_program, passes)
        called = {node.target for node in exported_program.graph.nodes}
        every: list[Any] = vars(self)["passes"]
        self.passes = [one for one in every if one not in _PATTERNS or _PATTERNS[one] in called]


@contextmanager
def needed_passes() -> Iterator[None]:
    """Within it XNNPACK's partitions are lowered by the passes that can find something in them."""
    xnnpack_preprocess.XNNPACKPassManager = _NeededPasses
    try:
        yield
    finally:
        xnnpack_preprocess.XNNPACKPassManager = XNNPACKPassManager
