"""The op table of C++ (runtime/core/op_table.cpp) says what the one of Python says."""

import json
from typing import Any

import numpy as np

from bitsr.artifact.program import OPS, Constant, Operand


def operands(items: tuple[Operand, ...]) -> list[list[object]]:
    return [[item.name, item.kind.name.lower(), item.optional] for item in items]


def types(item: Constant) -> str:
    dtype = np.dtype(item.dtype).str
    return dtype if item.wide is None else f"{dtype} or {item.wide}"


def test_the_tables_of_both_languages_are_equal(native: Any) -> None:
    native.need("cmake", "ninja", "c++")
    program = native.build_core("core-tests", "-DCMAKE_BUILD_TYPE=Release") / "bitsr_blob_check"
    ours = [
        {
            "kind": kind.value,
            "name": kind.name.lower(),
            "inputs": operands(op.inputs),
            "outputs": operands(op.outputs),
            "constants": [[item.name, types(item), item.optional] for item in op.constants],
            "attributes": list(op.attributes),
        }
        for kind, op in OPS.items()
    ]
    assert json.loads(native.run(program, "--ops")) == ours
