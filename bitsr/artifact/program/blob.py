"""Writer and checking reader of the program blob (docs/formats.md, "Program blob").

The blob is little-endian and self-checking; the C++ loader applies the same checks.
"""

import enum
import struct
import zlib
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bitsr.artifact.program.op_table import OPS
from bitsr.artifact.program.program import Op, OpKind, Program, ProgramError, Value, ValueKind
from bitsr.artifact.program.validate import check_counts, check_program, constant_shapes, constant_type, require

MAGIC = b"BSRP"
# 2: values of pixels, levels of 16 bits; a program without them is written as version 1, which older readers take.
VERSION = 2
FIRST_VERSION = 1
HEADER_BYTES = 64
ABSENT = 0xFFFFFFFF
ALIGNMENT = 64

_HEADER = struct.Struct("<4s11I16x")
_VALUE = struct.Struct("<4I")
_OP = struct.Struct("<5I")
_CONSTANT = struct.Struct("<2I")


def write_program(program: Program) -> bytes:
    """Serialize a program.

    Raises:
        ProgramError: the program breaks a rule of the format (see :func:`check_program`).
    """
    check_program(program)
    values_offset = HEADER_BYTES
    ops_offset = values_offset + _VALUE.size * len(program.values)
    ops_bytes = sum(
        _OP.size + 4 * (len(op.inputs) + len(op.outputs) + len(op.attributes)) + _CONSTANT.size * len(op.constants)
        for op in program.ops
    )
    inputs_offset = ops_offset + ops_bytes
    outputs_offset = inputs_offset + 4 * len(program.inputs)
    end = outputs_offset + 4 * len(program.outputs)

    data = bytearray()
    data_offset = _aligned(end)

    def place(constant: NDArray[np.generic] | None) -> bytes:
        if constant is None:
            return _CONSTANT.pack(ABSENT, 0)
        data.extend(bytes(_aligned(len(data)) - len(data)))
        offset = data_offset + len(data)
        raw = np.ascontiguousarray(constant).astype(constant.dtype.newbyteorder("<"), copy=False).tobytes()
        data.extend(raw)
        return _CONSTANT.pack(offset, len(raw))

    body = bytearray()
    for value in program.values:
        body += _VALUE.pack(value.kind, value.channels, value.up, value.down)
    for op in program.ops:
        body += _OP.pack(op.kind, len(op.inputs), len(op.outputs), len(op.constants), len(op.attributes))
        body += _ids(op.inputs) + _ids(op.outputs)
        for constant in op.constants:
            body += place(constant)
        body += struct.pack(f"<{len(op.attributes)}i", *op.attributes)
    body += _ids(program.inputs) + _ids(program.outputs)
    body += bytes(data_offset - HEADER_BYTES - len(body)) + data
    header = _HEADER.pack(
        MAGIC,
        version_of(program),
        HEADER_BYTES + len(body),
        zlib.crc32(body),
        len(program.values),
        len(program.ops),
        len(program.inputs),
        len(program.outputs),
        values_offset,
        ops_offset,
        inputs_offset,
        outputs_offset,
    )
    return header + bytes(body)


def version_of(program: Program) -> int:
    """The least version of the format that has what the program needs."""
    pixels = any(value.kind is ValueKind.PIXELS for value in program.values)
    return VERSION if pixels or any(map(_is_wide, program.ops)) else FIRST_VERSION


def _is_wide(op: Op) -> bool:
    """Whether it has a constant of the second type that the table allows."""
    pairs = zip(OPS[op.kind].constants, op.constants, strict=True)
    return any(
        item.wide is not None and array is not None and array.dtype.itemsize == np.dtype(item.wide).itemsize
        for item, array in pairs
    )


def read_program(blob: bytes) -> Program:
    """Parse and check a blob; constants become arrays of their role's type and shape.

    Raises:
        ProgramError: the blob is truncated, corrupt, of another version, or breaks a rule of the format.
    """
    if len(blob) < HEADER_BYTES:
        raise ProgramError(
            f"the program blob is truncated: expected at least {HEADER_BYTES} bytes, got {len(blob)}; export again"
        )
    (magic, version, total, crc, value_count, op_count, input_count, output_count, *offsets) = _HEADER.unpack_from(blob)
    values_offset, ops_offset, inputs_offset, outputs_offset = offsets
    if magic != MAGIC:
        raise ProgramError(f"this is no bitsr program: expected the magic {MAGIC!r}, got {magic!r}; export again")
    if not FIRST_VERSION <= version <= VERSION:
        raise ProgramError(
            f"the program blob has version {version}, this bitsr reads versions {FIRST_VERSION} to {VERSION}; "
            f"{'update bitsr' if version > VERSION else 'export the model again'}"
        )
    if total != len(blob):
        raise ProgramError(f"the program blob is truncated: expected {total} bytes, got {len(blob)}; export again")
    if zlib.crc32(blob[HEADER_BYTES:]) != crc:
        raise ProgramError("the program blob is corrupt: its checksum does not match its content; export again")

    require(blob[48:HEADER_BYTES] == bytes(16), "the spare bytes of the header are not zero")

    program = Program()
    check_counts((value_count, op_count, input_count, output_count))
    # The checksum covers what follows the header; that the sections touch each other covers the header's numbers.
    require(values_offset == HEADER_BYTES, "the values do not follow the header")
    require(ops_offset == values_offset + _VALUE.size * value_count, "the ops do not follow the values")
    for index in range(value_count):
        kind, channels, up, down = _words(blob, values_offset + _VALUE.size * index, 4, f"value {index}")
        require(kind in list(ValueKind), f"value {index} has the kind {kind}, expected {_known(ValueKind)}")
        old = ValueKind(kind) is ValueKind.PIXELS and version == FIRST_VERSION
        require(not old, f"value {index} is of pixels, which programs of version {version} do not have")
        program.values.append(Value(ValueKind(kind), channels, up, down))
    cursor = ops_offset
    for index in range(op_count):
        op, cursor = _read_op(blob, cursor, program.values, index)
        old = _is_wide(op) and version == FIRST_VERSION
        require(not old, f"op {index} has weights of 16 bits, which programs of version {version} do not have")
        program.ops.append(op)
    require(inputs_offset == cursor, "the input list does not follow the ops")
    require(outputs_offset == inputs_offset + 4 * input_count, "the output list does not follow the input list")
    program.inputs = list(_words(blob, inputs_offset, input_count, "the input list"))
    program.outputs = list(_words(blob, outputs_offset, output_count, "the output list"))
    end = outputs_offset + 4 * output_count
    require(not any(blob[end : _aligned(end)]), "the bytes behind the output list are not zero")
    check_program(program)
    return program


def _read_op(blob: bytes, cursor: int, values: list[Value], index: int) -> tuple[Op, int]:
    """The op at ``cursor``, and where the next one starts."""
    kind, inputs, outputs, constants, attributes = _words(blob, cursor, 5, f"op {index}")
    require(kind in list(OpKind), f"op {index} has the kind {kind}, expected {_known(OpKind)}")
    arity, wanted = (inputs, outputs, constants, attributes), OPS[OpKind(kind)].arity
    require(arity == wanted, f"op {index} has arity {arity}, expected {wanted}")
    cursor += _OP.size
    body = _words(blob, cursor, inputs + outputs + 2 * constants + attributes, f"op {index}")
    spans = body[inputs + outputs : inputs + outputs + 2 * constants]
    raw = [_constant_bytes(blob, spans[2 * i], spans[2 * i + 1], index) for i in range(constants)]
    op = Op(
        OpKind(kind),
        tuple(_optional(number) for number in body[:inputs]),
        tuple(_optional(number) for number in body[inputs : inputs + outputs]),
        attributes=struct.unpack(f"<{attributes}i", struct.pack(f"<{attributes}I", *body[len(body) - attributes :])),
    )
    arrays = tuple(
        _as_array(data, shape, constant_type(op, role, len(data or b""), int(np.prod(shape, dtype=object))), index)
        for role, (data, shape) in enumerate(zip(raw, constant_shapes(op, values, index), strict=True))
    )
    return replace(op, constants=arrays), cursor + 4 * len(body)


def _words(blob: bytes, offset: int, count: int, what: str) -> tuple[int, ...]:
    require(HEADER_BYTES <= offset <= len(blob) and count <= (len(blob) - offset) // 4, f"{what} outside the blob")
    return struct.unpack_from(f"<{count}I", blob, offset)


def _as_array(
    data: bytes | None, shape: tuple[int, ...], dtype: np.dtype[np.generic], index: int
) -> NDArray[np.generic] | None:
    if data is None:
        return None
    expected = dtype.itemsize * int(np.prod(shape, dtype=object))
    require(len(data) == expected, f"op {index}: a constant of {len(data)} bytes, expected {expected}")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _constant_bytes(blob: bytes, offset: int, size: int, index: int) -> bytes | None:
    if offset == ABSENT:
        require(size == 0, f"op {index}: an absent constant has a size")
        return None
    require(offset % ALIGNMENT == 0, f"op {index}: a constant at {offset}, expected a multiple of {ALIGNMENT}")
    require(
        HEADER_BYTES <= offset <= len(blob) and size <= len(blob) - offset, f"op {index}: a constant leaves the blob"
    )
    return blob[offset : offset + size]


def _known(kinds: type[enum.IntEnum]) -> str:
    return f"{min(kinds)} to {max(kinds)}"


def _ids(numbers: tuple[int | None, ...] | list[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *(ABSENT if number is None else number for number in numbers))


def _optional(number: int) -> int | None:
    return None if number == ABSENT else number


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
