"""Every rule that the format sets on values, references, attributes and constants."""

import math
from collections.abc import Callable

import numpy as np

from bitsr.artifact.program.op_table import OPS, OpInfo
from bitsr.artifact.program.program import Op, OpKind, Program, ProgramError, Value, ValueKind
from bitsr.artifact.program.words import WORD_BITS

MAX_COUNT = 1 << 12  # values, ops, inputs, outputs; a network of 32 layers has about 100 ops
MAX_CHANNELS = 1 << 16  # 9 taps of so many channels still fit the int32 accumulator (law 4)
MAX_RATIO = 64
BORDER_CLASSES = 16  # of a pixel: top, bottom, left and right taps missing or not
MAX_NEGATIVE, MAX_POSITIVE = 1 << 15, (1 << 15) - 1  # levels of 16 bits


def require(condition: bool, message: str) -> None:
    """Raise :class:`ProgramError` with the rule that is broken."""
    if not condition:
        raise ProgramError(f"the program is inconsistent: {message}; export again")


def check_counts(counts: tuple[int, ...]) -> None:
    """Of values, ops, inputs and outputs."""
    require(max(counts) <= MAX_COUNT, f"{counts} values, ops, inputs and outputs, expected at most {MAX_COUNT} each")


def check_program(program: Program) -> None:
    """Check every rule that the format sets on values, references, attributes and constants.

    Raises:
        ProgramError: with the rule that is broken.
    """
    require(bool(program.inputs) and bool(program.outputs), "a program needs an input and an output")
    check_counts((len(program.values), len(program.ops), len(program.inputs), len(program.outputs)))
    for index, value in enumerate(program.values):
        many = 1 <= value.channels <= MAX_CHANNELS
        require(many, f"value {index} has {value.channels} channels, expected 1 to {MAX_CHANNELS}")
        ratio = f"{value.up}/{value.down}"
        require(
            1 <= value.up <= MAX_RATIO and 1 <= value.down <= MAX_RATIO,
            f"value {index} has the ratio {ratio}, expected numbers from 1 to {MAX_RATIO}",
        )
        plain = value.kind is not ValueKind.PLANE or value.channels == 1
        require(plain, f"plane {index} has {value.channels} channels, expected 1")
    pixels = {number for number, value in enumerate(program.values) if value.kind is ValueKind.PIXELS}
    known: set[int] = set()
    written: set[int] = set()
    for number in program.inputs:
        require(
            number < len(program.values),
            f"the input value is {number}, expected one of the {len(program.values)} values",
        )
        require(number not in known, f"value {number} is an input twice")
        known.add(number)
    first = program.values[program.inputs[0]]
    require(first.kind.is_map and first.up == first.down == 1, "the first input must be a map of ratio 1")
    for index, op in enumerate(program.ops):
        for source in op.inputs:
            require(source is None or source in known, f"op {index} reads value {source} before it is written")
            require(source not in pixels or source in program.inputs, f"op {index} reads the pixels {source} of an op")
        for result in op.outputs:
            if result is not None:
                require(
                    result < len(program.values),
                    f"op {index} writes value {result}, expected one of {len(program.values)}",
                )
                require(result not in known, f"op {index} writes value {result} a second time")
                known.add(result)
                written.add(result)
        _Rules(op, program.values, index).check()
    for number in program.outputs:
        require(number in written, f"no op writes the output value {number}")
    require(pixels & written <= set(program.outputs), "pixels that an op writes are no output")
    require(len(set(program.outputs)) == len(program.outputs), "a value is an output twice")


class _Rules:
    """The rules of one op."""

    def __init__(self, op: Op, values: list[Value], index: int) -> None:
        self._op = op
        self._values = values
        self._index = index

    def check(self) -> None:
        op, info = self._op, OPS[self._op.kind]
        arity = (len(op.inputs), len(op.outputs), len(op.constants), len(op.attributes))
        self._require(arity == info.arity, f"({op.kind.name.lower()}) has arity {arity}, expected {info.arity}")
        self._check_constants(info)
        for operands, numbers in ((info.inputs, op.inputs), (info.outputs, op.outputs)):
            for operand, number in zip(operands, numbers, strict=True):
                if number is not None or not operand.optional:
                    self._value(number, operand.kind, operand.name)
        x = self._value(op.inputs[0], ValueKind.MAP, "x")
        _OF_KIND[op.kind](self, x)

    def _check_constants(self, info: OpInfo) -> None:
        shapes = constant_shapes(self._op, self._values, self._index)
        for place, (wanted, array, shape) in enumerate(zip(info.constants, self._op.constants, shapes, strict=True)):
            if array is None:
                self._require(wanted.optional, f"it has no {wanted.name}")
                continue
            self._require(array.shape == shape, f"constant {place} has the shape {array.shape}, expected {shape}")
            # The writer brings the bytes into little-endian order itself.
            got, dtype = array.dtype, constant_type(self._op, place, array.nbytes, array.size)
            same = (got.kind, got.itemsize) == (dtype.kind, dtype.itemsize)
            self._require(same, f"constant {place} has the type {got}, expected {dtype}")

    def binary_conv2d(self, x: Value) -> None:
        out_channels, kernel_size, planes = self._op.attributes
        _, threshold, channel_gain, spatial_gain, residual = self._op.inputs
        own_threshold, weights, *_ = self._op.constants
        self._check_kernel_size(kernel_size)
        self._require(planes in (1, 2), f"{planes} weight planes, expected 1 or 2")
        got = "two" if own_threshold is not None and threshold is not None else "no"
        self._require((threshold is None) != (own_threshold is None), f"{got} thresholds, expected exactly one")
        if weights is not None and x.channels % WORD_BITS:
            spare = weights[..., -1].astype(np.uint64) >> np.uint64(x.channels % WORD_BITS)
            self._require(not spare.any(), f"weight bits are set beyond channel {x.channels - 1}")
        if threshold is not None:
            self._check_vector(threshold, x.channels, "threshold")
        if channel_gain is not None:
            self._check_vector(channel_gain, out_channels, "channel gain")
        if spatial_gain is not None:
            self._check_size(x, self._value(spatial_gain, ValueKind.PLANE, "spatial gain"), "spatial gain")
        self._check_map(x, self._op.outputs[0], out_channels, "y")
        if residual is not None:
            self._check_map(x, residual, out_channels, "residual")

    def channel_gate(self, x: Value) -> None:
        hidden, outputs, linear = self._op.attributes
        self._require(1 <= hidden <= MAX_CHANNELS, f"{hidden} hidden units, expected 1 to {MAX_CHANNELS}")
        self._require(1 <= outputs <= 2 * MAX_CHANNELS, f"{outputs} outputs, expected 1 to {2 * MAX_CHANNELS}")
        self._require(0 <= linear <= outputs, f"linear count {linear}, expected 0 to {outputs}")
        counts = (linear, outputs - linear)
        for number, count, role in zip(self._op.outputs, counts, ("linear", "sigmoid"), strict=True):
            self._require(
                (number is None) == (count == 0),
                f"the {role} output of {count} channels is {_given(number)}, expected {_given(count or None)}",
            )
            if number is not None:
                self._check_vector(number, count, f"{role} output")

    def spatial_gate(self, x: Value) -> None:
        self._check_kernel_size(self._op.attributes[0])
        self._check_size(x, self._value(self._op.outputs[0], ValueKind.PLANE, "s"), "s")

    def quantized_spatial_gate(self, x: Value) -> None:
        kernel_size, negative, positive = self._op.attributes
        levels = negative + positive
        self._require(1 <= levels <= 255, f"levels -{negative} to {positive}, expected 2 to 256 levels")
        largest = kernel_size**2 * x.channels * max(negative, positive) * 128
        self._require(largest < 1 << 31, f"sums up to {largest}, expected below {1 << 31}")
        self.spatial_gate(x)

    def quantized_conv2d(self, x: Value) -> None:
        out_channels, kernel_size, classes, negative, positive = self._op.attributes
        weight = self._op.constants[0]
        assert weight is not None  # it is not optional
        self._check_map(x, self._op.outputs[0], out_channels, "y")
        self._check_kernel_size(kernel_size)
        self._require(
            classes == 1 or (classes == BORDER_CLASSES and kernel_size == 3),
            f"{classes} border classes, expected 1, or {BORDER_CLASSES} of a kernel of 3",
        )
        self._require(
            0 <= negative <= MAX_NEGATIVE and 0 <= positive <= MAX_POSITIVE and negative + positive >= 1,
            f"levels -{negative} to {positive}, expected some of -{MAX_NEGATIVE} to {MAX_POSITIVE}",
        )
        sums = np.abs(weight.astype(np.int64)).reshape(out_channels, -1).sum(axis=1)
        largest = int(sums.max()) * max(negative, positive)
        self._require(largest < 1 << 31, f"sums up to {largest}, expected below {1 << 31}")

    def channel_norm(self, x: Value) -> None:
        self._check_map(x, self._op.outputs[0], x.channels, "y")
        constant = self._op.constants[2]
        assert constant is not None  # no optional one
        epsilon = float(constant[0])
        self._require(0 < epsilon < math.inf, f"epsilon {epsilon:g}, expected a positive number")

    def pixel_gate(self, x: Value) -> None:
        self._check_map(x, self._op.outputs[0], self._op.attributes[0], "gain")

    def rescale(self, x: Value) -> None:
        _, channel_gain, spatial_gain, gain, residual = self._op.inputs
        self._check_map(x, self._op.outputs[0], x.channels, "y")
        if channel_gain is not None:
            self._check_vector(channel_gain, x.channels, "channel gain")
        if spatial_gain is not None:
            self._check_size(x, self._value(spatial_gain, ValueKind.PLANE, "spatial gain"), "spatial gain")
        for number, role in ((gain, "gain"), (residual, "residual")):
            if number is not None:
                self._check_map(x, number, x.channels, role)

    def add(self, x: Value) -> None:
        self._check_map(x, self._op.inputs[1], x.channels, "b")
        self._check_map(x, self._op.outputs[0], x.channels, "y")

    def pixel_shuffle(self, x: Value) -> None:
        (factor,) = self._op.attributes
        self._require(2 <= factor <= 8, f"factor {factor}, expected 2 to 8")
        y = self._value(self._op.outputs[0], ValueKind.MAP, "y")
        self._require(
            y.channels * factor**2 == x.channels,
            f"{x.channels} to {y.channels} channels, expected {x.channels / factor**2:g}",
        )
        self._require(
            y.up * x.down == x.up * factor * y.down,
            f"y has the ratio {y.up}/{y.down}, expected {factor} times that of x, {x.up}/{x.down}",
        )
        if self._op.inputs[1] is not None:
            self._check_map(x, self._op.inputs[1], y.channels, "skip")

    def _require(self, condition: bool, message: str) -> None:
        require(condition, f"op {self._index}: {message}")

    def _value(self, number: int | None, kind: ValueKind, role: str) -> Value:
        if number is None:
            raise ProgramError(f"the program is inconsistent: op {self._index} has no {role}; export again")
        found = self._values[number]
        fits = found.kind is kind or (kind is ValueKind.MAP and found.kind.is_map)
        self._require(fits, f"{role} is a {found.kind.name.lower()}, expected {kind.name.lower()}")
        return found

    def _check_kernel_size(self, kernel_size: int) -> None:
        self._require(kernel_size in (1, 3), f"kernel size {kernel_size}, expected 1 or 3")

    def _check_size(self, x: Value, other: Value, role: str) -> None:
        self._require(
            x.up * other.down == other.up * x.down,
            f"{role} has the ratio {other.up}/{other.down}, expected that of x, {x.up}/{x.down}",
        )

    def _check_map(self, x: Value, number: int | None, channels: int, role: str) -> None:
        other = self._value(number, ValueKind.MAP, role)
        self._check_size(x, other, role)
        self._require(other.channels == channels, f"{role} has {other.channels} channels, expected {channels}")

    def _check_vector(self, number: int, channels: int, role: str) -> None:
        found = self._value(number, ValueKind.VECTOR, role).channels
        self._require(found == channels, f"{role} has {found} channels, expected {channels}")


def _given(number: int | None) -> str:
    return "absent" if number is None else "there"


_OF_KIND: dict[OpKind, Callable[[_Rules, Value], None]] = {
    OpKind.BINARY_CONV2D: _Rules.binary_conv2d,
    OpKind.CHANNEL_GATE: _Rules.channel_gate,
    OpKind.SPATIAL_GATE: _Rules.spatial_gate,
    OpKind.ADD: _Rules.add,
    OpKind.PIXEL_SHUFFLE: _Rules.pixel_shuffle,
    OpKind.QUANTIZED_SPATIAL_GATE: _Rules.quantized_spatial_gate,
    OpKind.QUANTIZED_CONV2D: _Rules.quantized_conv2d,
    OpKind.CHANNEL_NORM: _Rules.channel_norm,
    OpKind.PIXEL_GATE: _Rules.pixel_gate,
    OpKind.RESCALE: _Rules.rescale,
}


def constant_shapes(op: Op, values: list[Value], index: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of the op's constants, from its attributes and the channels of its first input."""
    number = op.inputs[0]
    if number is None or number >= len(values):
        raise ProgramError(f"the program is inconsistent: op {index} has no input; export again")
    require(all(a >= 0 for a in op.attributes), f"op {index} has the attributes {op.attributes}, expected none below 0")
    info = OPS[op.kind]
    attributes = info.named(op.attributes)
    return tuple(constant.shape(attributes, values[number].channels) for constant in info.constants)


def constant_type(op: Op, place: int, size: int, count: int) -> np.dtype[np.generic]:
    """Little-endian type of the constant at ``place``, which is ``count`` numbers in ``size`` bytes."""
    constant = OPS[op.kind].constants[place]
    dtype = np.dtype(constant.dtype)
    return np.dtype(constant.wide) if constant.wide and size != count * dtype.itemsize else dtype
