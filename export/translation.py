"""A captured graph of our ops, whole or one partition of it, becomes a program."""

import operator
from fractions import Fraction
from typing import Any

import torch
from numpy.typing import NDArray
from torch.export import ExportedProgram

from bitsr.artifact.program import Op, Program, Value, ValueKind
from bitsr.export.calls import Call
from bitsr.export.captured import call_of, constant, fake, is_layout_copy, op_info, op_name
from bitsr.export.errors import ExportError


class Translation:
    """Walks a graph and builds its program.

    Attributes:
        program: what it computes.
        debug_handles: "<index> <op>" of each op, as in the runtime's profiling events, to the handle of its node.

    Raises:
        ExportError: a node is no op of ours, or a map is not one ratio of the first input.
    """

    def __init__(self, edge_program: ExportedProgram) -> None:
        self.edge_program = edge_program
        self.program = Program()
        self.debug_handles: dict[str, int] = {}
        self._ids: dict[torch.fx.Node, int] = {}
        self._results: dict[torch.fx.Node, tuple[int, ...]] = {}  # of nodes with several outputs
        self._first: torch.Tensor | None = None
        for node in edge_program.graph.nodes:
            if node.op == "placeholder" and constant(edge_program, node) is None:
                kind = ValueKind.MAP if fake(node).dim() == 4 else ValueKind.VECTOR
                self._ids[node] = self._new_value(fake(node), node.name, kind=kind)
                self.program.inputs.append(self._ids[node])
            elif node.op == "call_function":
                self._translate(node)
            elif node.op == "output":
                self.program.outputs = [self._ids[result] for result in node.args[0]]

    def _translate(self, node: torch.fx.Node) -> None:
        if node.target is operator.getitem:
            source, index = node.args
            self._ids[node] = self._results[source][index]  # type: ignore[index]
            return
        if is_layout_copy(node):
            self._ids[node] = self._ids[node.args[0]]  # type: ignore[index]
            return
        if op_info(node) is None:
            raise ExportError(f"our kernels were given {op_name(node.target)}, which they do not have; report this")
        op = self._op(node, call_of(self.edge_program, node))
        self.program.ops.append(op)
        if "debug_handle" in node.meta:
            index = len(self.program.ops) - 1
            self.debug_handles[f"{index} {op.kind.name.lower()}"] = node.meta["debug_handle"]

    def _op(self, node: torch.fx.Node, call: Call) -> Op:
        info = call.info
        inputs = tuple(self._ids[call.inputs[item.name]] if item.name in call.inputs else None for item in info.inputs)
        constants = tuple(
            item.of_torch(self._array(call.constants[item.name])) if item.name in call.constants else None
            for item in info.constants
        )
        tensors = node.meta["val"] if len(call.outputs) > 1 else (fake(node),)
        kinds = {item.name: item.kind for item in info.outputs}
        numbers = {
            name: self._new_value(tensor, node.name, kind=kinds[name])
            for name, tensor in zip(call.outputs, tensors, strict=True)
        }
        if len(numbers) > 1:
            self._results[node] = tuple(numbers.values())
        else:
            (self._ids[node],) = numbers.values()
        outputs = tuple(numbers.get(item.name) for item in info.outputs)
        return Op(info.kind, inputs, outputs, constants, tuple(call.attributes.values()))

    def _new_value(self, tensor: torch.Tensor, name: str, *, kind: ValueKind) -> int:
        """A value for a tensor of the node ``name``; a map's size is a fixed ratio of the first input's."""
        if kind is ValueKind.VECTOR:
            return self.program.add_value(Value(kind, int(tensor.shape[-1])))
        if self._first is None:
            self._first = tensor
        ratio = _ratio(tensor, self._first, name)
        return self.program.add_value(Value(kind, int(tensor.shape[1]), ratio.numerator, ratio.denominator))

    def _array(self, source: Any) -> NDArray[Any]:
        tensor = constant(self.edge_program, source)
        if tensor is None:
            raise ExportError(f"our kernels need '{source}' as a constant, but it is computed; report this")
        return tensor.detach().contiguous().numpy()


def _ratio(tensor: torch.Tensor, first: torch.Tensor, name: str) -> Fraction:
    height, width = (Fraction(_hint(tensor.shape[i]), _hint(first.shape[i])) for i in (2, 3))
    if height != width:
        raise ExportError(
            f"the map '{name}' is {height} times as high and {width} times as wide as the first input of its "
            "partition; the runtime needs one ratio for both"
        )
    return height


def _hint(size: int | torch.SymInt) -> int:
    """The size that the example input gives a dimension."""
    return size if isinstance(size, int) else int(size.node.hint)
