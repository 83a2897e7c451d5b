"""One-op programs with golden inputs and expected outputs, for the per-op parity.

The program has the artifact's constants, inputs and expected outputs are the eager reference's. A binary convolution
gives three kinds of cases: its integer accumulators (one weight plane, scale 1, nothing fused), its packed input bits,
and its values with everything fused.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bitsr.artifact.program import OPS, Op, Operand, OpKind, Program, Value, ValueKind
from bitsr.export import ops
from bitsr.export.packing import pack_weight
from bitsr.export.parity.artifact_ops import ArtifactOp
from bitsr.export.parity.recording import OpCall
from bitsr.validation.errors import TargetError
from bitsr.validation.targets.runner_files import Map


@dataclass(frozen=True)
class OpCase:
    """One replay: ``index`` counts the artifact's ops, ``check`` says what is compared, bit for bit."""

    index: int
    kind: OpKind
    module: str
    check: str
    program: Program
    inputs: tuple[Map, ...]
    expected: tuple[Map, ...]


def make_op_cases(index: int, own: ArtifactOp, call: OpCall) -> list[OpCase]:
    """The cases of one op.

    Raises:
        TargetError: the artifact's op takes other inputs than the reference's call.
    """
    make = _CASES[own.op.kind]
    info = OPS[own.op.kind]
    constants = {item.name for item in info.constants}
    for place, item in enumerate(info.inputs):
        # A constant threshold is no input, but always an argument.
        if (own.op.inputs[place] is None) != (call.arguments[item.name] is None) and item.name not in constants:
            raise TargetError(
                f"op {index} ({own.op.kind.name.lower()}, {call.module}) and the network differ in input {place} "
                f"({item.name}); export the model again"
            )
    return make(index, own, call)


def _program(op: Op, inputs: list[Tensor | None], outputs: list[Tensor | None]) -> Program:
    """A program of ``op`` alone, its places filled with the tensors that are not ``None``."""
    program = Program()
    height = next(tensor for tensor in inputs if tensor is not None).shape[2]

    def add(tensor: Tensor | None, operand: Operand) -> int | None:
        if tensor is None:
            return None
        up = 1 if operand.kind is ValueKind.VECTOR else tensor.shape[2] // height
        return program.add_value(Value(operand.kind, tensor.shape[1], up=up))

    info = OPS[op.kind]
    sources = tuple(add(tensor, operand) for tensor, operand in zip(inputs, info.inputs, strict=True))
    results = tuple(add(tensor, operand) for tensor, operand in zip(outputs, info.outputs, strict=True))
    program.inputs = [number for number in sources if number is not None]
    program.outputs = [number for number in results if number is not None]
    program.ops = [Op(op.kind, sources, results, op.constants, op.attributes)]
    return program


def _case(
    index: int,
    own: ArtifactOp,
    call: OpCall,
    check: str,
    op: Op,
    inputs: list[Tensor | None],
    expected: Sequence[Tensor | None],
) -> OpCase:
    program = _program(op, inputs, list(expected))
    given, results = ([_array(tensor) for tensor in some if tensor is not None] for some in (inputs, expected))
    return OpCase(index, own.op.kind, call.module, check, program, tuple(given), tuple(results))


def _array(tensor: Tensor) -> Map:
    return np.ascontiguousarray(tensor.detach().float().numpy())


def _binary_conv2d(index: int, own: ArtifactOp, call: OpCall) -> list[OpCase]:
    a = call.arguments
    op, (out_channels, kernel, planes) = own.op, own.op.attributes
    x, threshold, bits, scale = a["x"], a["threshold"], a["weight_bits"], a["scale"]
    per_picture = threshold if op.inputs[1] is not None else None
    plain = [x, per_picture, None, None, None]
    ones = np.ones((1, out_channels), np.float32)
    packed = op.constants[1]
    if packed is None or packed.shape[0] != bits.shape[0]:
        raise TargetError(f"op {index} ({call.module}) has not the network's weight planes; export the model again")

    cases = []
    for plane in range(planes):
        dot = ops.binary_conv2d(x, threshold, bits[plane : plane + 1].contiguous(), torch.ones_like(scale[:1]))
        constants = (op.constants[0], packed[plane : plane + 1], ones, None, None, None, None)
        accumulator = Op(op.kind, op.inputs, op.outputs, constants, (out_channels, kernel, 1))
        cases.append(_case(index, own, call, f"accumulators of plane {plane}", accumulator, plain, [dot]))

    signs = torch.where(x >= threshold.reshape(-1, x.shape[1], 1, 1), 1.0, -1.0)
    cases.append(_case(index, own, call, "packed bits", _sign_probe(own), plain, [signs]))

    # Every rounding of the epilogue is fixed (law 5), so that the values are exact as well.
    inputs = [x, per_picture, a["channel_gain"], a["spatial_gain"], a["residual"]]
    cases.append(_case(index, own, call, "values", op, inputs, call.results))
    return cases


def _sign_probe(own: ArtifactOp) -> Op:
    """A 1x1 binary convolution that gives the packed bits of its input as -1 and +1.

    Plane 0 has all weights +1, plane 1 the same with channel c negative for output c: half their difference is the
    sign of channel c, in exact integers.
    """
    channels = own.channels
    every = torch.ones(channels, channels, 1, 1)
    one_less = every - 2 * torch.eye(channels)[..., None, None]
    bits = torch.stack([pack_weight(every), pack_weight(one_less)]).numpy().view("<u8")
    scale = np.repeat(np.array([[0.5], [-0.5]], np.float32), channels, axis=1)
    op = own.op
    constants = (op.constants[0], bits, scale, None, None, None, None)
    inputs = (op.inputs[0], op.inputs[1], None, None, None)
    return Op(op.kind, inputs, op.outputs, constants, (channels, 1, 2))


def _values(index: int, own: ArtifactOp, call: OpCall) -> list[OpCase]:
    """Every rounding is fixed (law 6), so that the values are all there is to compare."""
    inputs = [call.arguments[operand.name] for operand in OPS[own.op.kind].inputs]
    return [_case(index, own, call, "values", own.op, inputs, call.results)]


_CASES: dict[OpKind, Callable[[int, ArtifactOp, OpCall], list[OpCase]]] = {
    kind: _binary_conv2d if kind is OpKind.BINARY_CONV2D else _values for kind in OPS
}
