"""Writer and checking reader of the program blob, version 1 (ARCHITECTURE.md, "Program blob").

A program is what one delegate partition executes: values (feature maps, vectors, planes), ops in execution order and
their constants. The blob is little-endian and self-checking; the C++ loader applies the same checks.
"""

import enum
import struct
import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import BitsrError
from bitsr.export.packing import WORD_BITS, words_per_tap

MAGIC = b"BSRP"
VERSION = 1
HEADER_BYTES = 64
ABSENT = 0xFFFFFFFF
ALIGNMENT = 64
MAX_COUNT = 1 << 12  # values, ops, inputs, outputs; a network of 32 layers has about 100 ops
MAX_CHANNELS = 1 << 16  # 9 taps of so many channels still fit the int32 accumulator (law 4)

_HEADER = struct.Struct("<4s11I16x")
_VALUE = struct.Struct("<4I")
_OP = struct.Struct("<5I")
_CONSTANT = struct.Struct("<2I")


class ProgramError(BitsrError):
    """A program blob that is truncated, corrupt, newer than this reader, or wrong in itself."""


class ValueKind(enum.IntEnum):
    """What a value holds, always float32 and for one picture."""

    MAP = 0  # (N, C, H, W)
    VECTOR = 1  # (N, C)
    PLANE = 2  # (N, 1, H, W)


class OpKind(enum.IntEnum):
    BINARY_CONV2D = 1
    CHANNEL_GATE = 2
    SPATIAL_GATE = 3
    ADD = 4
    PIXEL_SHUFFLE = 5
    QUANTIZED_SPATIAL_GATE = 6


@dataclass(frozen=True)
class Value:
    """A value of ``channels`` channels; a map or plane is (H up / down) by (W up / down) of the first input."""

    kind: ValueKind
    channels: int
    up: int = 1
    down: int = 1


@dataclass(frozen=True)
class Op:
    """One op. Roles go by position; ``None`` is an absent value or constant. See the table in ARCHITECTURE.md."""

    kind: OpKind
    inputs: tuple[int | None, ...]
    outputs: tuple[int | None, ...]
    constants: tuple[NDArray[np.generic] | None, ...] = ()
    attributes: tuple[int, ...] = ()


@dataclass
class Program:
    """Values by id, ops in execution order, value ids of inputs and outputs in the order of the delegate call."""

    values: list[Value] = field(default_factory=list)
    ops: list[Op] = field(default_factory=list)
    inputs: list[int] = field(default_factory=list)
    outputs: list[int] = field(default_factory=list)

    def add_value(self, value: Value) -> int:
        self.values.append(value)
        return len(self.values) - 1


# Number of (inputs, outputs, constants, attributes) of each op.
_ARITY = {
    OpKind.BINARY_CONV2D: (5, 1, 7, 3),
    OpKind.CHANNEL_GATE: (1, 2, 4, 3),
    OpKind.SPATIAL_GATE: (1, 1, 2, 1),
    OpKind.ADD: (2, 1, 0, 0),
    OpKind.PIXEL_SHUFFLE: (2, 1, 0, 1),
    OpKind.QUANTIZED_SPATIAL_GATE: (1, 1, 4, 3),
}


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
        VERSION,
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
    if version != VERSION:
        raise ProgramError(
            f"the program blob has version {version}, this bitsr reads version {VERSION}; "
            f"{'update bitsr' if version > VERSION else 'export the model again'}"
        )
    if total != len(blob):
        raise ProgramError(f"the program blob is truncated: expected {total} bytes, got {len(blob)}; export again")
    if zlib.crc32(blob[HEADER_BYTES:]) != crc:
        raise ProgramError("the program blob is corrupt: its checksum does not match its content; export again")

    _check(blob[48:HEADER_BYTES] == bytes(16), "the spare bytes of the header are not zero")

    def words(offset: int, count: int, what: str) -> tuple[int, ...]:
        _check(HEADER_BYTES <= offset <= len(blob) and count <= (len(blob) - offset) // 4, f"{what} outside the blob")
        return struct.unpack_from(f"<{count}I", blob, offset)

    program = Program()
    counts = (value_count, op_count, input_count, output_count)
    _check(max(counts) <= MAX_COUNT, f"more than {MAX_COUNT} values, ops, inputs or outputs: {counts}")
    # The checksum covers what follows the header; that the sections touch each other covers the header's numbers.
    _check(values_offset == HEADER_BYTES, "the values do not follow the header")
    _check(ops_offset == values_offset + _VALUE.size * value_count, "the ops do not follow the values")
    for index in range(value_count):
        kind, channels, up, down = words(values_offset + _VALUE.size * index, 4, f"value {index}")
        _check(kind in list(ValueKind), f"value {index} has the unknown kind {kind}")
        program.values.append(Value(ValueKind(kind), channels, up, down))
    cursor = ops_offset
    for index in range(op_count):
        kind, inputs, outputs, constants, attributes = words(cursor, 5, f"op {index}")
        _check(kind in list(OpKind), f"op {index} has the unknown kind {kind}")
        _check((inputs, outputs, constants, attributes) == _ARITY[OpKind(kind)], f"op {index} has the wrong arity")
        cursor += _OP.size
        body = words(cursor, inputs + outputs + 2 * constants + attributes, f"op {index}")
        cursor += 4 * len(body)
        spans = body[inputs + outputs : inputs + outputs + 2 * constants]
        raw = [_constant_bytes(blob, spans[2 * i], spans[2 * i + 1], index) for i in range(constants)]
        signed = struct.unpack(f"<{attributes}i", struct.pack(f"<{attributes}I", *body[len(body) - attributes :]))
        op = Op(
            OpKind(kind),
            tuple(_optional(v) for v in body[:inputs]),
            tuple(_optional(v) for v in body[inputs : inputs + outputs]),
            attributes=signed,
        )
        shapes = _constant_shapes(op, program.values, index)
        arrays = tuple(
            _as_array(data, shape, _constant_type(op, role), index)
            for role, (data, shape) in enumerate(zip(raw, shapes, strict=True))
        )
        program.ops.append(Op(op.kind, op.inputs, op.outputs, arrays, signed))
    _check(inputs_offset == cursor, "the input list does not follow the ops")
    _check(outputs_offset == inputs_offset + 4 * input_count, "the output list does not follow the input list")
    program.inputs = list(words(inputs_offset, input_count, "the input list"))
    program.outputs = list(words(outputs_offset, output_count, "the output list"))
    end = outputs_offset + 4 * output_count
    _check(not any(blob[end : _aligned(end)]), "the bytes behind the output list are not zero")
    check_program(program)
    return program


def check_program(program: Program) -> None:
    """Check every rule that the format sets on values, references, attributes and constants.

    Raises:
        ProgramError: with the rule that is broken.
    """
    _check(bool(program.inputs) and bool(program.outputs), "a program needs an input and an output")
    counts = (len(program.values), len(program.ops), len(program.inputs), len(program.outputs))
    _check(max(counts) <= MAX_COUNT, f"more than {MAX_COUNT} values, ops, inputs or outputs: {counts}")
    for index, value in enumerate(program.values):
        _check(1 <= value.channels <= MAX_CHANNELS, f"value {index} has {value.channels} channels")
        _check(1 <= value.up <= 64 and 1 <= value.down <= 64, f"value {index} has the ratio {value.up}/{value.down}")
        _check(value.kind is not ValueKind.PLANE or value.channels == 1, f"plane {index} has more than one channel")
    known: set[int] = set()
    written: set[int] = set()
    for number in program.inputs:
        _check(number < len(program.values), f"input value {number} does not exist")
        _check(number not in known, f"value {number} is an input twice")
        known.add(number)
    first = program.values[program.inputs[0]]
    _check(first.kind is ValueKind.MAP and first.up == first.down == 1, "the first input must be a map of ratio 1")
    for index, op in enumerate(program.ops):
        for source in op.inputs:
            _check(source is None or source in known, f"op {index} reads value {source} before it is written")
        for result in op.outputs:
            if result is not None:
                _check(result < len(program.values), f"op {index} writes value {result}: no such value")
                _check(result not in known, f"op {index} writes value {result} a second time")
                known.add(result)
                written.add(result)
        _check_op(op, program.values, index)
    for number in program.outputs:
        _check(number in written, f"no op writes the output value {number}")
    _check(len(set(program.outputs)) == len(program.outputs), "a value is an output twice")


def _check_op(op: Op, values: list[Value], index: int) -> None:
    def value(number: int | None, kind: ValueKind, role: str) -> Value:
        if number is None:
            raise ProgramError(f"the program is inconsistent: op {index} has no {role}; export again")
        found = values[number]
        _check(found.kind is kind, f"op {index}: {role} is a {found.kind.name.lower()}, expected {kind.name.lower()}")
        return found

    def same_size(a: Value, b: Value, role: str) -> None:
        _check(a.up * b.down == b.up * a.down, f"op {index}: {role} has another size than x")

    arity = (len(op.inputs), len(op.outputs), len(op.constants), len(op.attributes))
    _check(arity == _ARITY[op.kind], f"op {index} ({op.kind.name.lower()}) has arity {arity}, not {_ARITY[op.kind]}")
    for constant, shape in zip(op.constants, _constant_shapes(op, values, index), strict=True):
        _check(constant is None or constant.shape == shape, f"op {index}: a constant has not the shape {shape}")
    x = value(op.inputs[0], ValueKind.MAP, "x")
    if op.kind is OpKind.BINARY_CONV2D:
        out_channels, kernel, planes = op.attributes
        _, threshold, channel_gain, spatial_gain, residual = op.inputs
        _check(kernel in (1, 3), f"op {index}: kernel {kernel}, expected 1 or 3")
        _check(planes in (1, 2), f"op {index}: {planes} weight planes, expected 1 or 2")
        _check((threshold is None) != (op.constants[0] is None), f"op {index} needs exactly one threshold")
        _check(op.constants[1] is not None and op.constants[2] is not None, f"op {index} needs weights and scales")
        if op.constants[1] is not None and x.channels % WORD_BITS:
            spare = op.constants[1][..., -1].astype(np.uint64) >> np.uint64(x.channels % WORD_BITS)
            _check(not spare.any(), f"op {index}: weight bits are set beyond channel {x.channels - 1}")
        if threshold is not None:
            channels = value(threshold, ValueKind.VECTOR, "threshold").channels
            _check(channels == x.channels, f"op {index}: {channels} thresholds for {x.channels} channels")
        if channel_gain is not None:
            channels = value(channel_gain, ValueKind.VECTOR, "channel gain").channels
            _check(channels == out_channels, f"op {index}: {channels} channel gains for {out_channels} channels")
        if spatial_gain is not None:
            same_size(x, value(spatial_gain, ValueKind.PLANE, "spatial gain"), "spatial gain")
        y = value(op.outputs[0], ValueKind.MAP, "y")
        same_size(x, y, "y")
        _check(y.channels == out_channels, f"op {index}: y has {y.channels} channels, expected {out_channels}")
        if residual is not None:
            other = value(residual, ValueKind.MAP, "residual")
            same_size(x, other, "residual")
            _check(other.channels == out_channels, f"op {index}: the residual has {other.channels} channels")
    elif op.kind is OpKind.CHANNEL_GATE:
        hidden, total, linear = op.attributes
        _check(1 <= hidden <= MAX_CHANNELS, f"op {index}: {hidden} hidden units, expected 1 to {MAX_CHANNELS}")
        _check(1 <= total <= 2 * MAX_CHANNELS, f"op {index}: {total} outputs, expected 1 to {2 * MAX_CHANNELS}")
        _check(0 <= linear <= total, f"op {index}: linear count {linear} of {total}")
        for number, count, role in ((op.outputs[0], linear, "linear"), (op.outputs[1], total - linear, "sigmoid")):
            _check((number is None) == (count == 0), f"op {index}: {role} output for {count} channels")
            if number is not None:
                channels = value(number, ValueKind.VECTOR, f"{role} output").channels
                _check(channels == count, f"op {index}: {role} output has {channels} channels, expected {count}")
        _check(all(constant is not None for constant in op.constants), f"op {index} needs all its constants")
    elif op.kind is OpKind.SPATIAL_GATE:
        _check(op.attributes[0] in (1, 3), f"op {index}: kernel {op.attributes[0]}, expected 1 or 3")
        same_size(x, value(op.outputs[0], ValueKind.PLANE, "s"), "s")
        _check(all(constant is not None for constant in op.constants), f"op {index} needs all its constants")
    elif op.kind is OpKind.QUANTIZED_SPATIAL_GATE:
        kernel, negative, positive = op.attributes
        _check(kernel in (1, 3), f"op {index}: kernel {kernel}, expected 1 or 3")
        _check(
            1 <= negative + positive <= 255, f"op {index}: levels -{negative} to {positive}, expected 2 to 256 levels"
        )
        largest = kernel**2 * x.channels * max(negative, positive) * 128
        _check(largest < 1 << 31, f"op {index}: sums up to {largest} do not fit 32 bits")
        same_size(x, value(op.outputs[0], ValueKind.PLANE, "s"), "s")
        _check(all(constant is not None for constant in op.constants), f"op {index} needs all its constants")
    elif op.kind is OpKind.ADD:
        for number, role in ((op.inputs[1], "b"), (op.outputs[0], "y")):
            other = value(number, ValueKind.MAP, role)
            same_size(x, other, role)
            _check(other.channels == x.channels, f"op {index}: {role} has {other.channels} channels, not {x.channels}")
    elif op.kind is OpKind.PIXEL_SHUFFLE:
        (factor,) = op.attributes
        _check(2 <= factor <= 8, f"op {index}: factor {factor}, expected 2 to 8")
        y = value(op.outputs[0], ValueKind.MAP, "y")
        _check(y.channels * factor**2 == x.channels, f"op {index}: {x.channels} to {y.channels} channels")
        _check(y.up * x.down == x.up * factor * y.down, f"op {index}: y is not {factor} times as large as x")
        if op.inputs[1] is not None:
            skip = value(op.inputs[1], ValueKind.MAP, "skip")
            same_size(x, skip, "skip")
            _check(skip.channels == y.channels, f"op {index}: the skip has {skip.channels} channels")


def _constant_shapes(op: Op, values: list[Value], index: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of the op's constants, from its attributes and the channels of its first input."""
    number = op.inputs[0]
    if number is None or number >= len(values):
        raise ProgramError(f"the program is inconsistent: op {index} has no input; export again")
    _check(all(a >= 0 for a in op.attributes), f"op {index} has a negative attribute")
    channels = values[number].channels
    if op.kind is OpKind.BINARY_CONV2D:
        out, kernel, planes = op.attributes
        bits = (planes, out, kernel, kernel, words_per_tap(channels))
        return ((channels,), bits, (planes, out), (out,), (out,), (out,), (out,))
    if op.kind is OpKind.CHANNEL_GATE:
        hidden, total, _ = op.attributes
        return ((hidden, channels), (hidden,), (total, hidden), (total,))
    if op.kind is OpKind.SPATIAL_GATE:
        (kernel,) = op.attributes
        return ((kernel, kernel, channels), (1,))
    if op.kind is OpKind.QUANTIZED_SPATIAL_GATE:
        kernel, _, _ = op.attributes
        return ((kernel, kernel, channels), (1,), (1,), (1,))
    return ()


def _constant_type(op: Op, role: int) -> np.dtype[np.generic]:
    if op.kind is OpKind.BINARY_CONV2D and role == 1:
        return np.dtype("<u8")
    if op.kind is OpKind.QUANTIZED_SPATIAL_GATE and role == 0:
        return np.dtype("i1")
    return np.dtype("<f4")


def _as_array(
    data: bytes | None, shape: tuple[int, ...], dtype: np.dtype[np.generic], index: int
) -> NDArray[np.generic] | None:
    if data is None:
        return None
    expected = dtype.itemsize * int(np.prod(shape, dtype=object))
    _check(len(data) == expected, f"op {index}: a constant of {len(data)} bytes, expected {expected}")
    return np.frombuffer(data, dtype=dtype).reshape(shape)


def _constant_bytes(blob: bytes, offset: int, size: int, index: int) -> bytes | None:
    if offset == ABSENT:
        _check(size == 0, f"op {index}: an absent constant has a size")
        return None
    _check(offset % ALIGNMENT == 0, f"op {index}: a constant is not aligned to {ALIGNMENT} bytes")
    _check(
        HEADER_BYTES <= offset <= len(blob) and size <= len(blob) - offset, f"op {index}: a constant leaves the blob"
    )
    return blob[offset : offset + size]


def _ids(numbers: tuple[int | None, ...] | list[int]) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *(ABSENT if number is None else number for number in numbers))


def _optional(number: int) -> int | None:
    return None if number == ABSENT else number


def _aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _check(condition: bool, message: str) -> None:
    if not condition:
        raise ProgramError(f"the program is inconsistent: {message}; export again")
