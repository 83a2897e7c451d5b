"""The nodes of :mod:`bitsr.export.tflite.swin_onnx` in TensorFlow; maps are (1, H, W, C) of known size.

Every function takes the node's operands (constants as NumPy arrays) and its attributes.
"""

from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from bitsr.export.tflite.nodes import SHIFT_MASK, WINDOW_ATTENTION
from bitsr.training.models.swinir import MASKED


def shift_mask(regions: NDArray[np.float32]) -> tf.Tensor:
    """One-hot parts (windows, size^2, 4) -> (windows, size^2, size^2)."""
    return tf.constant((regions @ regions.transpose(0, 2, 1) - 1) * np.float32(-MASKED))


def window_attention(
    qkv: tf.Tensor, bias: NDArray[np.float32], mask: tf.Tensor | None = None, *, heads: int, window: int, scale: float
) -> tf.Tensor:
    """(1, H, W, 3C) -> (1, H, W, C), as :func:`bitsr.training.models.swinir.attend`."""
    height, width, channels = qkv.shape[1], qkv.shape[2], qkv.shape[3] // 3
    rows = tf.reshape(qkv, (height // window, window, width // window, window * 3 * channels))
    tokens = tf.reshape(tf.transpose(rows, (0, 2, 1, 3)), (-1, window**2, 3 * channels))

    def part(number: int) -> tf.Tensor:
        own = tokens[:, :, number * channels : (number + 1) * channels]
        return tf.transpose(tf.reshape(own, (-1, window**2, heads, channels // heads)), (0, 2, 1, 3))

    scores = tf.matmul(part(0) * np.float32(scale), part(1), transpose_b=True)
    # The bias is added in another shape than the mask: else the converter sums the two constants to one as large as the
    # scores, for each layer, where all layers can share the mask.
    rows_of_all_heads = tf.reshape(scores, (-1, heads * window**2, window**2))
    scores = tf.reshape(rows_of_all_heads + bias.reshape(-1, window**2), (-1, heads, window**2, window**2))
    if mask is not None:
        scores = scores + tf.expand_dims(mask, 1)
    mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), part(2)), (0, 2, 1, 3))
    rows = tf.reshape(mixed, (height // window, width // window, window, window * channels))
    return tf.reshape(tf.transpose(rows, (0, 2, 1, 3)), (1, height, width, channels))


LAYERS: dict[str, Any] = {
    SHIFT_MASK: shift_mask,
    WINDOW_ATTENTION: window_attention,
}
