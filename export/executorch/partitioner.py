"""Which nodes our backend claims: the connected body as one partition, and pixel shuffles.

It must stand before the XNNPACK partitioner, which would otherwise take the additions out of the body.
"""

import operator

import torch
from executorch.exir.backend.canonical_partitioners.pattern_op_partitioner import generate_pattern_op_partitions
from executorch.exir.backend.partitioner import DelegationSpec, Partitioner, PartitionResult
from executorch.exir.backend.utils import tag_constant_data
from torch.export import ExportedProgram
from torch.fx.passes.operator_support import OperatorSupportBase

from bitsr.artifact.program import MAX_CHANNELS, OpKind, ValueKind
from bitsr.export.executorch.backend import BitsrBackend
from bitsr.export.executorch.graph import LAYOUT_COPIES, arguments, constant, fake, op_info

# ExecuTorch finds the backend by its class name among the subclasses that are imported.
BACKEND_ID = BitsrBackend.__name__


class BitsrPartitioner(Partitioner):  # type: ignore[misc]
    """Claims nodes for ``BitsrBackend``; ``refusals`` has the reason for each of our ops that it left."""

    def __init__(self) -> None:
        super().__init__()
        self.refusals: dict[str, str] = {}

    def partition(self, exported_program: ExportedProgram) -> PartitionResult:
        claimed = self._claim(exported_program)
        spec = DelegationSpec(BACKEND_ID, [])
        tags = {}
        for partition in generate_pattern_op_partitions(exported_program.graph_module, op_support=_InSet(claimed)):
            tag = f"bitsr{partition.id}"
            tags[tag] = spec
            for node in partition.nodes:
                node.meta["delegation_tag"] = tag
        tag_constant_data(exported_program)
        return PartitionResult(tagged_exported_program=exported_program, partition_tags=tags)

    def transform_for_pre_decomposition(self, exported_program: ExportedProgram) -> ExportedProgram:
        """Retarget ATen's pixel shuffle to ours, before it is decomposed into views and a permutation."""
        for node in exported_program.graph.nodes:
            if node.op == "call_function" and node.target == torch.ops.aten.pixel_shuffle.default:
                x, factor = node.args
                node.target = torch.ops.bitsr.pixel_shuffle.default
                node.args = (x, None, factor)
        return exported_program

    def _claim(self, program: ExportedProgram) -> set[torch.fx.Node]:
        claimed: set[torch.fx.Node] = set()
        for node in program.graph.nodes:  # in topological order, so one pass sees every claimed input
            if node.op != "call_function":
                continue
            info = op_info(node)
            if info is not None and info.kind is not OpKind.ADD:
                reason = refusal(program, node)
                if reason is None:
                    claimed.add(node)
                else:
                    self.refusals[node.name] = reason
            elif node.target is operator.getitem:
                if node.args[0] in claimed:
                    claimed.add(node)
            # Of these only what continues a claimed value: an addition among float layers stays with XNNPACK.
            elif any(source in claimed for source in node.all_input_nodes) and (
                _is_plain_add(node) or _is_layout_copy(node)
            ):
                claimed.add(node)
        return claimed


class _InSet(OperatorSupportBase):
    def __init__(self, nodes: set[torch.fx.Node]) -> None:
        super().__init__()
        self.nodes = nodes

    def is_node_supported(self, submodules: object, node: torch.fx.Node) -> bool:
        return node in self.nodes


def refusal(program: ExportedProgram, node: torch.fx.Node) -> str | None:
    """Why our runtime can not execute a ``bitsr::`` node; ``None`` if it can."""
    given, info = arguments(node), op_info(node)
    assert info is not None  # of one of our ops
    for name in {item.name for item in info.constants} - {item.name for item in info.inputs}:
        if given[name] is not None and constant(program, given[name]) is None:
            return f"{name} is computed, not a constant"
    x = fake(given["x"])
    if x.dtype != torch.float32 or x.dim() != 4:
        return f"x is {x.dtype} with {x.dim()} dimensions, expected float32 with 4"
    if tuple(x.dim_order()) not in ((0, 1, 2, 3), (0, 2, 3, 1)):
        return f"the dimension order of x is {tuple(x.dim_order())}, expected NCHW or NHWC"
    if x.shape[0] != 1:
        return f"the batch is {x.shape[0]}, expected 1"
    if int(x.shape[1]) > MAX_CHANNELS:
        return f"{x.shape[1]} channels, expected at most {MAX_CHANNELS}"
    if info.kind is OpKind.BINARY_CONV2D:
        planes, _, kernel_size, _, _ = fake(given["weight_bits"]).shape
        if kernel_size not in (1, 3):
            return f"the kernel size is {kernel_size}, expected 1 or 3"
        if planes not in (1, 2):
            return f"{planes} weight planes, expected 1 or 2"
        gain = given["spatial_gain"]
        if gain is not None and not _makes_plane(gain):
            return "the spatial gain does not come from bitsr::spatial_gate or its quantized form"
    elif "weight" in given and fake(given["weight"]).shape[-1] not in (1, 3):
        return f"the kernel size is {fake(given['weight']).shape[-1]}, expected 1 or 3"
    elif info.kind is OpKind.PIXEL_SHUFFLE and not 2 <= given["factor"] <= 8:
        return f"the factor is {given['factor']}, expected 2 to 8"
    return None


def _makes_plane(node: torch.fx.Node) -> bool:
    info = op_info(node)
    return info is not None and info.outputs[0].kind is ValueKind.PLANE


def _is_plain_add(node: torch.fx.Node) -> bool:
    """An addition of two float maps of the same shape."""
    info = op_info(node)
    if info is None or info.kind is not OpKind.ADD:
        return False
    a, b = node.args[:2]
    if not (isinstance(a, torch.fx.Node) and isinstance(b, torch.fx.Node)) or node.kwargs.get("alpha", 1) != 1:
        return False
    out = fake(node)
    return out.dtype == torch.float32 and out.dim() == 4 and fake(a).shape == fake(b).shape == out.shape


def _is_layout_copy(node: torch.fx.Node) -> bool:
    """A copy that changes nothing but the dimension order: the delegate writes its outputs in the order asked for."""
    if node.target not in LAYOUT_COPIES:
        return False
    source = node.args[0]
    return isinstance(source, torch.fx.Node) and fake(source).dtype == fake(node).dtype == torch.float32
