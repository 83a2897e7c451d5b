"""A deploy form as an ONNX graph: our ops as nodes of domain ``bitsr``, the pixel shuffle in ONNX's own DCR order."""

import ast
import copy
import math
from collections.abc import Callable
from typing import Any

import onnx
import torch
from torch import Tensor, nn
from torch.export import ExportedProgram, export

import bitsr.export.ops  # noqa: F401 (registers the ops)
from bitsr.artifact.program import CUSTOM_OPS_VERSION, TORCH_OPS
from bitsr.common.errors import first_line
from bitsr.common.quiet import quiet
from bitsr.export.calls import bind, module_of, read_call, schema_name
from bitsr.export.capture import CAPTURE_ERRORS, capture
from bitsr.export.deploy.folds.diffusion import AttendPixels, EveryOther
from bitsr.export.errors import ExportError
from bitsr.export.tflite.nodes import ATTENTION, DOMAIN
from bitsr.export.tflite.onnx_pixel_shuffle import expand_pixel_shuffles
from bitsr.export.tflite.signature import INPUT_NAMES, OUTPUT_NAME
from bitsr.export.tflite.stock_nodes import STOCK_NODES, without_expansions
from bitsr.export.tflite.swin_onnx import with_window_nodes

_OPSET = 18


def to_onnx(
    module: nn.Module, *, channels: int, max_pixels: int, example_inputs: tuple[Tensor, ...] | None = None
) -> tuple[onnx.ModelProto, int]:
    """Trace a deploy form with dynamic height and width, or with inputs of ``example_inputs`` size.

    The number is the least side that it takes, 1 where the size is given.

    Raises:
        ExportError: it does not allow dynamic sizes, or has an op that ONNX can not hold.
    """
    module = _for_onnx2tf(module)
    min_side = 1
    if example_inputs is None:
        program, min_side = capture(module, channels=channels, side=math.isqrt(max_pixels), refuse=_refuse)
    inputs = example_inputs or (torch.empty(0),)
    try:
        with torch.no_grad(), quiet():
            if example_inputs is not None:
                program = export(module, inputs, strict=False)
            program = _with_our_nodes(program)
            exported = torch.onnx.export(
                program,
                input_names=INPUT_NAMES[: len(inputs)],
                output_names=[OUTPUT_NAME],
                opset_version=_OPSET,
                dynamo=True,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, *CAPTURE_ERRORS) as error:
        raise ExportError(f"torch.onnx can not export {type(module).__name__}: {first_line(error)}") from error
    assert exported is not None  # it is for dynamo=True
    model: onnx.ModelProto = exported.model_proto
    expand_pixel_shuffles(model.graph)
    _name_same_padding(model.graph)
    return model, min_side


# Ops that LiteRT or onnx2tf (1.28.8) have no form of where sides are free, and what does the same or nearly so.
_REFUSED = {
    "aten::upsample_bicubic2d": "use mode='bilinear' or 'nearest'",
    "aten::im2col": "use a convolution, or pad and slices",
    "aten::grid_sampler": "use F.interpolate, or a convolution",
    "aten::grid_sampler_2d": "use F.interpolate, or a convolution",
}


def _refuse(program: ExportedProgram) -> None:
    """Refuse what is known not to be convertible with free sides, before anything is converted."""
    for node in program.graph.nodes:
        schema = getattr(node.target, "_schema", None)
        advice = _REFUSED.get("" if schema is None else schema.name)
        if advice is not None:
            raise ExportError(
                f"{module_of(node)} has no form in LiteRT where height and width are free; {advice}, or export the "
                "network to .pte"
            )


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
    without_expansions(program)
    for node in program.graph.nodes:
        if node.op == "call_function" and node.target == torch.ops.aten.pixel_shuffle.default:
            x, factor = node.args
            node.target, node.args = torch.ops.bitsr.pixel_shuffle.default, (x, None, factor)
    table: dict[Any, Callable[..., Any]] = dict(torch.export.default_decompositions())
    for name in TORCH_OPS:
        namespace, op = name.split("::")
        if namespace == DOMAIN:
            target = getattr(torch.ops.bitsr, op).default
            table[target] = _node_maker(target._schema)
    table.update(STOCK_NODES)
    return program.run_decompositions(table)


def _node_maker(schema: Any) -> Callable[..., Tensor | tuple[Tensor, ...]]:
    """What replaces a call of one of our ops: a node with the operands and options of its custom op."""

    def make(*args: Any, **kwargs: Any) -> Tensor | tuple[Tensor, ...]:
        call = read_call(
            schema_name(schema),
            bind(schema, args, kwargs),
            shape=lambda tensor: tensor.shape,
            # Everything is a tensor here; a threshold (N, C) is that of a picture, one (C,) the layer's.
            is_constant=lambda threshold: threshold.dim() == 1,
        )
        info = call.info
        options = {
            "version": CUSTOM_OPS_VERSION,
            "operands": info.operand_mask(call.inputs, call.constants),
            "results": info.result_mask(call.outputs),
        }
        operands = [call.inputs[item.name] for item in info.inputs if item.name in call.inputs]
        operands += [call.constants[item.name] for item in info.constants if item.name in call.constants]
        results = torch.onnx.ops.symbolic_multi_out(
            f"{DOMAIN}::{info.tflite_name}",
            operands,
            {**options, **call.attributes},
            dtypes=[torch.float32] * len(call.outputs),
            shapes=call.output_shapes(call.inputs["x"].shape),
            version=1,
        )
        return tuple(results) if len(results) > 1 else results[0]

    return make


def describe(node: onnx.NodeProto, graph: onnx.GraphProto) -> str:
    """``aten::view of the module 'body.0'``: the call that a node was made for, or the next one that reads it."""
    while True:
        found = {item.key: item.value for item in node.metadata_props}
        # From the network to the call itself, which is no module.
        scopes = ast.literal_eval(found.get("pkg.torch.onnx.name_scopes", "[]"))
        modules = [scope for scope in scopes[:-1] if scope and not scope.startswith("_")]
        if modules:
            break
        reader = next((other for other in graph.node if set(other.input) & set(node.output)), None)
        if reader is None:
            return node.op_type
        node = reader
    called = str(ast.literal_eval(found.get("pkg.torch.onnx.class_hierarchy", "['']"))[-1])
    name = f"aten::{called.split('.')[1]}" if called.startswith("aten.") else node.op_type
    return f"{name} of the module '{modules[-1]}'"


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
