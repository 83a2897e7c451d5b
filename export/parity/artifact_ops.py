"""The ops that an artifact holds, with their constants: from the program blobs of a .pte, the custom ops of a .tflite.

They are what the per-op parity replays, so that a wrong constant in the file is seen.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsr.artifact.program import CUSTOM_OPS, HEADER_BYTES, MAGIC, Op, read_program
from bitsr.common.errors import ArtifactError


@dataclass(frozen=True)
class ArtifactOp:
    """An op of the artifact, in order of execution, and the channels of its first input.

    The numbers in ``op.inputs`` and ``op.outputs`` only say which places are taken.
    """

    op: Op
    channels: int


def artifact_ops(path: Path) -> list[ArtifactOp]:
    """Read the ops of our kernels.

    Raises:
        ArtifactError: the file is broken.
        ProgramError: a program in it is.
    """
    return content_ops(path.read_bytes(), kind=path.suffix.removeprefix("."), name=str(path))


def content_ops(content: bytes, *, kind: str, name: str) -> list[ArtifactOp]:
    """The same of an artifact's bytes, of the format ``kind``; ``name`` names it in errors."""
    return _tflite_ops(content, name) if kind == "tflite" else _pte_ops(content)


def _pte_ops(content: bytes) -> list[ArtifactOp]:
    found = []
    for blob in program_blobs(content):
        program = read_program(blob)
        found += [ArtifactOp(op, program.values[op.inputs[0] or 0].channels) for op in program.ops]
    return found


def program_blobs(content: bytes) -> list[bytes]:
    """The program blobs of a .pte, which stand in the order of their calls.

    They are found by their magic and checksum: ExecuTorch's own reader would load its whole exporter.
    """
    blobs = []
    start = content.find(MAGIC)
    while start >= 0:
        size = int.from_bytes(content[start + 8 : start + 12], "little")
        blob = content[start : start + size]
        if HEADER_BYTES <= size == len(blob) and zlib.crc32(blob[HEADER_BYTES:]).to_bytes(4, "little") == blob[12:16]:
            blobs.append(blob)
        start = content.find(MAGIC, start + (len(blob) if blobs and blobs[-1] is blob else 1))
    return blobs


def _tflite_ops(content: bytes, name: str) -> list[ArtifactOp]:
    from bitsr.artifact.flatbuffer import parse_model

    model = parse_model(content, name=name)
    try:
        return _custom_ops(model)
    except ArtifactError:
        raise
    except Exception as error:  # references of a broken graph
        raise ArtifactError(f"{name} has a broken graph ({error}); export the model again") from error


def _custom_ops(model: Any) -> list[ArtifactOp]:
    from flatbuffers import flexbuffers

    graph = model.subgraphs[0]
    found = []
    for node in graph.operators:
        code = model.operatorCodes[node.opcodeIndex].customCode
        info = CUSTOM_OPS.get(code.decode() if isinstance(code, bytes) else code or "")
        if info is None:
            continue
        options: dict[str, int] = flexbuffers.Loads(bytes(bytearray(node.customOptions)))
        input_names, constant_names = info.operands(options["operands"])
        operands = [int(number) for number in node.inputs]
        inputs = dict(zip(input_names, operands[: len(input_names)], strict=True))
        constants = dict(zip(constant_names, operands[len(input_names) :], strict=True))
        results = [place for place, _ in enumerate(info.outputs) if options["results"] >> place & 1]
        outputs = dict(zip(results, (int(i) for i in node.outputs), strict=True))
        op = Op(
            info.kind,
            tuple(inputs.get(item.name) for item in info.inputs),
            tuple(outputs.get(place) for place, _ in enumerate(info.outputs)),
            tuple(
                _array(model, graph.tensors[constants[item.name]]) if item.name in constants else None
                for item in info.constants
            ),
            tuple(int(options[name]) for name in info.attributes),
        )
        found.append(ArtifactOp(op, int(graph.tensors[inputs["x"]].shape[3])))
    return found


def _array(model: Any, tensor: Any) -> NDArray[np.generic]:
    from bitsr.artifact.flatbuffer import schema

    types = schema().TensorType
    dtype = {types.FLOAT32: "<f4", types.INT64: "<u8", types.INT8: "i1", types.INT16: "<i2"}[tensor.type]
    raw = bytes(bytearray(model.buffers[tensor.buffer].data))
    return np.frombuffer(raw, dtype=dtype).reshape(tuple(int(side) for side in tensor.shape))
