"""``BitsrBackend``: one delegate partition becomes a program blob. The class name is the backend id in the .pte."""

import operator
from fractions import Fraction
from typing import Any

import numpy as np
import torch
from executorch.exir.backend.backend_details import BackendDetails, PreprocessResult
from executorch.exir.backend.compile_spec_schema import CompileSpec
from numpy.typing import NDArray
from torch.export import ExportedProgram

from bitsr.artifact.program import Op, OpKind, Program, Value, ValueKind, write_program
from bitsr.export.errors import ExportError
from bitsr.export.executorch.graph import (
    ADD,
    BINARY_CONV2D,
    CHANNEL_GATE,
    CHANNEL_SHIFT_GATE,
    LAYOUT_COPIES,
    PIXEL_SHUFFLE,
    QUANTIZED_SPATIAL_GATE,
    SPATIAL_GATE,
    arguments,
    constant,
    fake,
    op_name,
)


class BitsrBackend(BackendDetails):  # type: ignore[misc]
    """Ahead-of-time half of the delegate."""

    @staticmethod
    def preprocess(edge_program: ExportedProgram, compile_specs: list[CompileSpec]) -> PreprocessResult:
        """Translate a partition; "<index> <op>" is an op's delegate debug id, as in the runtime's profiling events."""
        translation = _Translation(edge_program)
        return PreprocessResult(
            processed_bytes=write_program(translation.program), debug_handle_map=translation.debug_handles
        )


class _Translation:
    """Walks a partition's graph and builds its program."""

    def __init__(self, edge_program: ExportedProgram) -> None:
        self.edge_program = edge_program
        self.program = Program()
        self.debug_handles: dict[str, int] = {}
        self._ids: dict[torch.fx.Node, int] = {}
        self._results: dict[torch.fx.Node, tuple[int | None, ...]] = {}  # of nodes with several outputs
        self._first: torch.Tensor | None = None
        for node in edge_program.graph.nodes:
            if node.op == "placeholder" and constant(edge_program, node) is None:
                self.program.inputs.append(self._new_value(node))
            elif node.op == "call_function":
                self._translate(node)
            elif node.op == "output":
                self.program.outputs = [self._ids[result] for result in node.args[0]]

    def _translate(self, node: torch.fx.Node) -> None:
        if node.target is operator.getitem:
            source, index = node.args
            number = self._results[source][index]  # type: ignore[index]
            if number is not None:
                self._ids[node] = number
            return
        if node.target in LAYOUT_COPIES:
            self._ids[node] = self._ids[node.args[0]]  # type: ignore[index]
            return
        given = arguments(node)
        if node.target == BINARY_CONV2D:
            self.program.ops.append(self._binary_conv2d(node, given))
        elif node.target in (CHANNEL_GATE, CHANNEL_SHIFT_GATE):
            self.program.ops.append(self._channel_gate(node, given))
        elif node.target == SPATIAL_GATE:
            self.program.ops.append(self._spatial_gate(node, OpKind.SPATIAL_GATE, ("bias",), ()))
        elif node.target == QUANTIZED_SPATIAL_GATE:
            numbers, levels = ("inverse_step", "scale", "bias"), (given["negative"], given["positive"])
            self.program.ops.append(self._spatial_gate(node, OpKind.QUANTIZED_SPATIAL_GATE, numbers, levels))
        elif node.target == ADD:
            inputs = (self._value(given["self"]), self._value(given["other"]))
            self.program.ops.append(Op(OpKind.ADD, inputs, (self._new_value(node),)))
        elif node.target == PIXEL_SHUFFLE:
            inputs = (self._value(given["x"]), self._value(given["skip"]))
            self.program.ops.append(Op(OpKind.PIXEL_SHUFFLE, inputs, (self._new_value(node),), (), (given["factor"],)))
        else:
            raise ExportError(f"BitsrBackend was given {op_name(node.target)}, which it does not have; report this")
        if "debug_handle" in node.meta:
            index = len(self.program.ops) - 1
            self.debug_handles[f"{index} {self.program.ops[index].kind.name.lower()}"] = node.meta["debug_handle"]

    def _binary_conv2d(self, node: torch.fx.Node, given: dict[str, Any]) -> Op:
        static_threshold = constant(self.edge_program, given["threshold"])
        bits = self._array(given["weight_bits"]).view(np.uint64)
        planes, out_channels, kernel = bits.shape[:3]
        dynamic = [given[name] for name in ("channel_gain", "spatial_gain", "residual")]
        return Op(
            OpKind.BINARY_CONV2D,
            (
                self._value(given["x"]),
                self._value(given["threshold"]) if static_threshold is None else None,
                *(self._value(source) for source in dynamic),
            ),
            (self._new_value(node),),
            (
                None if static_threshold is None else self._array(given["threshold"]).reshape(-1),
                bits,
                self._array(given["scale"]),
                *(self._optional_array(given[name]) for name in ("shift", "inner_slope", "inner_shift", "slope")),
            ),
            (out_channels, kernel, planes),
        )

    def _spatial_gate(self, node: torch.fx.Node, kind: OpKind, numbers: tuple[str, ...], levels: tuple[int, ...]) -> Op:
        given = arguments(node)
        # (1, C, k, k) -> (k, k, C): the order in which a channels-last row is read.
        taps = np.ascontiguousarray(self._array(given["weight"])[0].transpose(1, 2, 0))
        constants = (taps, *(self._array(given[name]) for name in numbers))
        outputs = (self._new_value(node, kind=ValueKind.PLANE),)
        return Op(kind, (self._value(given["x"]),), outputs, constants, (taps.shape[0], *levels))

    def _channel_gate(self, node: torch.fx.Node, given: dict[str, Any]) -> Op:
        constants = tuple(self._array(given[name]) for name in ("w1", "b1", "w2", "b2"))
        hidden, total = constants[0].shape[0], constants[2].shape[0]
        if node.target == CHANNEL_SHIFT_GATE:
            linear = total // 2
            outputs: tuple[int | None, int | None] = tuple(  # type: ignore[assignment]
                self.program.add_value(Value(ValueKind.VECTOR, linear)) for _ in range(2)
            )
            self._results[node] = outputs
        else:
            number = self._new_value(node)
            linear = 0 if given["sigmoid"] else total
            outputs = (None, number) if given["sigmoid"] else (number, None)
        return Op(OpKind.CHANNEL_GATE, (self._value(given["x"]),), outputs, constants, (hidden, total, linear))

    def _new_value(self, node: torch.fx.Node, *, kind: ValueKind | None = None) -> int:
        """A value for the node's output; its size is a fixed ratio of the first input's."""
        tensor = fake(node)
        if tensor.dim() == 4:
            if self._first is None:
                self._first = tensor
            ratio = _ratio(tensor, self._first, node.name)
            kind = ValueKind.MAP if kind is None else kind
            value = Value(kind, int(tensor.shape[1]), ratio.numerator, ratio.denominator)
        else:
            value = Value(ValueKind.VECTOR, int(tensor.shape[-1]))
        number = self.program.add_value(value)
        self._ids[node] = number
        return number

    def _value(self, source: Any) -> int | None:
        return None if source is None else self._ids[source]

    def _array(self, source: Any) -> NDArray[Any]:
        tensor = constant(self.edge_program, source)
        if tensor is None:
            raise ExportError(f"BitsrBackend needs '{source}' as a constant, but it is computed; report this")
        return tensor.detach().contiguous().numpy()

    def _optional_array(self, source: Any) -> NDArray[Any] | None:
        return None if source is None else self._array(source)


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
