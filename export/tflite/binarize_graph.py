"""Rewrite a .tflite that someone else converted: sign -> convolution with binary weights becomes our op.

What makes -1 and +1 is found by :mod:`bitsr.export.tflite.find_sign`. Weights are -a and +a, one a for each filter: the
converter folds scales into them. Our op pads with zeros and has stride 1; what a convolution has of less padding or
more stride is cut out of our op's result, so that it computes the same. A fully connected layer is a 1x1 convolution of
one pixel.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bitsr.artifact.flatbuffer import pack, parse_model
from bitsr.artifact.program import CUSTOM_OPS_VERSION, OPS, OpKind
from bitsr.export.errors import ExportError
from bitsr.export.packing import pack_weight
from bitsr.export.tflite.find_sign import Refusal, Sign, chain_names, find_sign
from bitsr.export.tflite.graph import Graph

_OURS = OPS[OpKind.BINARY_CONV2D]
# Behind every threshold: what is padded with it before a sign is +1 behind it.
_LARGEST = np.float32(3e38)
_KNOWN = {
    "DEPTHWISE_CONV_2D": "it is depthwise: our kernels sum over all channels",
    "TRANSPOSE_CONV": "it is transposed: our kernels have no such form",
}
# Fewer weights a filter may all be of one size in a float layer.
_CHANCE = 4
# Place of the operand where it is not the first.
_OPERAND = {"TRANSPOSE_CONV": 2}
# (top, bottom, left, right)
Sides = tuple[int, int, int, int]


@dataclass(frozen=True)
class Rewritten:
    """The new file, the layers that became ours, and those that follow a sign and did not, with the reason."""

    content: bytes
    replaced: list[str]
    refused: dict[str, str]


def rewrite(content: bytes, *, name: str) -> Rewritten:
    """Rewrite every binary layer that our kernels can run; ``name`` names the file in errors.

    Raises:
        ArtifactError: the file is no .tflite, or broken.
        ExportError: none of its layers can be rewritten; the message has the reasons.
    """
    model = parse_model(content, name=name)
    if len(model.subgraphs) != 1:
        raise ExportError(f"{name} has {len(model.subgraphs)} graphs, expected 1; convert the inference graph alone")
    graph = Graph(model)
    new_ops: dict[int, list[Any]] = {}
    refused: dict[str, str] = {}
    replaced: list[str] = []
    for index, op in enumerate(graph.ops):
        kind = graph.name(op)
        if kind not in ("CONV_2D", "FULLY_CONNECTED", *_KNOWN):
            continue
        output = graph.tensor_name(op.outputs[0])
        try:
            operand = _find_operand(graph, op)
            if operand is None:
                if kind in ("CONV_2D", "FULLY_CONNECTED") and _is_binary(graph.constant(op.inputs[1])):
                    raise Refusal(
                        "its weights are binary, but its operand is not made by a step from -1 to +1 that is known "
                        f"here ({chain_names(graph, int(op.inputs[0]))})"
                    )
                continue  # an ordinary float layer
            if kind in _KNOWN:
                raise Refusal(_KNOWN[kind])
            layer = _Layer(graph, op, operand)
            new_ops[index] = layer.dense() if kind == "FULLY_CONNECTED" else layer.convolution()
            replaced.append(output)
        except Refusal as refusal:
            refused[output] = str(refusal)
    if not replaced:
        reasons = "; ".join(f"{layer}: {reason}" for layer, reason in refused.items())
        raise ExportError(
            f"{name} has no layer that can be rewritten ({reasons or 'none has a sign before it'}); expected a "
            "convolution or dense layer with weights of -a and +a behind a step from -1 to +1 (SIGN, or a comparison "
            "that selects them)"
        )
    graph.replace(new_ops)
    return Rewritten(pack(model), replaced, refused)


def _is_binary(weight: NDArray[Any] | None) -> bool:
    """Weights of -a and +a, one a for each filter, and too many of them for chance."""
    if weight is None or weight.dtype != np.float32 or weight.ndim < 2 or weight.size < _CHANCE * len(weight):
        return False
    sizes = np.abs(weight).reshape(len(weight), -1)
    return bool((sizes == sizes[:, :1]).all() and (sizes > 0).all() and (weight < 0).any() and (weight > 0).any())


@dataclass(frozen=True)
class _Operand:
    """A binarized operand; ``padding`` with ``value``, which is 0, 1 or -1, is behind the sign."""

    sign: Sign
    padding: Sides = (0, 0, 0, 0)
    value: float = 0.0


def _find_operand(graph: Graph, op: Any) -> _Operand | None:
    """What is binary before an op; ``None`` if nothing is."""
    at = int(op.inputs[_OPERAND.get(graph.name(op), 0)])
    pad = graph.producer(at)
    if pad is None or graph.name(pad) not in ("PAD", "PADV2"):
        sign = find_sign(graph, at)
        return None if sign is None else _Operand(sign)
    sign = find_sign(graph, int(pad.inputs[0]))
    if sign is None:
        return None
    pads = graph.constant(pad.inputs[1])
    if pads is None:
        raise Refusal("its padding is computed")
    sides = [[int(number) for number in pair] for pair in pads.reshape(-1, 2)]
    if len(sides) != 4 or sides[0] != [0, 0] or sides[3] != [0, 0]:
        raise Refusal(f"its padding is {sides}, expected it in height and width alone")
    value = graph.constant(pad.inputs[2]) if len(pad.inputs) > 2 else None
    number = 0.0 if value is None else float(value.reshape(-1)[0])
    if number not in (0.0, 1.0, -1.0):
        raise Refusal(f"it is padded with {number:g} behind its sign, expected 0, 1 or -1")
    return _Operand(sign, (*sides[1], *sides[2]), number)  # type: ignore[arg-type]


class _Layer:
    """A layer of binary weights and operand, and the ops that take its place."""

    def __init__(self, graph: Graph, op: Any, operand: _Operand) -> None:
        self._graph = graph
        self._op = op
        self._operand = operand
        self._name = graph.tensor_name(op.outputs[0])
        weight = graph.constant(op.inputs[1])
        if weight is None or weight.dtype != np.float32 or list(weight.shape) != graph.shape(op.inputs[1]):
            raise Refusal("its weights are no float constant")
        # (Co, k, k, C), those of a dense layer as of a 1x1 convolution.
        self._weight = weight if weight.ndim == 4 else weight.reshape(weight.shape[0], 1, 1, -1)
        self._scale = np.abs(self._weight).max(axis=(1, 2, 3), keepdims=True)
        if not np.array_equal(np.abs(self._weight), np.broadcast_to(self._scale, self._weight.shape)):
            zeros = (self._weight == 0).mean()
            some = f" ({zeros:.0%} of them are 0)" if zeros else ""
            raise Refusal(f"its weights are not -a and +a with one a for each output channel{some}")
        self._activation = graph.activation(op)
        if self._activation not in ("NONE", "RELU", "RELU6", "RELU_N1_TO_1"):
            raise Refusal(f"its fused activation is {self._activation}, expected none or a ReLU")
        self._biases = graph.constant(op.inputs[2]) if len(op.inputs) > 2 and op.inputs[2] >= 0 else None
        if self._biases is None and len(op.inputs) > 2 and op.inputs[2] >= 0:
            raise Refusal("its bias is computed")

    def convolution(self) -> list[Any]:
        graph, sign = self._graph, self._operand.sign
        _, kernel, width, channels = self._weight.shape
        if channels != sign.threshold.size:
            groups = sign.threshold.size // channels
            raise Refusal(f"it has {groups} groups: our kernels sum over all channels")
        if kernel != width or kernel not in (1, 3):
            raise Refusal(f"its kernel is {kernel}x{width}, expected 1x1 or 3x3")
        options = self._op.builtinOptions
        if (options.dilationHFactor, options.dilationWFactor) != (1, 1):
            raise Refusal(f"its dilation is {options.dilationHFactor}x{options.dilationWFactor}, expected 1")
        x, ops = sign.x, []
        # Of zeros, which our op has of its own up to k // 2.
        padding = self._operand.padding
        if self._operand.value:
            x, pad = self._pad_before(x)
            ops, padding = [pad], (0, 0, 0, 0)
        shape = graph.shape(x)
        if options.padding == graph.S.Padding.SAME:
            if any(padding):
                raise Refusal("it is padded twice, by a PAD and by itself")
            padding = (
                *_same(shape[1], kernel, options.strideH),
                *_same(shape[2], kernel, options.strideW),
            )
        if max(padding) > kernel // 2:
            raise Refusal(f"its padding is {max(padding)}, expected at most {kernel // 2} on each side")
        return ops + self._rewritten(x, (options.strideH, options.strideW), padding)

    def dense(self) -> list[Any]:
        graph, sign = self._graph, self._operand.sign
        out_channels, channels = self._weight.shape[0], self._weight.shape[3]
        if channels != sign.threshold.size or len(graph.shape(self._op.outputs[0])) != 2:
            raise Refusal(f"it takes {channels} of a tensor of {sign.threshold.size} channels, expected (N, C)")
        rows = graph.add_map(f"{self._name}/pixels", [-1, 1, 1, channels])
        ops = [self._reshape(sign.x, rows, [-1, 1, 1, channels])]
        pixels = graph.add_map(f"{self._name}/sums", [-1, 1, 1, out_channels])
        ops.append(self._ours(rows, pixels))
        result = int(self._op.outputs[0])
        flat = result if self._in_ours else graph.add_map(f"{self._name}/flat", [-1, out_channels])
        ops.append(self._reshape(pixels, flat, [-1, out_channels]))
        return ops if self._in_ours else [*ops, graph.builtin(self._activation, [flat], result)]

    @property
    def _in_ours(self) -> bool:
        """Whether our op has the activation."""
        return self._activation in ("NONE", "RELU")

    def _rewritten(self, x: int, strides: tuple[int, int], padding: Sides) -> list[Any]:
        """Our op, then what is cut out of its result, then the activation that it has not."""
        graph = self._graph
        half = self._weight.shape[1] // 2
        top, bottom, left, right = (half - side for side in padding)
        cut = strides != (1, 1) or any((top, bottom, left, right))
        shape = [*graph.shape(x)[:3], self._weight.shape[0]]
        result = int(self._op.outputs[0])
        whole = graph.add_map(f"{self._name}/whole", shape) if cut or not self._in_ours else result
        ops = [self._ours(x, whole)]
        if cut:
            part = result if self._in_ours else graph.add_map(f"{self._name}/part", graph.shape(result))
            bounds = ([0, top, left, 0], [0, -bottom, -right, 0], [1, *strides, 1])
            options = graph.S.StridedSliceOptionsT()
            options.beginMask = 0b1001
            # An end of -0 would be the beginning: it is masked instead.
            options.endMask = 0b1001 | (0 if bottom else 0b0010) | (0 if right else 0b0100)
            inputs = [graph.add_constant(f"{self._name}/cut", np.array(bound, np.int32)) for bound in bounds]
            ops.append(graph.builtin("STRIDED_SLICE", [whole, *inputs], part, options))
            whole = part
        return ops if self._in_ours else [*ops, graph.builtin(self._activation, [whole], result)]

    def _ours(self, x: int, result: int) -> Any:
        graph, sign = self._graph, self._operand.sign
        out_channels, kernel = self._weight.shape[:2]
        weight = -self._weight if sign.negative else self._weight
        signs = torch.from_numpy(np.where(weight < 0, -1, 1).transpose(0, 3, 1, 2).astype(np.float32))
        constants: dict[str, NDArray[Any]] = {
            "threshold": sign.threshold,
            "weight_bits": pack_weight(signs).unsqueeze(0).numpy(),
            "scale": self._scale.reshape(1, out_channels).astype(np.float32),
        }
        if self._biases is not None and self._biases.any():
            constants["shift"] = self._biases.reshape(-1).astype(np.float32)
        if self._activation == "RELU":
            constants["slope"] = np.zeros(out_channels, np.float32)
        options = {
            "version": CUSTOM_OPS_VERSION,
            "operands": _OURS.operand_mask(["x"], constants),
            "results": _OURS.result_mask(["y"]),
            **_OURS.named((out_channels, kernel, 1)),
        }
        ordered = [constant.name for constant in _OURS.constants if constant.name in constants]
        operands = [x, *(graph.add_constant(f"{self._name}/{name}", constants[name]) for name in ordered)]
        return graph.custom(_OURS.tflite_name, operands, [result], options)

    def _pad_before(self, x: int) -> tuple[int, Any]:
        """Padding with +1 or -1 behind the sign is one with a large number before it."""
        graph, (top, bottom, left, right) = self._graph, self._operand.padding
        is_large = (self._operand.value > 0) is not self._operand.sign.negative
        number, height, width, channels = graph.shape(x)
        shape = [
            number,
            -1 if height < 0 else height + top + bottom,
            -1 if width < 0 else width + left + right,
            channels,
        ]
        padded = graph.add_map(f"{self._name}/padded", shape)
        pads = np.array([[0, 0], [top, bottom], [left, right], [0, 0]], np.int32)
        value = np.array(_LARGEST if is_large else -_LARGEST, np.float32)
        operands = [x, graph.add_constant(f"{self._name}/pads", pads), graph.add_constant(f"{self._name}/value", value)]
        return padded, graph.builtin("PADV2", operands, padded, graph.S.PadV2OptionsT())

    def _reshape(self, x: int, result: int, shape: list[int]) -> Any:
        graph = self._graph
        options = graph.S.ReshapeOptionsT()
        options.newShape = np.array(shape, np.int32)
        constant = graph.add_constant(f"{self._name}/shape", np.array(shape, np.int32))
        return graph.builtin("RESHAPE", [x, constant], result, options)


def _same(side: int, kernel: int, stride: int) -> tuple[int, int]:
    """TensorFlow's padding before and behind."""
    if stride == 1:
        return kernel // 2, kernel // 2
    if side < 0:
        raise Refusal(f"its stride is {stride} with SAME padding, which depends on a size that is not known")
    total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
    return total // 2, total - total // 2
