"""A deploy form as an ONNX graph: our ops as nodes of domain ``bitsr``, the pixel shuffle in ONNX's own DCR order."""

import copy
import math
from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

import bitsr.export.ops  # noqa: F401 (registers the ops)
from bitsr.common.quiet import quiet
from bitsr.export.deploy.rules.diffusion import AttendPixels, EveryOther
from bitsr.export.errors import ExportError
from bitsr.export.tflite.roles import (
    ATTENTION,
    BINARY_CONV2D,
    CHANNEL_GATE,
    DOMAIN,
    PIXEL_SHUFFLE,
    QUANTIZED_SPATIAL_GATE,
    SPATIAL_GATE,
    VERSION,
    CustomOp,
)
from bitsr.export.tflite.shuffles import expand_pixel_shuffles
from bitsr.export.tflite.window_nodes import with_window_nodes

_OPSET = 18


# Of the inputs, in order; only diffusion networks have the second.
INPUT_NAMES = ("x", "timestep")


def to_onnx(
    module: nn.Module, *, channels: int, max_pixels: int, fixed: tuple[Tensor, ...] | None = None
) -> onnx.ModelProto:
    """Trace a deploy form with dynamic height and width, or with inputs of ``fixed`` size.

    Raises:
        ExportError: it does not allow dynamic sizes, or has an op that ONNX can not hold.
    """
    if fixed is None:
        side = math.isqrt(max_pixels)
        # Sides that differ, or the tracer takes them for one dimension.
        inputs: tuple[Tensor, ...] = (torch.rand(1, channels, 24, 32),)
        shapes = ({2: Dim("height", min=2, max=side), 3: Dim("width", min=2, max=side)},)
    else:
        inputs, shapes = fixed, None
    module = _for_onnx2tf(module)
    try:
        with torch.no_grad(), quiet():
            program = export(module, inputs, dynamic_shapes=shapes, strict=False)
            program = _with_our_nodes(program)
            exported = torch.onnx.export(
                program,
                input_names=INPUT_NAMES[: len(inputs)],
                output_names=["y"],
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
    except (torch._dynamo.exc.UserError, torch.onnx.OnnxExporterError, RuntimeError, ValueError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise ExportError(
            f"torch.onnx can not export {type(module).__name__}"
            f"{' with dynamic sizes' if fixed is None else ''}: {first_line}"
        ) from error
    assert exported is not None  # it is for dynamo=True
    model: onnx.ModelProto = exported.model_proto
    expand_pixel_shuffles(model.graph)
    _name_same_padding(model.graph)
    return model


class _AttentionNode(nn.Module):
    """Attention as one node: onnx2tf loses the transpositions of its tokens (1.28.8)."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        return torch.onnx.ops.symbolic(
            f"{DOMAIN}::{ATTENTION}", [query, key, value], dtype=torch.float32, shape=value.shape, version=1
        )


class _Slice(nn.Module):
    """Every other channel as a slice: onnx2tf (1.28.8) makes a stray variable of a grouped convolution."""

    def __init__(self, start: int) -> None:
        super().__init__()
        self.start = start

    def forward(self, x: Tensor) -> Tensor:
        return x[:, self.start :: 2]


def _for_onnx2tf(module: nn.Module) -> nn.Module:
    """A copy with the same numbers in the forms that onnx2tf takes."""
    copied = copy.deepcopy(module)
    for name, child in module.named_modules():
        if isinstance(child, AttendPixels):
            copied.set_submodule(name, _AttentionNode())
        elif isinstance(child, EveryOther):
            copied.set_submodule(name, _Slice(child.start))
    return with_window_nodes(copied)


def _with_our_nodes(program: ExportedProgram) -> ExportedProgram:
    """Replace calls of ``bitsr::`` ops by ONNX nodes, and ATen's pixel shuffle by ours before it is decomposed."""
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target == torch.ops.aten.pixel_shuffle.default:
            x, factor = node.args
            node.target, node.args = torch.ops.bitsr.pixel_shuffle.default, (x, None, factor)
    table: dict[Any, Callable[..., Any]] = dict(torch.export.default_decompositions())
    table.update(
        {
            torch.ops.bitsr.binary_conv2d.default: _binary_conv2d,
            torch.ops.bitsr.channel_shift_gate.default: _channel_shift_gate,
            torch.ops.bitsr.channel_gate.default: _channel_gate,
            torch.ops.bitsr.spatial_gate.default: _spatial_gate,
            torch.ops.bitsr.quantized_spatial_gate.default: _quantized_spatial_gate,
            torch.ops.bitsr.pixel_shuffle.default: _pixel_shuffle,
        }
    )
    return program.run_decompositions(table)


def _node(
    op: CustomOp, given: dict[str, Tensor | None], shapes: dict[str, tuple[Any, ...]], attributes: tuple[int, ...]
) -> tuple[Tensor, ...]:
    present = {role: tensor for role, tensor in given.items() if tensor is not None}
    results = sum(1 << place for place, role in enumerate(op.outputs) if role in shapes)
    options = {"version": VERSION, "operands": op.mask(present), "results": results}
    return tuple(
        torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::{op.name}",
            [present[role] for role in op.operands if role in present],
            {**options, **dict(zip(op.attributes, attributes, strict=True))},
            dtypes=[torch.float32] * len(shapes),
            shapes=[shapes[role] for role in op.outputs if role in shapes],
            version=1,
        )
    )


def _binary_conv2d(
    x: Tensor,
    threshold: Tensor,
    weight_bits: Tensor,
    scale: Tensor,
    shift: Tensor | None = None,
    inner_slope: Tensor | None = None,
    inner_shift: Tensor | None = None,
    channel_gain: Tensor | None = None,
    spatial_gain: Tensor | None = None,
    residual: Tensor | None = None,
    slope: Tensor | None = None,
) -> Tensor:
    planes, out_channels, kernel = weight_bits.shape[:3]
    # Of each picture: (N, C); of the layer: (C,).
    of_picture = threshold.dim() == 2
    given = {
        "x": x,
        "picture_threshold": threshold if of_picture else None,
        "channel_gain": channel_gain,
        "spatial_gain": spatial_gain,
        "residual": residual,
        "threshold": None if of_picture else threshold,
        "weight_bits": weight_bits,
        "scale": scale,
        "shift": shift,
        "inner_slope": inner_slope,
        "inner_shift": inner_shift,
        "slope": slope,
    }
    shape = (x.shape[0], out_channels, x.shape[2], x.shape[3])
    return _node(BINARY_CONV2D, given, {"y": shape}, (out_channels, kernel, planes))[0]


def _gate(
    x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, outputs: dict[str, tuple[Any, ...]], linear: int
) -> tuple[Tensor, ...]:
    given: dict[str, Tensor | None] = {"x": x, "w1": w1, "b1": b1, "w2": w2, "b2": b2}
    return _node(CHANNEL_GATE, given, outputs, (w1.shape[0], w2.shape[0], linear))


def _channel_shift_gate(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, ...]:
    half = w2.shape[0] // 2
    return _gate(x, w1, b1, w2, b2, {"linear": (x.shape[0], half), "sigmoid": (x.shape[0], half)}, half)


def _channel_gate(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, sigmoid: bool) -> Tensor:
    total = w2.shape[0]
    role = "sigmoid" if sigmoid else "linear"
    return _gate(x, w1, b1, w2, b2, {role: (x.shape[0], total)}, 0 if sigmoid else total)[0]


def _spatial_gate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    shape = (x.shape[0], 1, x.shape[2], x.shape[3])
    return _node(SPATIAL_GATE, {"x": x, "weight": weight, "bias": bias}, {"s": shape}, (weight.shape[-1],))[0]


def _quantized_spatial_gate(
    x: Tensor, weight: Tensor, inverse_step: Tensor, scale: Tensor, bias: Tensor, negative: int, positive: int
) -> Tensor:
    shape = (x.shape[0], 1, x.shape[2], x.shape[3])
    given: dict[str, Tensor | None] = {
        "x": x,
        "weight": weight,
        "inverse_step": inverse_step,
        "scale": scale,
        "bias": bias,
    }
    return _node(QUANTIZED_SPATIAL_GATE, given, {"s": shape}, (weight.shape[-1], negative, positive))[0]


def _pixel_shuffle(x: Tensor, skip: Tensor | None, factor: int) -> Tensor:
    batch, channels, height, width = x.shape
    shape = (batch, channels // factor**2, height * factor, width * factor)
    return _node(PIXEL_SHUFFLE, {"x": x, "skip": skip}, {"y": shape}, (factor,))[0]


def _name_same_padding(graph: onnx.GraphProto) -> None:
    """Give convolutions that keep the size TensorFlow's name for it; else onnx2tf puts a PAD before each."""
    for node in graph.node:
        if node.op_type != "Conv":
            continue
        options = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
        kernel, pads = list(options["kernel_shape"]), list(options.get("pads", []))
        plain = all(set(options.get(name, [1])) == {1} for name in ("strides", "dilations"))
        if plain and any(pads) and pads == [side // 2 for side in kernel] * 2 and all(side % 2 for side in kernel):
            kept = [a for a in node.attribute if a.name not in ("pads", "auto_pad")]
            del node.attribute[:]
            node.attribute.extend([*kept, onnx.helper.make_attribute("auto_pad", "SAME_UPPER")])
