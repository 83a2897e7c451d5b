"""Rewrite a float .tflite that someone else converted: sign -> CONV_2D with binary weights becomes our op.

Two forms of the sign are known: ``SIGN(x)`` and ``SELECT_V2(GREATER_EQUAL(x, t), 1, -1)``, t one number or one a
channel. A PAD with zeros may lie between sign and convolution. Weights are -a and +a, one a > 0 for each filter: the
converter folds scales into them. SIGN gives 0 for 0 where our op gives +1 (ARCHITECTURE.md, law 1).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from bitsr.artifact.flatbuffer import pack, parse_model, schema
from bitsr.export.errors import ExportError
from bitsr.export.packing import pack_weight
from bitsr.export.tflite.roles import BINARY_CONV2D, OPERATOR_VERSION, VERSION


@dataclass(frozen=True)
class Rewritten:
    """The new file, the convolutions that became ours, and those that follow a sign and did not, with the reason."""

    content: bytes
    replaced: list[str]
    refused: dict[str, str]


class _Refusal(Exception):  # noqa: N818 (it never leaves this module)
    """Why a convolution stays as it is."""


def rewrite(content: bytes, *, name: str) -> Rewritten:
    """Rewrite every binary convolution that our kernels can run; ``name`` names the file in errors.

    Raises:
        ArtifactError: the file is no .tflite, or broken.
        ExportError: none of its convolutions can be rewritten; the message has the reasons.
    """
    model = parse_model(content, name=name)
    if len(model.subgraphs) != 1:
        raise ExportError(f"{name} has {len(model.subgraphs)} graphs, expected 1; convert the inference graph alone")
    graph = _Graph(model)
    replaced: list[str] = []
    refused: dict[str, str] = {}
    for index, op in enumerate(graph.ops):
        if graph.name(op) != "CONV_2D":
            continue
        output = graph.tensor_name(op.outputs[0])
        try:
            sign = _find_sign(graph, op)
            if sign is None:
                continue  # an ordinary float layer
            graph.ops[index] = _binary_conv2d(graph, op, sign)
            replaced.append(output)
        except _Refusal as refusal:
            refused[output] = str(refusal)
    if not replaced:
        reasons = "; ".join(f"{conv}: {reason}" for conv, reason in refused.items())
        raise ExportError(
            f"{name} has no convolution that can be rewritten ({reasons or 'none has a sign before it'}); expected "
            "SIGN, or SELECT_V2 of GREATER_EQUAL, before a CONV_2D with weights of -a and +a"
        )
    graph.drop_unused()
    return Rewritten(pack(model), replaced, refused)


@dataclass(frozen=True)
class _Sign:
    """A binarized operand: from ``x``, by ``threshold``; ``padding`` on every side of it."""

    x: int
    threshold: NDArray[np.float32]
    padding: int


class _Graph:
    """A ``ModelT`` with one graph, and who makes and reads its tensors."""

    def __init__(self, model: Any) -> None:
        self.S = schema()
        self.model = model
        self.graph = model.subgraphs[0]
        self.ops: list[Any] = self.graph.operators
        builtins = vars(self.S.BuiltinOperator).items()
        self._names: dict[int, str] = {value: key for key, value in builtins if isinstance(value, int)}
        self._producers = {int(tensor): op for op in self.ops for tensor in op.outputs}
        self._code: int | None = None

    def name(self, op: Any) -> str:
        code = self.model.operatorCodes[op.opcodeIndex]
        builtin: int = max(code.builtinCode, code.deprecatedBuiltinCode)
        return self._names[builtin]

    def producer(self, tensor: int) -> Any | None:
        return self._producers.get(int(tensor))

    def tensor_name(self, tensor: int) -> str:
        found = self.graph.tensors[int(tensor)].name
        return found.decode() if isinstance(found, bytes) else str(found)

    def shape(self, tensor: int) -> list[int]:
        return [int(side) for side in self.graph.tensors[int(tensor)].shape]

    def constant(self, tensor: int) -> NDArray[Any] | None:
        """The constant behind a tensor of float32 or int32; ``None`` if it is computed."""
        found = self.graph.tensors[int(tensor)]
        data = self.model.buffers[found.buffer].data
        types = {self.S.TensorType.FLOAT32: np.float32, self.S.TensorType.INT32: np.int32}
        if data is None or found.type not in types:
            return None
        shape = [] if found.shape is None else self.shape(tensor)
        return np.frombuffer(np.asarray(data, np.uint8).tobytes(), types[found.type]).reshape(shape)

    def add_constant(self, name: str, array: NDArray[Any]) -> int:
        types = {np.dtype(np.float32): self.S.TensorType.FLOAT32, np.dtype(np.int64): self.S.TensorType.INT64}
        buffer = self.S.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(array).tobytes(), np.uint8)
        self.model.buffers.append(buffer)
        tensor = self.S.TensorT()
        tensor.name, tensor.type = name.encode(), types[array.dtype]
        tensor.shape, tensor.buffer = np.array(array.shape, np.int32), len(self.model.buffers) - 1
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def operator_code(self) -> int:
        """Number of our operator code, which is added once."""
        if self._code is None:
            code = self.S.OperatorCodeT()
            code.builtinCode = code.deprecatedBuiltinCode = self.S.BuiltinOperator.CUSTOM
            code.customCode, code.version = BINARY_CONV2D.name.encode(), OPERATOR_VERSION
            self.model.operatorCodes.append(code)
            self._code = len(self.model.operatorCodes) - 1
        return self._code

    def drop_unused(self) -> None:
        """Remove ops whose results nobody reads, then tensors and buffers that nothing names."""
        results = {int(tensor) for tensor in self.graph.outputs}
        kept: list[Any] = []
        for op in reversed(self.ops):
            if any(int(tensor) in results for tensor in op.outputs):
                results.update(int(tensor) for tensor in op.inputs)
                kept.append(op)
        self.graph.operators = self.ops = kept[::-1]
        used = results | {int(t) for op in kept for t in op.outputs} | {int(t) for t in self.graph.inputs}
        tensors = sorted(tensor for tensor in used if tensor >= 0)
        number = {old: new for new, old in enumerate(tensors)}
        self.graph.tensors = [self.graph.tensors[old] for old in tensors]
        for op in kept:
            op.inputs = np.array([number.get(int(t), -1) for t in op.inputs], np.int32)
            op.outputs = np.array([number[int(t)] for t in op.outputs], np.int32)
        self.graph.inputs = np.array([number[int(t)] for t in self.graph.inputs], np.int32)
        self.graph.outputs = np.array([number[int(t)] for t in self.graph.outputs], np.int32)
        for signature in self.model.signatureDefs or []:
            for item in [*signature.inputs, *signature.outputs]:
                item.tensorIndex = number[item.tensorIndex]
        self._drop_buffers()

    def _drop_buffers(self) -> None:
        holders = [*self.graph.tensors, *(self.model.metadata or [])]
        old = [0, *sorted({holder.buffer for holder in holders} - {0})]  # buffer 0 is the empty one
        number = {buffer: new for new, buffer in enumerate(old)}
        self.model.buffers = [self.model.buffers[buffer] for buffer in old]
        for holder in holders:
            holder.buffer = number[holder.buffer]
        self.model.metadataBuffer = None


def _find_sign(graph: _Graph, conv: Any) -> _Sign | None:
    """The sign before a convolution; ``None`` if there is none."""
    operand, padding = int(conv.inputs[0]), 0
    op = graph.producer(operand)
    if op is not None and graph.name(op) == "PAD":
        operand = int(op.inputs[0])
        pads = graph.constant(op.inputs[1])
        op = graph.producer(operand)
        is_sign = op is not None and graph.name(op) in ("SIGN", "SELECT_V2")
        if is_sign and pads is not None:
            sides = pads.reshape(-1, 2).tolist()
            padding = int(sides[1][0])
            if sides != [[0, 0], [padding, padding], [padding, padding], [0, 0]]:
                raise _Refusal(f"its padding is {sides}, expected the same on all four sides")
    if op is None:
        return None
    channels = graph.shape(operand)[-1]
    if graph.name(op) == "SIGN":
        return _Sign(int(op.inputs[0]), np.zeros(channels, np.float32), padding)
    if graph.name(op) != "SELECT_V2":
        return None
    values = [graph.constant(tensor) for tensor in op.inputs[1:]]
    if any(value is None or value.size != 1 for value in values):
        return None
    high, low = (float(value.reshape(-1)[0]) for value in values if value is not None)
    compare = graph.producer(op.inputs[0])
    if compare is None or (high, low) != (1.0, -1.0) or graph.name(compare) != "GREATER_EQUAL":
        how = "a computed mask" if compare is None else graph.name(compare)
        raise _Refusal(f"its input chooses {high:g} or {low:g} by {how}, expected 1 or -1 by GREATER_EQUAL")
    threshold = graph.constant(compare.inputs[1])
    if threshold is None or threshold.size not in (1, channels):
        raise _Refusal("its threshold is no constant with one number or one a channel")
    return _Sign(int(compare.inputs[0]), np.resize(threshold.reshape(-1), channels).astype(np.float32), padding)


def _binary_conv2d(graph: _Graph, conv: Any, sign: _Sign) -> Any:
    from flatbuffers import flexbuffers

    S = graph.S
    weight = graph.constant(conv.inputs[1])
    if weight is None or weight.dtype != np.float32:
        raise _Refusal("its weights are no float32 constant")
    scale = np.abs(weight[:, :1, :1, :1])
    if not (np.array_equal(np.abs(weight), np.broadcast_to(scale, weight.shape)) and (scale > 0).all()):
        raise _Refusal("its weights are not -a and +a with one a for each output channel")
    out_channels, kernel, width, channels = weight.shape
    if kernel != width or kernel not in (1, 3):
        raise _Refusal(f"its kernel is {kernel}x{width}, expected 1x1 or 3x3")
    if channels != sign.threshold.size:
        raise _Refusal(f"it has groups: {channels} of {sign.threshold.size} channels a filter")
    options = conv.builtinOptions
    steps = (options.strideH, options.strideW, options.dilationHFactor, options.dilationWFactor)
    if steps != (1, 1, 1, 1):
        raise _Refusal(f"its strides and dilations are {steps}, expected 1")
    padding = sign.padding + (kernel // 2 if options.padding == S.Padding.SAME else 0)
    if padding != kernel // 2:
        raise _Refusal(f"its padding is {padding}, expected {kernel // 2} on each side")
    activations = {S.ActivationFunctionType.NONE: None, S.ActivationFunctionType.RELU: 0.0}
    if options.fusedActivationFunction not in activations:
        raise _Refusal("its fused activation is neither none nor ReLU")
    slope = activations[options.fusedActivationFunction]

    signs = torch.from_numpy(np.sign(weight).transpose(0, 3, 1, 2).copy())
    constants: dict[str, NDArray[Any]] = {
        "threshold": sign.threshold,
        "weight_bits": pack_weight(signs).unsqueeze(0).numpy(),
        "scale": scale.reshape(1, out_channels),
    }
    if len(conv.inputs) > 2 and conv.inputs[2] >= 0:
        bias = graph.constant(conv.inputs[2])
        if bias is None:
            raise _Refusal("its bias is computed")
        if bias.any():
            constants["shift"] = bias
    if slope is not None:
        constants["slope"] = np.full(out_channels, slope, np.float32)

    name = graph.tensor_name(conv.outputs[0])
    roles = ["x", *constants]
    attributes = dict(zip(BINARY_CONV2D.attributes, (out_channels, kernel, 1), strict=True))
    settings = {"version": VERSION, "operands": BINARY_CONV2D.mask(roles), "results": 1, **attributes}
    ordered = [role for role in BINARY_CONV2D.constants if role in constants]
    new = S.OperatorT()
    new.opcodeIndex = graph.operator_code()
    new.inputs = np.array(
        [sign.x, *(graph.add_constant(f"{name}/{role}", constants[role]) for role in ordered)], np.int32
    )
    new.outputs = conv.outputs
    new.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(settings)), np.uint8)
    new.customOptionsFormat = S.CustomOptionsFormat.FLEXBUFFERS
    return new
