"""Ops of PyTorch that onnx2tf has no right form of (1.28.8), as nodes of ours that become stock ops of TensorFlow.

They are replaced where a network calls them, whatever module does: no LiteRT op is an error function, and onnx2tf loses
the sizes of what moves pixels along a free side.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from bitsr.export.tflite.nodes import (
    CIRCULAR_PAD,
    CROP,
    DOMAIN,
    ERF,
    FLIP,
    GELU,
    OPEN_END,
    PIXEL_UNSHUFFLE,
    REFLECT_PAD,
    REPLICATE_PAD,
    ROLL,
    SHUFFLE_CHANNELS,
)

_ATEN = torch.ops.aten


def _gelu(x: Tensor, *, approximate: str = "none") -> Tensor:
    if approximate == "tanh":
        return 0.5 * x * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (x + 0.044715 * x * x * x)))
    return stock_node(GELU, [x], {}, tuple(x.shape))


def _erf(x: Tensor) -> Tensor:
    return stock_node(ERF, [x], {}, tuple(x.shape))


def _pad(x: Tensor, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Any:
    """All modes; constant padding with negative widths crops first."""
    widths = list(pad) + [0] * (4 - len(pad))
    if mode == "constant":
        if not _is_map(x) or len(pad) > 4 or min(widths) >= 0:
            return _ATEN.constant_pad_nd.default(x, list(pad), value or 0.0)
        for axis, before, after in ((3, widths[0], widths[1]), (2, widths[2], widths[3])):
            if min(before, after) < 0:
                x = _crop(x, axis, max(-before, 0), -max(-after, 0) or None, 1)
        positive = [max(width, 0) for width in widths]
        return _ATEN.constant_pad_nd.default(x, positive, value or 0.0) if any(positive) else x
    names = {"reflect": REFLECT_PAD, "replicate": REPLICATE_PAD, "circular": CIRCULAR_PAD}
    if not _is_map(x) or len(pad) > 4 or min(widths) < 0:
        return NotImplemented
    return _framed(names[mode], x, widths)


def _framed(name: str, x: Tensor, widths: Sequence[int]) -> Tensor:
    left, right, top, bottom = widths
    *outer, height, width = x.shape
    attributes = {"left": left, "right": right, "top": top, "bottom": bottom}
    return stock_node(name, [x], attributes, (*outer, height + top + bottom, width + left + right))


def _slice(x: Tensor, dim: int = 0, start: int | None = None, end: Any = None, step: int = 1) -> Any:
    """Along a free side; others have sizes that onnx2tf knows."""
    axis = dim % x.dim()
    if not _has_free_sides(x) or axis < 2:
        return NotImplemented
    last = OPEN_END if end is None else _counted(x.shape[axis], end)
    if last is None or not (start is None or isinstance(start, int)):
        return NotImplemented
    return _crop(x, axis, start or 0, None if last >= OPEN_END else last, step)


def _counted(side: Any, end: Any) -> int | None:
    """The end of a slice as a number, from the far side where it is the side less one; ``None`` if it is neither."""
    if isinstance(end, int):
        return end
    left = getattr(getattr(side - end, "node", None), "expr", side - end)
    if not getattr(left, "is_Integer", isinstance(left, int)):
        return None
    return -int(left) if left > 0 else OPEN_END


def _crop(x: Tensor, axis: int, start: int, end: int | None, step: int) -> Tensor:
    """``end`` counts from the far side where it is negative, as ``start`` does."""
    shape: list[Any] = list(x.shape)
    size = shape[axis]
    first = size + start if start < 0 else start
    last = size if end is None else size + end if end < 0 else end
    shape[axis] = last - first if step == 1 else (last - first + step - 1) // step
    attributes = {"axis": axis, "start": start, "end": OPEN_END if end is None else end, "step": step}
    return stock_node(CROP, [x], attributes, tuple(shape))


def _roll(x: Tensor, shifts: Sequence[int], dims: Sequence[int] = ()) -> Any:
    axes = [dim % x.dim() for dim in dims]
    if not _has_free_sides(x) or not axes or min(axes) < 2:
        return NotImplemented
    by_axis = dict(zip(axes, shifts, strict=True))
    return stock_node(ROLL, [x], {"rows": by_axis.get(2, 0), "columns": by_axis.get(3, 0)}, tuple(x.shape))


def _flip(x: Tensor, dims: Sequence[int]) -> Any:
    axes = sorted(dim % x.dim() for dim in dims)
    if not _has_free_sides(x) or not axes or axes[0] < 1:
        return NotImplemented
    return stock_node(FLIP, [x], {"axes": axes}, tuple(x.shape))


def _pixel_unshuffle(x: Tensor, downscale_factor: int) -> Any:
    if not _has_free_sides(x):
        return NotImplemented
    batch, channels, height, width = x.shape
    f = downscale_factor
    return stock_node(PIXEL_UNSHUFFLE, [x], {"factor": f}, (batch, channels * f * f, height // f, width // f))


def _channel_shuffle(x: Tensor, groups: int) -> Any:
    return (
        stock_node(SHUFFLE_CHANNELS, [x], {"groups": groups}, tuple(x.shape)) if _has_free_sides(x) else NotImplemented
    )


def _var(x: Tensor, dim: Any = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    """Where the number of values is known, or nothing is taken away from it; onnx2tf has no such number otherwise."""
    dims = list(dim or [])
    taken = 1 if correction is None else correction
    sizes = [x.shape[axis] for axis in dims]
    if not _is_map(x) or not dims or not (taken == 0 or all(isinstance(size, int) for size in sizes)):
        return NotImplemented
    centred = x - x.mean(dims, keepdim=True)
    squares = (centred * centred).mean(dims, keepdim=keepdim)
    count = math.prod(sizes) if taken else 1
    return squares * (count / (count - taken)) if taken else squares


def _std(x: Tensor, dim: Any = None, *, correction: float | None = None, keepdim: bool = False) -> Any:
    variance = _var(x, dim, correction=correction, keepdim=keepdim)
    return variance if variance is NotImplemented else variance.sqrt()


def without_expansions(program: ExportedProgram) -> None:
    """Leave out expansions that only prepare arithmetic with a whole map, which broadcasts by itself."""
    for node in list(program.graph.nodes):
        if node.target not in _EXPANSIONS or not node.users:
            continue
        shape = node.meta["val"].shape
        if all(user.target in _ARITHMETIC and _has_whole_map(user, node, shape) for user in node.users):
            node.replace_all_uses_with(node.args[0])
            program.graph.erase_node(node)


def _has_whole_map(user: torch.fx.Node, expanded: torch.fx.Node, shape: Any) -> bool:
    others = [given for given in user.args if isinstance(given, torch.fx.Node) and given is not expanded]
    return any(given.meta["val"].shape == shape for given in others)


def _is_map(x: Tensor) -> bool:
    return x.dim() == 4 and x.dtype == torch.float32


def _has_free_sides(x: Tensor) -> bool:
    """A map (N, C, H, W) whose sides are free: any other tensor of four dimensions may have another order."""
    return _is_map(x) and [isinstance(side, int) for side in x.shape[1:]] == [True, False, False]


def stock_node(name: str, given: list[Tensor], attributes: dict[str, Any], shape: tuple[Any, ...]) -> Tensor:
    """A node of domain ``bitsr`` with one float32 output."""
    return torch.onnx.ops.symbolic(f"{DOMAIN}::{name}", given, attributes, dtype=torch.float32, shape=shape, version=1)


_EXPANSIONS = (_ATEN.expand.default, _ATEN.expand_as.default)
_ARITHMETIC = (
    _ATEN.add.Tensor,
    _ATEN.sub.Tensor,
    _ATEN.mul.Tensor,
    _ATEN.div.Tensor,
    _ATEN.maximum.default,
    _ATEN.minimum.default,
)

# By the op that they replace; ``NotImplemented`` leaves a call as it is.
STOCK_NODES: dict[Any, Callable[..., Any]] = {
    _ATEN.gelu.default: _gelu,
    _ATEN.erf.default: _erf,
    _ATEN.pad.default: _pad,
    _ATEN.reflection_pad2d.default: lambda x, padding: _framed(REFLECT_PAD, x, padding),
    _ATEN.replication_pad2d.default: lambda x, padding: _framed(REPLICATE_PAD, x, padding),
    _ATEN.slice.Tensor: _slice,
    _ATEN.roll.default: _roll,
    _ATEN.flip.default: _flip,
    _ATEN.pixel_unshuffle.default: _pixel_unshuffle,
    _ATEN.channel_shuffle.default: _channel_shuffle,
    _ATEN.var.correction: _var,
    _ATEN.std.correction: _std,
}
