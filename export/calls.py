"""What becomes of a call of an op in an artifact: operands by the names of the op table, and attributes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bitsr.artifact.program import TORCH_OPS, OpInfo, OpKind

Shape = tuple[Any, ...]


@dataclass(frozen=True)
class Call:
    """A call of ``info``: what PyTorch was given for its inputs and constants, which outputs it has, its attributes.

    ``outputs`` are names in the order of the table, which is that of PyTorch's results.
    """

    info: OpInfo
    inputs: dict[str, Any]
    constants: dict[str, Any]
    outputs: tuple[str, ...]
    attributes: dict[str, int]

    def output_shapes(self, x: Sequence[Any]) -> list[Shape]:
        """Shapes of the outputs for an input x of the shape ``x``."""
        batch, channels, height, width = x
        if self.info.kind is OpKind.CHANNEL_GATE:
            linear = self.attributes["linear_count"]
            counts = {"linear": linear, "sigmoid": self.attributes["outputs"] - linear}
            return [(batch, counts[name]) for name in self.outputs]
        if self.info.kind is OpKind.PIXEL_SHUFFLE:
            factor = self.attributes["factor"]
            return [(batch, channels // factor**2, height * factor, width * factor)]
        if self.info.kind in (OpKind.SPATIAL_GATE, OpKind.QUANTIZED_SPATIAL_GATE):
            return [(batch, 1, height, width)]
        return [(batch, self.attributes.get("out_channels", channels), height, width)]


def schema_name(schema: Any) -> str:
    """``bitsr::binary_conv2d``, ``aten::add.Tensor``: the name of the op table."""
    return f"{schema.name}.{schema.overload_name}" if schema.overload_name else str(schema.name)


def module_of(node: Any) -> str:
    """``aten::roll of the module 'body.0'``: what a node of a captured graph calls, and in which module."""
    schema = getattr(node.target, "_schema", None)
    name = str(node.target) if schema is None else str(schema.name)
    paths = [path for path, _ in (node.meta.get("nn_module_stack") or {}).values()]
    stack = [path for path in paths if path and not path.startswith("_")]
    return f"{name} of the module '{stack[-1]}'" if stack else name


def bind(schema: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """All arguments of a call by their schema name, defaults included."""
    found = {argument.name: kwargs.get(argument.name, argument.default_value) for argument in schema.arguments}
    found.update({argument.name: value for argument, value in zip(schema.arguments, args, strict=False)})
    return found


def read_call(
    name: str,
    arguments: Mapping[str, Any],
    *,
    shape: Callable[[Any], Sequence[Any]],
    is_constant: Callable[[Any], bool],
) -> Call:
    """The call of the op ``name`` of the table with ``arguments`` by schema name.

    ``shape`` and ``is_constant`` say of an argument what shape it has, and whether an artifact holds it as a constant;
    the latter is asked where the op has both an input and a constant of that name.
    """
    info = TORCH_OPS[name]
    given = dict(arguments)
    if info.kind is OpKind.ADD:
        given = {"a": given["self"], "b": given["other"]}
    inputs = {item.name: given[item.name] for item in info.inputs if given[item.name] is not None}
    constants = {item.name: given[item.name] for item in info.constants if given[item.name] is not None}
    for both in inputs.keys() & constants.keys():
        del (inputs if is_constant(given[both]) else constants)[both]
    values = _attributes(name, info, given, shape)
    outputs = tuple(operand.name for operand in info.outputs)
    if info.kind is OpKind.CHANNEL_GATE:
        there = {"linear": values["linear_count"] > 0, "sigmoid": values["linear_count"] < values["outputs"]}
        outputs = tuple(item for item in outputs if there[item])
    return Call(info, inputs, constants, outputs, values)


def _attributes(
    name: str, info: OpInfo, given: Mapping[str, Any], shape: Callable[[Any], Sequence[Any]]
) -> dict[str, int]:
    found = {attribute: given[attribute] for attribute in info.attributes if attribute in given}
    if info.kind is OpKind.BINARY_CONV2D:
        found["planes"], found["out_channels"], found["kernel_size"] = shape(given["weight_bits"])[:3]
    elif info.kind is OpKind.CHANNEL_GATE:
        outputs = shape(given["w2"])[0]
        found["hidden"], found["outputs"] = shape(given["w1"])[0], outputs
        if name == "bitsr::channel_shift_gate":
            found["linear_count"] = outputs // 2
        else:
            found["linear_count"] = 0 if given["sigmoid"] else outputs
    elif info.kind in (OpKind.SPATIAL_GATE, OpKind.QUANTIZED_SPATIAL_GATE):
        found["kernel_size"] = shape(given["weight"])[-1]
    elif info.kind is OpKind.QUANTIZED_CONV2D:
        found["out_channels"], _, _, found["kernel_size"] = shape(given["weight"])
        found["border_classes"] = shape(given["bias"])[0]
    elif info.kind is OpKind.PIXEL_GATE:
        found["out_channels"] = shape(given["weight"])[0]
    return {attribute: int(found[attribute]) for attribute in info.attributes}
