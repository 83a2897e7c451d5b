"""Find what binarizes a tensor: whatever chain of element-wise ops, it is a step from -1 to +1 at some threshold.

The chain (``SIGN``; ``SELECT`` of a comparison; ``2 * CAST(x >= 0) - 1``; ``2 * ROUND(clip(x / 2 + 0.5)) - 1``; ...)
is computed with NumPy in float32. If it has no values but -1 and +1, the threshold is the first float32 behind the
step, found by bisection: exact, whatever the spelling. ``SIGN`` gives 0 for exactly 0, where our op gives +1.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsr.export.tflite.graph import Graph

Array = NDArray[Any]
Function = Callable[[Array], Array]

# Longest chain: 2 * round(clip(x / 2 + 0.5, 0, 1)) - 1 is 6 ops.
_MAX_STEPS = 8
# Of an operand that is no sign so many ops are named.
_SHOWN = 4
# Ops that make few values of many; only through these a chain goes on behind a first step.
_STEPS = {"SIGN", "ROUND", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "SELECT", "SELECT_V2", "CAST"}
_RELUS = {"RELU", "RELU6", "RELU_0_TO_1"}
_LARGEST_KEY = int(np.float32(np.finfo(np.float32).max).view(np.int32))


class Refusal(Exception):  # noqa: N818 (it never leaves the conversion)
    """Why an op stays as it is."""


@dataclass(frozen=True)
class Sign:
    """A binarized tensor: +1 where ``x >= threshold`` (C,), else -1; the other way round if ``negative``."""

    x: int
    threshold: NDArray[np.float32]
    negative: bool


def find_sign(graph: Graph, tensor: int) -> Sign | None:
    """What makes ``tensor`` of -1 and +1; ``None`` if nothing does.

    Raises:
        Refusal: something nearly does, and the reason.
    """
    shape = graph.shape(tensor)
    if not shape or shape[-1] < 1:
        return None
    inner = _straight_through(graph, int(tensor))
    if inner is not None:
        return find_sign(graph, inner)
    chain: list[Function] = []
    found: Sign | None = None
    at = int(tensor)
    while len(chain) < _MAX_STEPS:
        op = graph.producer(at)
        step = None if op is None else _step(graph, op, shape[-1])
        if op is None or step is None:
            break
        function, at = step
        chain.insert(0, function)
        if found is not None and graph.name(op) not in _STEPS:
            continue
        sign = _as_sign(graph, chain, at, shape[-1]) or _behind_relu(graph, chain, at, shape[-1])
        found = sign if sign is not None else found
    return found


def _straight_through(graph: Graph, tensor: int) -> int | None:
    """The ``s`` of ``x + (s - x)``, which is how a gradient is led past a sign; it differs from s by a rounding."""
    op = graph.producer(tensor)
    if op is None or graph.name(op) != "ADD" or graph.activation(op) != "NONE":
        return None
    for x, other in (op.inputs, op.inputs[::-1]):
        difference = graph.producer(other)
        if difference is not None and graph.name(difference) == "SUB" and graph.activation(difference) == "NONE":
            sign, taken = (int(operand) for operand in difference.inputs)
            if taken == int(x):
                return sign
    return None


def chain_names(graph: Graph, tensor: int) -> str:
    """The last ops that make a tensor, ``SUB of DIV of ABS``: what an operand is that is no sign."""
    names: list[str] = []
    while len(names) < _SHOWN:
        op = graph.producer(tensor)
        if op is None:
            break
        names.append(graph.name(op))
        made = [int(operand) for operand in op.inputs if graph.constant(operand) is None and graph.producer(operand)]
        if not made:
            break
        tensor = made[0]
    return " of ".join(names) or "an input"


def _as_sign(graph: Graph, chain: list[Function], x: int, channels: int) -> Sign | None:
    def compute(values: NDArray[np.float32]) -> Array:
        out: Array = values
        for function in chain:
            out = function(out)
        return np.broadcast_to(out, values.shape)

    if graph.graph.tensors[x].type != graph.S.TensorType.FLOAT32:
        return None  # in the middle, of a comparison's result
    keys = np.unique(np.concatenate([np.linspace(-_LARGEST_KEY, _LARGEST_KEY, 1001).astype(np.int64), [-1, 0, 1]]))
    grid = np.repeat(_floats(keys)[:, None], channels, axis=1)
    with np.errstate(all="ignore"):
        values = compute(grid)
        if values.dtype != np.float32 or not np.isin(values, (-1, 0, 1)).all():
            return None
        low, high = values[0], values[-1]
        rising = bool((low == -1).all() and (high == 1).all())
        if not rising and not ((low == 1).all() and (high == -1).all()):
            return None
        # The least key at which the value behind the step stands, and the least that has left the value before it.
        ends = _first(lambda key: compute(_floats(key)[None])[0] == high, channels)
        starts = _first(lambda key: compute(_floats(key)[None])[0] != low, channels)
        threshold = _floats(starts) + np.float32(0)  # -0 is 0
        if (starts != ends).any() and (_floats(ends - 1) != threshold).any():
            raise Refusal("its sign gives 0 for a range of values, not for one")
        expected = np.where(grid >= threshold, high, low)
        if not np.array_equal(np.where(values == 0, expected, values), expected):
            return None
    if (starts != ends).any() and _never_negative(graph, x):
        raise Refusal("its sign follows a ReLU, so that it gives 0 and +1 and never -1; binarize what may be negative")
    return Sign(x, threshold, negative=not rising)


def _behind_relu(graph: Graph, chain: list[Function], x: int, channels: int) -> Sign | None:
    """The same where ``x`` comes out of an activation: what the chain does with other values is never seen."""
    op = graph.producer(x)
    activation = None if op is None or graph.activation(op) == "NONE" else _ACTIVATIONS.get(graph.activation(op))
    return None if activation is None else _as_sign(graph, [activation, *chain], x, channels)


def _floats(keys: NDArray[np.int64]) -> NDArray[np.float32]:
    """The float32 of a key; keys are in the order of the floats, 0 stands for both zeros."""
    bits = np.where(keys < 0, -keys, keys).astype(np.int32).view(np.float32)
    return np.where(keys < 0, -bits, bits).astype(np.float32)


def _first(is_behind: Callable[[NDArray[np.int64]], Array], channels: int) -> NDArray[np.int64]:
    """Per channel the least key that is behind the step, by bisection."""
    low = np.full(channels, -_LARGEST_KEY, np.int64)
    high = np.full(channels, _LARGEST_KEY, np.int64)
    while (high - low > 1).any():
        middle = (low + high) // 2
        behind = is_behind(middle)
        high, low = np.where(behind, middle, high), np.where(behind, low, middle)
    return high


def _never_negative(graph: Graph, tensor: int) -> bool:
    op = graph.producer(tensor)
    if op is None:
        return False
    if graph.name(op) in ("MAX_POOL_2D", "AVERAGE_POOL_2D", "RESHAPE") and graph.activation(op) not in _RELUS:
        return _never_negative(graph, op.inputs[0])
    return graph.name(op) in _RELUS or graph.activation(op) in _RELUS


def _step(graph: Graph, op: Any, channels: int) -> tuple[Function, int] | None:
    """An element-wise op of one computed operand as a function, and that operand; ``None`` for any other op."""
    operands = [int(tensor) for tensor in op.inputs]
    constants = [_per_channel(graph, tensor, channels) for tensor in operands]
    computed = [place for place, constant in enumerate(constants) if constant is None]
    if len(computed) != 1:
        return None
    function = _function(graph, op, constants)
    activation = _ACTIVATIONS.get(graph.activation(op))
    if function is None or activation is None:
        return None
    return (lambda x: activation(function(x))), operands[computed[0]]


def _function(graph: Graph, op: Any, constants: list[Array | None]) -> Function | None:
    """``constants`` are the operands, ``None`` at the place of the computed one."""
    name = graph.name(op)
    if name in _UNARY:
        return _UNARY[name]
    if name in _BINARY:
        binary, (left, right) = _BINARY[name], constants
        if left is None:
            return lambda x: binary(x, right)
        return lambda x: binary(left, x)
    if name in ("SELECT", "SELECT_V2") and constants[0] is None:
        yes, no = constants[1:]
        if yes is None or no is None:
            return None
        high, low = yes, no
        return lambda x: np.where(x, high, low)
    # Numbers of a comparison or of a cast before; a float beyond the integers has no cast that is the same everywhere.
    dtype = graph.dtype(op.outputs[0])
    if name == "CAST" and dtype is not None and graph.dtype(op.inputs[0]) is not np.float32:
        return lambda x: x.astype(dtype)
    return None


def _per_channel(graph: Graph, tensor: int, channels: int) -> Array | None:
    """A constant as one number or one a channel; ``None`` if it is computed, or other than that."""
    array = graph.constant(tensor)
    if array is None:
        return None
    if array.size == 1:
        return array.reshape(())
    if array.size == channels and array.shape[-1] == channels:
        return array.reshape(channels)
    return array.reshape(-1)[0] if bool((array == array.reshape(-1)[0]).all()) else None


_ACTIVATIONS: dict[str, Function] = {
    "NONE": lambda x: x,
    "RELU": lambda x: np.maximum(x, np.float32(0)),
    "RELU6": lambda x: np.clip(x, np.float32(0), np.float32(6)),
    "RELU_N1_TO_1": lambda x: np.clip(x, np.float32(-1), np.float32(1)),
}
_UNARY: dict[str, Any] = {
    "SIGN": np.sign,
    "NEG": np.negative,
    "ROUND": np.round,  # halves to even, as LiteRT's
    "FLOOR": np.floor,
    "CEIL": np.ceil,
    "LOGICAL_NOT": np.logical_not,
    "RELU": _ACTIVATIONS["RELU"],
    "RELU6": _ACTIVATIONS["RELU6"],
    "RELU_N1_TO_1": _ACTIVATIONS["RELU_N1_TO_1"],
    "RELU_0_TO_1": lambda x: np.clip(x, np.float32(0), np.float32(1)),
}
_BINARY: dict[str, Callable[..., Array]] = {
    "ADD": np.add,
    "SUB": np.subtract,
    "MUL": np.multiply,
    "DIV": np.divide,
    "MINIMUM": np.minimum,
    "MAXIMUM": np.maximum,
    "GREATER": np.greater,
    "GREATER_EQUAL": np.greater_equal,
    "LESS": np.less,
    "LESS_EQUAL": np.less_equal,
    "NOT_EQUAL": np.not_equal,
}
