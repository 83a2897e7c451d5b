"""A program of ours as a .tflite: its ops as custom ops, without a converter between."""

from typing import Any

import numpy as np

from bitsr.artifact.program import CUSTOM_OPS_VERSION, OPS, Op, OpKind, Program, Value, ValueKind
from bitsr.export.tflite.graph import Graph
from bitsr.export.tflite.signature import INPUT_NAMES, OUTPUT_NAME


def from_program(program: Program) -> bytes:
    """The .tflite of a program from one map to one map: (1, H, W, C) with free H and W, pixels as uint8."""
    graph = Graph.empty()
    tensors: dict[int, int] = {}

    def tensor(number: int, name: str) -> int:
        if number not in tensors:
            value = program.values[number]
            dtype = np.uint8 if value.kind is ValueKind.PIXELS else np.float32
            tensors[number] = graph.add_map(name, _shape(value), dtype=dtype)
        return tensors[number]

    (given,), (made,) = program.inputs, program.outputs
    tensor(given, INPUT_NAMES[0])
    for index, op in enumerate(program.ops):
        for number in op.outputs:
            if number is not None:
                tensor(number, OUTPUT_NAME if number == made else f"{index}")
        graph.ops.append(_operator(graph, op, index, tensors))
    return graph.finished(tensors[given], tensors[made])


def _shape(value: Value) -> list[int]:
    return [1, value.channels] if value.kind is ValueKind.VECTOR else [1, -1, -1, value.channels]


def _operator(graph: Graph, op: Op, index: int, tensors: dict[int, int]) -> Any:
    info = OPS[op.kind]
    inputs = [tensors[number] for number in op.inputs if number is not None]
    outputs = [tensors[number] for number in op.outputs if number is not None]
    if op.kind is OpKind.ADD:
        return graph.builtin("ADD", inputs, outputs[0], graph.S.AddOptionsT())
    constants = {
        item.name: array for item, array in zip(info.constants, op.constants, strict=True) if array is not None
    }
    for name, array in constants.items():
        # The schema's words are signed.
        words = array.view(np.int64) if array.dtype == np.uint64 else array
        inputs.append(graph.add_constant(f"{index}/{name}", words))
    taken = [item.name for item, number in zip(info.inputs, op.inputs, strict=True) if number is not None]
    results = [item.name for item, number in zip(info.outputs, op.outputs, strict=True) if number is not None]
    options = {
        "version": CUSTOM_OPS_VERSION,
        "operands": info.operand_mask(taken, constants),
        "results": info.result_mask(results),
        **info.named(op.attributes),
    }
    return graph.custom(info.tflite_name, inputs, outputs, options)
