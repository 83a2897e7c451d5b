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

from bitsr.artifact.program import OpKind
from bitsr.export.captured import is_layout_copy, op_info
from bitsr.export.executorch.backend import BitsrBackend
from bitsr.export.executorch.whole import is_whole_network
from bitsr.export.refusals import is_plain_add, refusal

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
            if is_whole_network(node):
                claimed.add(node)
            elif info is not None and info.kind is not OpKind.ADD:
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
                is_plain_add(node) or is_layout_copy(node)
            ):
                claimed.add(node)
        return claimed


class _InSet(OperatorSupportBase):
    def __init__(self, nodes: set[torch.fx.Node]) -> None:
        super().__init__()
        self.nodes = nodes

    def is_node_supported(self, submodules: object, node: torch.fx.Node) -> bool:
        return node in self.nodes
