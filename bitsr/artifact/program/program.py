"""What a program is: values (feature maps, vectors, planes), ops in execution order and their constants."""

import enum
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import BitsrError


class ProgramError(BitsrError):
    """A program blob that is truncated, corrupt, newer than this reader, or wrong in itself."""


class ValueKind(enum.IntEnum):
    """What a value holds, float32 but for pixels, and for one picture."""

    MAP = 0  # (N, C, H, W)
    VECTOR = 1  # (N, C)
    PLANE = 2  # (N, 1, H, W)
    PIXELS = 3  # (N, C, H, W) uint8 of an input or an output: a map of level / 255

    @property
    def is_map(self) -> bool:
        return self in (ValueKind.MAP, ValueKind.PIXELS)


class OpKind(enum.IntEnum):
    BINARY_CONV2D = 1
    CHANNEL_GATE = 2
    SPATIAL_GATE = 3
    ADD = 4
    PIXEL_SHUFFLE = 5
    QUANTIZED_SPATIAL_GATE = 6
    QUANTIZED_CONV2D = 7
    CHANNEL_NORM = 8
    PIXEL_GATE = 9
    RESCALE = 10


@dataclass(frozen=True)
class Value:
    """A value of ``channels`` channels; a map or plane is (H up / down) by (W up / down) of the first input."""

    kind: ValueKind
    channels: int
    up: int = 1
    down: int = 1


@dataclass(frozen=True)
class Op:
    """One op. Roles go by position; ``None`` is an absent value or constant. See the table in docs/formats.md."""

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


def with_pixel_ends(program: Program) -> Program:
    """The same program with its inputs and outputs in 8 bits: level / 255 goes in, and comes out rounded half up."""
    ends = {*program.inputs, *program.outputs}
    values = [
        replace(value, kind=ValueKind.PIXELS) if number in ends else value
        for number, value in enumerate(program.values)
    ]
    return replace(program, values=values)
