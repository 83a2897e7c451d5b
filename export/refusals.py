"""Which of our ops the runtime can execute, and why not the others."""

import torch
from torch.export import ExportedProgram

from bitsr.artifact.program import MAX_CHANNELS, OpKind, ValueKind
from bitsr.export.captured import arguments, constant, fake, op_info


def refusal(program: ExportedProgram, node: torch.fx.Node) -> str | None:
    """Why our runtime can not execute a ``bitsr::`` node; ``None`` if it can."""
    given, info = arguments(node), op_info(node)
    assert info is not None  # of one of our ops
    for name in {item.name for item in info.constants} - {item.name for item in info.inputs}:
        if given[name] is not None and constant(program, given[name]) is None:
            return f"{name} is computed, not a constant"
    x = fake(given["x"])
    if x.dtype != torch.float32 or x.dim() != 4:
        return f"x is {x.dtype} with {x.dim()} dimensions, expected float32 with 4"
    if tuple(x.dim_order()) not in ((0, 1, 2, 3), (0, 2, 3, 1)):
        return f"the dimension order of x is {tuple(x.dim_order())}, expected NCHW or NHWC"
    if x.shape[0] != 1:
        return f"the batch is {x.shape[0]}, expected 1"
    if int(x.shape[1]) > MAX_CHANNELS:
        return f"{x.shape[1]} channels, expected at most {MAX_CHANNELS}"
    if info.kind is OpKind.BINARY_CONV2D:
        planes, _, kernel_size, _, _ = fake(given["weight_bits"]).shape
        if kernel_size not in (1, 3):
            return f"the kernel size is {kernel_size}, expected 1 or 3"
        if planes not in (1, 2):
            return f"{planes} weight planes, expected 1 or 2"
    elif "kernel_size" in info.attributes and fake(given["weight"]).shape[-1] not in (1, 3):
        return f"the kernel size is {fake(given['weight']).shape[-1]}, expected 1 or 3"
    elif info.kind is OpKind.PIXEL_SHUFFLE and not 2 <= given["factor"] <= 8:
        return f"the factor is {given['factor']}, expected 2 to 8"
    gain = given.get("spatial_gain")
    if gain is not None and not _makes_plane(gain):
        return "the spatial gain does not come from bitsr::spatial_gate or its quantized form"
    return None


def _makes_plane(node: torch.fx.Node) -> bool:
    info = op_info(node)
    return info is not None and info.outputs[0].kind is ValueKind.PLANE


def is_plain_add(node: torch.fx.Node) -> bool:
    """An addition of two float maps of the same shape."""
    info = op_info(node)
    if info is None or info.kind is not OpKind.ADD:
        return False
    a, b = node.args[:2]
    if not (isinstance(a, torch.fx.Node) and isinstance(b, torch.fx.Node)) or node.kwargs.get("alpha", 1) != 1:
        return False
    out = fake(node)
    return out.dtype == torch.float32 and out.dim() == 4 and fake(a).shape == fake(b).shape == out.shape
