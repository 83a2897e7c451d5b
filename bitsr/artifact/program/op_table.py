"""What every op takes and gives: the one table of docs/formats.md that all of Python reads.

The C++ core has the same table (runtime/core/op_table.h). Here are the names, places, kinds, shapes and types; what an
op computes and which further rules hold between its operands stands in :mod:`bitsr.artifact.program.validate`.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitsr.artifact.program.program import OpKind, ValueKind
from bitsr.artifact.program.words import words_per_tap

# Version of the meaning of a TFLite custom op's operands and options; every op carries it, the delegate refuses others.
CUSTOM_OPS_VERSION = 2

Attributes = Mapping[str, int]


@dataclass(frozen=True)
class Operand:
    """A value that an op reads or writes, at its place; float32, of one picture."""

    name: str
    kind: ValueKind = ValueKind.MAP
    optional: bool = False


@dataclass(frozen=True)
class Constant:
    """A constant of an op, at its place.

    Attributes:
        name: also the argument of the op in PyTorch.
        shape: (attributes by name, channels of x) -> shape.
        dtype: little-endian type in the program.
        wide: another one that it may have, told by its bytes, from version 2 of the program on.
        layout: the array of the PyTorch argument -> the array in an artifact, where their shapes differ.
    """

    name: str
    shape: Callable[[Attributes, int], tuple[int, ...]]
    dtype: str = "<f4"
    optional: bool = False
    layout: Callable[[NDArray[np.generic]], NDArray[np.generic]] = lambda array: array
    wide: str | None = None

    def of_torch(self, array: NDArray[np.generic]) -> NDArray[np.generic]:
        """The program's array of a PyTorch argument's; its words of bits are unsigned, which PyTorch has not."""
        laid_out = np.ascontiguousarray(self.layout(array))
        return laid_out.view(self.dtype) if laid_out.dtype == np.int64 else laid_out


@dataclass(frozen=True)
class OpInfo:
    """An op: its operands by place and name.

    Attributes:
        torch_ops: names of the PyTorch ops that become it, ours first.
        tflite_name: name of the custom op in a .tflite; empty where LiteRT's own op serves (addition).
        inputs, constants, outputs, attributes: by place. An input and a constant of one name exclude each other.
    """

    kind: OpKind
    torch_ops: tuple[str, ...]
    tflite_name: str
    inputs: tuple[Operand, ...]
    outputs: tuple[Operand, ...]
    constants: tuple[Constant, ...] = ()
    attributes: tuple[str, ...] = ()

    @property
    def arity(self) -> tuple[int, int, int, int]:
        """Numbers of (inputs, outputs, constants, attributes)."""
        return len(self.inputs), len(self.outputs), len(self.constants), len(self.attributes)

    def named(self, attributes: Iterable[int]) -> dict[str, int]:
        """Attributes by name, from their values by place."""
        return dict(zip(self.attributes, attributes, strict=True))

    def operand_mask(self, inputs: Iterable[str], constants: Iterable[str]) -> int:
        """The option ``operands`` of a custom op: a bit for each place of inputs, then constants, that is taken."""
        return _mask(self.inputs, inputs) | _mask(self.constants, constants) << len(self.inputs)

    def operands(self, mask: int) -> tuple[list[str], list[str]]:
        """Names of the inputs and of the constants that an :meth:`operand_mask` has, in order."""
        split = len(self.inputs)
        inputs = [item.name for place, item in enumerate(self.inputs) if mask >> place & 1]
        constants = [item.name for place, item in enumerate(self.constants) if mask >> (split + place) & 1]
        return inputs, constants

    def result_mask(self, outputs: Iterable[str]) -> int:
        """The option ``results`` of a custom op: a bit for each place of an output that is taken."""
        return _mask(self.outputs, outputs)


def _mask(operands: Iterable[Operand | Constant], present: Iterable[str]) -> int:
    names = set(present)
    return sum(1 << place for place, item in enumerate(operands) if item.name in names)


def _per_output(attributes: Attributes, _channels: int) -> tuple[int, ...]:
    return (attributes["out_channels"],)


def _per_channel(_attributes: Attributes, channels: int) -> tuple[int, ...]:
    return (channels,)


def _scalar(_attributes: Attributes, _channels: int) -> tuple[int, ...]:
    return (1,)


def _taps(array: NDArray[np.generic]) -> NDArray[np.generic]:
    """(1, C, k, k) -> (k, k, C): the order in which a channels-last row is read."""
    return np.moveaxis(array[0], 0, -1)


def _taps_shape(attributes: Attributes, channels: int) -> tuple[int, ...]:
    return (attributes["kernel_size"], attributes["kernel_size"], channels)


_OPS = (
    OpInfo(
        OpKind.BINARY_CONV2D,
        ("bitsr::binary_conv2d",),
        "BitsrBinaryConv2d",
        inputs=(
            Operand("x"),
            Operand("threshold", ValueKind.VECTOR, optional=True),
            Operand("channel_gain", ValueKind.VECTOR, optional=True),
            Operand("spatial_gain", ValueKind.PLANE, optional=True),
            Operand("residual", optional=True),
        ),
        outputs=(Operand("y"),),
        constants=(
            Constant("threshold", lambda _, channels: (channels,), optional=True, layout=np.ravel),
            Constant(
                "weight_bits",
                lambda a, channels: (
                    a["planes"],
                    a["out_channels"],
                    a["kernel_size"],
                    a["kernel_size"],
                    words_per_tap(channels),
                ),
                dtype="<u8",
            ),
            Constant("scale", lambda a, _: (a["planes"], a["out_channels"])),
            Constant("shift", _per_output, optional=True),
            Constant("inner_slope", _per_output, optional=True),
            Constant("inner_shift", _per_output, optional=True),
            Constant("slope", _per_output, optional=True),
        ),
        attributes=("out_channels", "kernel_size", "planes"),
    ),
    OpInfo(
        OpKind.CHANNEL_GATE,
        ("bitsr::channel_gate", "bitsr::channel_shift_gate"),
        "BitsrChannelGate",
        inputs=(Operand("x"),),
        outputs=(
            Operand("linear", ValueKind.VECTOR, optional=True),
            Operand("sigmoid", ValueKind.VECTOR, optional=True),
        ),
        constants=(
            Constant("w1", lambda a, channels: (a["hidden"], channels)),
            Constant("b1", lambda a, _: (a["hidden"],)),
            Constant("w2", lambda a, _: (a["outputs"], a["hidden"])),
            Constant("b2", lambda a, _: (a["outputs"],)),
        ),
        attributes=("hidden", "outputs", "linear_count"),
    ),
    OpInfo(
        OpKind.SPATIAL_GATE,
        ("bitsr::spatial_gate",),
        "BitsrSpatialGate",
        inputs=(Operand("x"),),
        outputs=(Operand("s", ValueKind.PLANE),),
        constants=(Constant("weight", _taps_shape, layout=_taps), Constant("bias", _scalar)),
        attributes=("kernel_size",),
    ),
    OpInfo(
        OpKind.ADD,
        ("aten::add.Tensor",),
        "",
        inputs=(Operand("a"), Operand("b")),
        outputs=(Operand("y"),),
    ),
    OpInfo(
        OpKind.PIXEL_SHUFFLE,
        ("bitsr::pixel_shuffle", "aten::pixel_shuffle"),
        "BitsrPixelShuffle",
        inputs=(Operand("x"), Operand("skip", optional=True)),
        outputs=(Operand("y"),),
        attributes=("factor",),
    ),
    OpInfo(
        OpKind.QUANTIZED_SPATIAL_GATE,
        ("bitsr::quantized_spatial_gate",),
        "BitsrQuantizedSpatialGate",
        inputs=(Operand("x"),),
        outputs=(Operand("s", ValueKind.PLANE),),
        constants=(
            Constant("weight", _taps_shape, dtype="i1", layout=_taps),
            Constant("inverse_step", _scalar),
            Constant("scale", _scalar),
            Constant("bias", _scalar),
        ),
        attributes=("kernel_size", "negative", "positive"),
    ),
    OpInfo(
        OpKind.QUANTIZED_CONV2D,
        ("bitsr::quantized_conv2d",),
        "BitsrQuantizedConv2d",
        inputs=(Operand("x"),),
        outputs=(Operand("y"),),
        constants=(
            Constant(
                "weight",
                lambda a, channels: (a["out_channels"], a["kernel_size"], a["kernel_size"], channels),
                dtype="i1",
                layout=lambda array: np.moveaxis(array, 1, -1),
                wide="<i2",
            ),
            Constant("inverse_step", lambda _, channels: (channels,)),
            Constant("scale", _per_output),
            Constant("bias", lambda a, _: (a["border_classes"], a["out_channels"])),
            Constant("slope", _per_output, optional=True),
        ),
        attributes=("out_channels", "kernel_size", "border_classes", "negative", "positive"),
    ),
    OpInfo(
        OpKind.CHANNEL_NORM,
        ("bitsr::channel_norm",),
        "BitsrChannelNorm",
        inputs=(Operand("x"),),
        outputs=(Operand("y"),),
        constants=(
            Constant("weight", _per_channel),
            Constant("bias", _per_channel),
            Constant("epsilon", _scalar),
        ),
    ),
    OpInfo(
        OpKind.PIXEL_GATE,
        ("bitsr::pixel_gate",),
        "BitsrPixelGate",
        inputs=(Operand("x"),),
        outputs=(Operand("gain"),),
        constants=(
            Constant("weight", lambda a, channels: (a["out_channels"], channels)),
            Constant("bias", _per_output),
        ),
        attributes=("out_channels",),
    ),
    OpInfo(
        OpKind.RESCALE,
        ("bitsr::rescale",),
        "BitsrRescale",
        inputs=(
            Operand("x"),
            Operand("channel_gain", ValueKind.VECTOR, optional=True),
            Operand("spatial_gain", ValueKind.PLANE, optional=True),
            Operand("gain", optional=True),
            Operand("residual", optional=True),
        ),
        outputs=(Operand("y"),),
        constants=(Constant("scale", _per_channel, optional=True),),
    ),
)

OPS: dict[OpKind, OpInfo] = {info.kind: info for info in _OPS}
# By the name of the PyTorch op, with its overload where that is not the default one.
TORCH_OPS: dict[str, OpInfo] = {name: info for info in _OPS for name in info.torch_ops}
# By the name of the custom op in a .tflite.
CUSTOM_OPS: dict[str, OpInfo] = {info.tflite_name: info for info in _OPS if info.tflite_name}
