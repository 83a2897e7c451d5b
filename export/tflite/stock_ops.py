"""Our ops in stock ops of TensorFlow: what ``--stock-ops`` writes, and the body that a custom op replaces.

Maps are (N, H, W, C). ``given`` has a tensor for each input and a NumPy array for each constant, in its layout of
the op table.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import torch
from numpy.typing import NDArray

from bitsr.artifact.program import OpKind
from bitsr.export.packing import unpack_weight
from bitsr.export.tflite.nodes import OPEN_END


def binary_conv2d(given: Mapping[str, Any], _attributes: Mapping[str, int]) -> list[tf.Tensor]:
    """ARCHITECTURE.md, law 5, with ``dot * scale + shift`` rounded twice: TensorFlow Lite has no fused multiply-add."""
    x = given["x"]
    threshold = given["threshold"]
    if len(threshold.shape) == 2:  # of each picture
        threshold = _of_pixel(threshold)
    # (planes, Co, Ci, k, k) -> (planes, k, k, Ci, Co)
    signs = unpack_weight(torch.from_numpy(given["weight_bits"]), channels=x.shape[-1]).numpy().transpose(0, 3, 4, 2, 1)
    bits = tf.where(x >= threshold, 1.0, -1.0)
    # The dot product is an integer already. Rounding it keeps the converter from folding the scale into the weights,
    # after which sums that should be zero no longer are, and signs flip.
    first, *others = (
        tf.round(tf.nn.conv2d(bits, np.ascontiguousarray(plane), 1, "SAME")) * scale
        for plane, scale in zip(signs, given["scale"], strict=True)
    )
    z = first + given["shift"] if "shift" in given else first
    for dot in others:
        z = z + dot
    if "inner_slope" in given:
        z = tf.where(z < 0.0, z * given["inner_slope"], z)
    if "inner_shift" in given:
        z = z + given["inner_shift"]
    if "channel_gain" in given:
        z = z * _of_pixel(given["channel_gain"])
    if "spatial_gain" in given:
        z = z * given["spatial_gain"]
    if "residual" in given:
        z = z + given["residual"]
    if "slope" in given:
        z = tf.where(z < 0.0, z * given["slope"], z)
    return [z]


def channel_gate(given: Mapping[str, Any], attributes: Mapping[str, int]) -> list[tf.Tensor]:
    linear = attributes["linear_count"]
    mean = tf.reduce_mean(given["x"], axis=(1, 2))
    hidden = tf.nn.relu(tf.matmul(mean, given["w1"].T) + given["b1"])
    parts = ((slice(0, linear), False), (slice(linear, None), True))
    outputs = []
    for rows, sigmoid in parts:
        weight, bias = given["w2"][rows], given["b2"][rows]
        if weight.size:
            v = tf.matmul(hidden, weight.T) + bias
            outputs.append(tf.sigmoid(v) if sigmoid else v)
    return outputs


def spatial_gate(given: Mapping[str, Any], _attributes: Mapping[str, int]) -> list[tf.Tensor]:
    """``weight`` is (k, k, C)."""
    return [tf.sigmoid(tf.nn.conv2d(given["x"], given["weight"][..., None], 1, "SAME") + given["bias"])]


def quantized_spatial_gate(given: Mapping[str, Any], attributes: Mapping[str, int]) -> list[tf.Tensor]:
    """``weight`` is (k, k, C), integers; float32 holds their products and sums exactly up to 2^24."""
    q = tf.round(tf.clip_by_value(given["x"] * given["inverse_step"], -attributes["negative"], attributes["positive"]))
    dot = tf.nn.conv2d(q, given["weight"].astype(np.float32)[..., None], 1, "SAME")
    # An integer already; rounding it keeps the converter from folding the scale into the weights.
    return [tf.sigmoid(tf.round(dot) * given["scale"] + given["bias"])]


def quantized_conv2d(given: Mapping[str, Any], attributes: Mapping[str, int]) -> list[tf.Tensor]:
    """``weight`` is (Co, k, k, C), integers; sums beyond 2^24 are rounded, as float32 does."""
    x, weight = given["x"], given["weight"].astype(np.float32).transpose(1, 2, 3, 0)
    q = tf.round(tf.clip_by_value(x * given["inverse_step"], -attributes["negative"], attributes["positive"]))
    # An integer already; rounding it keeps the converter from folding the scale into the weights.
    dot = tf.round(tf.nn.conv2d(q, weight, 1, "SAME"))
    z = dot * given["scale"] + _of_border(given["bias"], tf.shape(x))
    return [tf.where(z < 0.0, z * given["slope"], z) if "slope" in given else z]


def pixel_shuffle(given: Mapping[str, Any], attributes: Mapping[str, int]) -> list[tf.Tensor]:
    """``DEPTH_TO_SPACE`` after a permutation of the channels: PyTorch's order is (c, i, j), TensorFlow's (i, j, c)."""
    x, factor = given["x"], attributes["factor"]
    order = np.arange(x.shape[-1]).reshape(-1, factor**2).T.reshape(-1)
    x = tf.gather(x, order, axis=-1)
    if "skip" in given:
        x = x + tf.concat([given["skip"]] * factor**2, axis=-1)
    return [tf.nn.depth_to_space(x, factor)]


def channel_norm(given: Mapping[str, Any], _attributes: Mapping[str, int]) -> list[tf.Tensor]:
    x = given["x"]
    centred = x - tf.reduce_mean(x, axis=-1, keepdims=True)
    variance = tf.reduce_mean(centred * centred, axis=-1, keepdims=True)
    return [centred * tf.math.rsqrt(variance + given["epsilon"]) * given["weight"] + given["bias"]]


def pixel_gate(given: Mapping[str, Any], _attributes: Mapping[str, int]) -> list[tf.Tensor]:
    """``weight`` is (K, C)."""
    return [tf.sigmoid(tf.nn.conv2d(given["x"], given["weight"].T[None, None], 1, "SAME") + given["bias"])]


def rescale(given: Mapping[str, Any], _attributes: Mapping[str, int]) -> list[tf.Tensor]:
    z = given["x"]
    for name in ("scale", "channel_gain", "spatial_gain", "gain"):
        if name in given:
            z = z * (_of_pixel(given[name]) if name == "channel_gain" else given[name])
    return [z + given["residual"] if "residual" in given else z]


STOCK_OPS: dict[OpKind, Callable[[Mapping[str, Any], Mapping[str, int]], list[tf.Tensor]]] = {
    OpKind.BINARY_CONV2D: binary_conv2d,
    OpKind.CHANNEL_GATE: channel_gate,
    OpKind.SPATIAL_GATE: spatial_gate,
    OpKind.QUANTIZED_SPATIAL_GATE: quantized_spatial_gate,
    OpKind.QUANTIZED_CONV2D: quantized_conv2d,
    OpKind.CHANNEL_NORM: channel_norm,
    OpKind.PIXEL_GATE: pixel_gate,
    OpKind.RESCALE: rescale,
    OpKind.PIXEL_SHUFFLE: pixel_shuffle,
}


def order_channels(x: tf.Tensor, *, factor: int) -> tf.Tensor:
    """Channels (c, i, j) of (1, H, W, C factor^2), of known size, in the order (i, j, c) of ``DEPTH_TO_SPACE``."""
    pixels = tf.reshape(x, (x.shape[1] * x.shape[2], -1, factor**2))
    return tf.reshape(tf.transpose(pixels, (0, 2, 1)), x.shape)


def attend_pixels(query: tf.Tensor, key: tf.Tensor, value: tf.Tensor) -> tf.Tensor:
    """``softmax(q k^T) v`` with all pixels as tokens; maps (1, H, W, C) of known size."""
    q, k, v = (tf.reshape(map_, (1, map_.shape[1] * map_.shape[2], map_.shape[3])) for map_ in (query, key, value))
    return tf.reshape(tf.matmul(tf.nn.softmax(tf.matmul(q, k, transpose_b=True)), v), (1, *value.shape[1:]))


def gelu(x: tf.Tensor) -> tf.Tensor:
    """``x (1 + erf(x / sqrt 2)) / 2``."""
    return np.float32(0.5) * x * (1.0 + erf(x * np.float32(0.5**0.5)))


def erf(x: tf.Tensor) -> tf.Tensor:
    """The error function by Abramowitz and Stegun, 7.1.26, whose error is below 1.5e-7."""
    z = tf.abs(x)
    t = 1.0 / (1.0 + np.float32(0.3275911) * z)
    polynomial = np.float32(1.061405429) * t
    for coefficient in (-1.453152027, 1.421413741, -0.284496736, 0.254829592):
        polynomial = (polynomial + np.float32(coefficient)) * t
    return tf.sign(x) * (1.0 - polynomial * tf.exp(-z * z))


def reflect_pad(x: tf.Tensor, *, left: int, right: int, top: int, bottom: int) -> tf.Tensor:
    """Pixels beside the edge mirrored at it, which is not repeated."""
    return tf.pad(x, ((0, 0), (top, bottom), (left, right), (0, 0)), mode="REFLECT")


def replicate_pad(x: tf.Tensor, *, left: int, right: int, top: int, bottom: int) -> tf.Tensor:
    """The edge repeated: mirrored with itself, a pixel at a time."""
    for step in range(max(left, right, top, bottom)):
        rows, columns = (int(step < top), int(step < bottom)), (int(step < left), int(step < right))
        x = tf.pad(x, ((0, 0), rows, columns, (0, 0)), mode="SYMMETRIC")
    return x


def circular_pad(x: tf.Tensor, *, left: int, right: int, top: int, bottom: int) -> tf.Tensor:
    """Pixels of the far edge."""
    for axis, before, after in ((2, top, bottom), (3, left, right)):
        parts = [crop(x, axis=axis, start=-before)] if before else []
        parts += [x, *([crop(x, axis=axis, end=after)] if after else [])]
        x = tf.concat(parts, axis=axis - 1) if len(parts) > 1 else x
    return x


def crop(x: tf.Tensor, *, axis: int, start: int = 0, end: int = OPEN_END, step: int = 1) -> tf.Tensor:
    """A slice of (N, H, W, C) along the ``axis`` that is 2 or 3 in (N, C, H, W)."""
    part = slice(start, None if end == OPEN_END else end, step)
    return x[:, part] if axis == 2 else x[:, :, part]


def roll(x: tf.Tensor, *, rows: int, columns: int) -> tf.Tensor:
    for axis, shift in ((2, rows), (3, columns)):
        if shift:
            x = tf.concat([crop(x, axis=axis, start=-shift), crop(x, axis=axis, end=-shift)], axis=axis - 1)
    return x


def flip(x: tf.Tensor, *, axes: list[int]) -> tf.Tensor:
    """``axes`` are those of (N, C, H, W)."""
    for axis in axes:
        x = tf.reverse(x, axis=[3 if axis == 1 else axis - 1])
    return x


def pixel_unshuffle(x: tf.Tensor, *, factor: int) -> tf.Tensor:
    """``SPACE_TO_DEPTH``, whose channels (i, j, c) are then ordered as PyTorch's (c, i, j)."""
    order = np.arange(x.shape[-1] * factor**2).reshape(factor**2, -1).T.reshape(-1)
    return tf.gather(tf.nn.space_to_depth(x, factor), order, axis=-1)


def shuffle_channels(x: tf.Tensor, *, groups: int) -> tf.Tensor:
    """The first channel of each group, then the second of each."""
    return tf.gather(x, np.arange(x.shape[-1]).reshape(groups, -1).T.reshape(-1), axis=-1)


def _of_pixel(vector: tf.Tensor) -> tf.Tensor:
    """(N, C) -> (N, 1, 1, C), N being 1."""
    return tf.reshape(vector, (1, 1, 1, vector.shape[-1]))


def _of_border(bias: NDArray[Any], shape: tf.Tensor) -> tf.Tensor:
    """(classes, Co) -> what broadcasts over (N, H, W, Co): of every pixel that of its border class."""
    if bias.shape[0] == 1:
        return tf.constant(bias)
    table = tf.constant(bias.reshape(4, 4, -1))
    rows, columns = (_line_classes(shape[axis]) for axis in (1, 2))
    return tf.gather(tf.gather(table, rows), columns, axis=1)


def _line_classes(length: tf.Tensor) -> tf.Tensor:
    """(length,): 1 for the first row or column, 2 for the last, 3 where they are one, 0 between."""
    places = tf.range(length)
    return tf.where(places == 0, 1, 0) + tf.where(places == length - 1, 2, 0)
