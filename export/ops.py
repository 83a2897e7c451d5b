"""The ops of the deploy form: namespace ``bitsr``, schema, eager reference and fake kernel.

The eager reference is what every runtime is compared with, bit for bit: its float steps are those of ARCHITECTURE.md,
laws 5 and 6 (:mod:`bitsr.export.arithmetic`). Maps are float32 (N, C, H, W) in any dense memory format;
an output map has the memory format of ``x``. The fake kernels give the strides of the eager ones, because the
dimension order that an exporter writes comes from them.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from bitsr.export import arithmetic
from bitsr.export.arithmetic import fully_connected, fused_multiply_add, gate_sums, picture_mean
from bitsr.export.arithmetic import sigmoid as _sigmoid
from bitsr.export.packing import unpack_weight


def memory_format(x: Tensor) -> torch.memory_format:
    """``channels_last`` only where the strides say so without doubt; a one-channel map counts as contiguous.

    By the channels' stride alone: to ask a map of unknown sides whether it is contiguous takes an export seconds.
    """
    _, channels, height, width = x.shape
    channels_last = channels > 1 and x.stride(1) == 1 and not (height == 1 and width == 1)
    return torch.channels_last if channels_last else torch.contiguous_format


def _per_channel(vector: Tensor) -> Tensor:
    """(C,) or (N, C) -> a shape that broadcasts over (N, C, H, W)."""
    return vector.reshape(-1, vector.shape[-1], 1, 1)


@torch.library.custom_op("bitsr::binary_conv2d", mutates_args=())
def binary_conv2d(
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
    """One whole binary layer, stride 1, zero padding ``k // 2`` after the sign.

    With ``b = +1 where x >= threshold else -1`` (NaN gives -1) and ``dot_p = conv2d(b, signs of weight plane p)``::

        z = dot_0 * scale_0 + shift [+ dot_1 * scale_1]
        z = (z < 0 ? z * inner_slope : z) + inner_shift      RPReLU
        z = z * channel_gain * spatial_gain
        z = z + residual
        z = z < 0 ? z * slope : z                            post-activation

    Steps without their argument are left out; ARCHITECTURE.md, law 5, fixes the rounding.

    Args:
        x: (N, C, H, W).
        threshold: (C,) or (N, C).
        weight_bits: int64 (planes, Co, k, k, ceil(C / 64)), k 1 or 3, planes 1 or 2.
        scale: (planes, Co).
        shift, inner_slope, inner_shift, slope: (Co,).
        channel_gain: (N, Co).
        spatial_gain: (N, 1, H, W).
        residual: (N, Co, H, W).

    Returns:
        (N, Co, H, W).
    """
    planes, _, _, kernel, _ = weight_bits.shape
    bits = torch.where(x >= _per_channel(threshold), 1.0, -1.0)
    signs = unpack_weight(weight_bits, channels=x.shape[1])
    z = _per_channel(torch.zeros_like(scale[0]) if shift is None else shift)
    for plane in range(planes):
        # The dot product is an integer; round() removes what a Winograd convolution may have added.
        dot = F.conv2d(bits, signs[plane], padding=kernel // 2).round()
        z = fused_multiply_add(dot, _per_channel(scale[plane]), z)
    if inner_slope is not None:
        z = torch.where(z < 0, z * _per_channel(inner_slope), z)
    if inner_shift is not None:
        z = z + _per_channel(inner_shift)
    if channel_gain is not None:
        z = z * _per_channel(channel_gain)
    if spatial_gain is not None:
        z = z * spatial_gain
    if residual is not None:
        z = z + residual
    if slope is not None:
        z = torch.where(z < 0, z * _per_channel(slope), z)
    return z.contiguous(memory_format=memory_format(x))


@binary_conv2d.register_fake
def _(
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
    batch, _, height, width = x.shape
    return torch.empty(
        (batch, weight_bits.shape[1], height, width), dtype=x.dtype, device=x.device, memory_format=memory_format(x)
    )


def _gate_vector(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> Tensor:
    hidden = fully_connected(picture_mean(x), w1, b1)
    return fully_connected(torch.where(hidden > 0, hidden, 0.0), w2, b2)


@torch.library.custom_op("bitsr::channel_shift_gate", mutates_args=())
def channel_shift_gate(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    """Threshold and gain of every channel: ``v = w2 ReLU(w1 mean(x over H, W) + b1) + b2``.

    Args:
        x: (N, C, H, W).
        w1, b1: (R, C), (R,).
        w2, b2: (2C, R), (2C,).

    Returns:
        ``shift`` (N, C), the first half of v as it is, and ``gain`` (N, C), the sigmoid of the second half.
    """
    # Clones: the halves are views of one tensor, and their strides must be those of a tensor of their own.
    shift, gain = (
        half.clone(memory_format=torch.contiguous_format) for half in _gate_vector(x, w1, b1, w2, b2).chunk(2, 1)
    )
    return shift, _sigmoid(gain)


@channel_shift_gate.register_fake
def _(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor) -> tuple[Tensor, Tensor]:
    shape = (x.shape[0], w2.shape[0] // 2)
    return x.new_empty(shape), x.new_empty(shape)


@torch.library.custom_op("bitsr::channel_gate", mutates_args=())
def channel_gate(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, sigmoid: bool) -> Tensor:
    """``v = w2 ReLU(w1 mean(x over H, W) + b1) + b2``, or ``sigmoid(v)``: the one-output form (squeeze and excitation).

    Args:
        x: (N, C, H, W).
        w1, b1: (R, C), (R,).
        w2, b2: (K, R), (K,).
        sigmoid: whether a sigmoid follows.

    Returns:
        (N, K).
    """
    v = _gate_vector(x, w1, b1, w2, b2)
    return _sigmoid(v) if sigmoid else v


@channel_gate.register_fake
def _(x: Tensor, w1: Tensor, b1: Tensor, w2: Tensor, b2: Tensor, sigmoid: bool) -> Tensor:
    return x.new_empty((x.shape[0], w2.shape[0]))


@torch.library.custom_op("bitsr::spatial_gate", mutates_args=())
def spatial_gate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Gain of every pixel: ``sigmoid(conv2d(x, weight) + bias)``, zero padding ``k // 2``.

    Args:
        x: (N, C, H, W).
        weight: (1, C, k, k), k 1 or 3.
        bias: (1,).

    Returns:
        (N, 1, H, W) in (0, 1), contiguous.
    """
    return _sigmoid(gate_sums(x, weight) + bias).contiguous()


@spatial_gate.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    return x.new_empty((x.shape[0], 1, x.shape[2], x.shape[3]))


# Pixels of a band: a convolution in float64 unfolds its input, which is 4.6 kB a pixel of 64 channels.
_BAND_PIXELS = 2**14


def _levels(v: Tensor, negative: int, positive: int) -> Tensor:
    """The nearest level of ``-negative ... positive``, halves to even; of NaN the lowest."""
    v = torch.where(v > -negative, v, float(-negative))
    return torch.where(v < positive, v, float(positive)).round()


def _exact_sums(q: Tensor, weight: Tensor) -> Tensor:
    """``conv2d(q, weight)`` of integers, float64, zero padding ``k // 2``.

    In float64 every product and sum of them is exact; round() removes what a Winograd convolution may add.
    """
    radius, (height, width) = weight.shape[-1] // 2, q.shape[2:]
    rows = max(1, _BAND_PIXELS // max(width, 1))
    padded, taps = F.pad(q, (radius,) * 4), weight.double()
    bands = [
        F.conv2d(padded[:, :, top : min(top + rows, height) + 2 * radius].double(), taps).round()
        for top in range(0, height, rows)
    ]
    return torch.cat(bands, 2)


@torch.library.custom_op("bitsr::quantized_spatial_gate", mutates_args=())
def quantized_spatial_gate(
    x: Tensor, weight: Tensor, inverse_step: Tensor, scale: Tensor, bias: Tensor, negative: int, positive: int
) -> Tensor:
    """Gain of every pixel from a convolution of integers: ``sigmoid(dot * scale + bias)``.

    ``q = round(clip(x * inverse_step, -negative, positive))``, halves to even, NaN gives ``-negative``;
    ``dot = conv2d(q, weight)``, zero padding ``k // 2``, exact in int32; ``dot * scale + bias`` is rounded once.

    Args:
        x: (N, C, H, W).
        weight: int8 (1, C, k, k), k 1 or 3.
        inverse_step: (1,), 1 / step of the activations.
        scale: (1,), step of the activations times step of the weights.
        bias: (1,).
        negative, positive: 0 to 255, and no more levels than 256.

    Returns:
        (N, 1, H, W) in (0, 1), contiguous.
    """
    dot = _exact_sums(_levels(x * inverse_step, negative, positive), weight).float()
    return _sigmoid(fused_multiply_add(dot, scale, bias)).contiguous()


@quantized_spatial_gate.register_fake
def _(
    x: Tensor, weight: Tensor, inverse_step: Tensor, scale: Tensor, bias: Tensor, negative: int, positive: int
) -> Tensor:
    return x.new_empty((x.shape[0], 1, x.shape[2], x.shape[3]))


@torch.library.custom_op("bitsr::quantized_conv2d", mutates_args=())
def quantized_conv2d(
    x: Tensor,
    weight: Tensor,
    inverse_step: Tensor,
    scale: Tensor,
    bias: Tensor,
    slope: Tensor | None,
    negative: int,
    positive: int,
) -> Tensor:
    """A convolution of integers, stride 1, zero padding ``k // 2``: ``dot * scale + bias``, and a post-activation.

    ``q = round(clip(x * inverse_step, -negative, positive))``, halves to even, NaN gives ``-negative``;
    ``dot = conv2d(q, weight)``, exact in int32, then rounded to float32; ``z = dot * scale + bias`` is rounded once;
    ``z = z < 0 ? z * slope : z`` where there is a slope.

    Args:
        x: (N, C, H, W).
        weight: int8 or int16 (Co, C, k, k), k 1 or 3. No sum of its absolute values times a level may exceed 2^31 - 1.
        inverse_step: (C,), 1 / step of the activations.
        scale: (Co,).
        bias: (1, Co), or for k 3 (16, Co): one for each of the border classes of a pixel, row class times 4 plus column
            class; a class is 1 where the first tap is missing, 2 where the last is, 3 where both are, else 0.
        slope: (Co,).
        negative, positive: the levels are ``-negative ... positive``, at most -32768 to 32767.

    Returns:
        (N, Co, H, W).
    """
    dot = _exact_sums(_levels(x * _per_channel(inverse_step), negative, positive), weight).float()
    z = fused_multiply_add(dot, _per_channel(scale), _of_border(bias, *x.shape[2:]))
    if slope is not None:
        z = torch.where(z < 0, z * _per_channel(slope), z)
    return z.contiguous(memory_format=memory_format(x))


@quantized_conv2d.register_fake
def _(
    x: Tensor,
    weight: Tensor,
    inverse_step: Tensor,
    scale: Tensor,
    bias: Tensor,
    slope: Tensor | None,
    negative: int,
    positive: int,
) -> Tensor:
    batch, _, height, width = x.shape
    return torch.empty(
        (batch, weight.shape[0], height, width), dtype=x.dtype, device=x.device, memory_format=memory_format(x)
    )


def _of_border(bias: Tensor, height: int, width: int) -> Tensor:
    """(classes, Co) -> what broadcasts over (N, Co, H, W): of every pixel that of its border class."""
    if bias.shape[0] == 1:
        return bias[:, :, None, None]
    rows, columns = (_line_classes(length, bias.device) for length in (height, width))
    return bias[rows[:, None] * 4 + columns].permute(2, 0, 1)


def _line_classes(length: int, device: torch.device) -> Tensor:
    """(length,): 1 for the first row or column, 2 for the last, 3 where they are one, 0 between."""
    classes = torch.zeros(length, dtype=torch.int64, device=device)
    classes[0] += 1
    classes[-1] += 2
    return classes


@torch.library.custom_op("bitsr::channel_norm", mutates_args=())
def channel_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: Tensor) -> Tensor:
    """Layer normalisation over the channels of each pixel: ``(x - mean) / sqrt(variance + epsilon) * weight + bias``.

    Mean and variance (of C, not C - 1) have the order of law 6.

    Args:
        x: (N, C, H, W).
        weight, bias: (C,).
        epsilon: (1,), positive.

    Returns:
        (N, C, H, W).
    """
    return arithmetic.channel_norm(x, weight, bias, epsilon).contiguous(memory_format=memory_format(x))


@channel_norm.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor, epsilon: Tensor) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


@torch.library.custom_op("bitsr::pixel_gate", mutates_args=())
def pixel_gate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Gain of every pixel and channel: ``sigmoid(weight x + bias)``, a 1x1 convolution (pixel attention).

    Args:
        x: (N, C, H, W).
        weight, bias: (K, C), (K,).

    Returns:
        (N, K, H, W) in (0, 1).
    """
    return arithmetic.pixel_gate(x, weight, bias).contiguous(memory_format=memory_format(x))


@pixel_gate.register_fake
def _(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    batch, _, height, width = x.shape
    return torch.empty(
        (batch, weight.shape[0], height, width), dtype=x.dtype, device=x.device, memory_format=memory_format(x)
    )


@torch.library.custom_op("bitsr::rescale", mutates_args=())
def rescale(
    x: Tensor,
    scale: Tensor | None = None,
    channel_gain: Tensor | None = None,
    spatial_gain: Tensor | None = None,
    gain: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    """``x * scale * channel_gain * spatial_gain * gain + residual``, from left to right; what is not given is left out.

    Args:
        x: (N, C, H, W).
        scale: (C,).
        channel_gain: (N, C).
        spatial_gain: (N, 1, H, W).
        gain, residual: (N, C, H, W).

    Returns:
        (N, C, H, W).
    """
    z = x if scale is None else x * _per_channel(scale)
    if channel_gain is not None:
        z = z * _per_channel(channel_gain)
    for factor in (spatial_gain, gain):
        if factor is not None:
            z = z * factor
    if residual is not None:
        z = z + residual
    # A tensor of its own, also where nothing is given.
    return z.clone(memory_format=memory_format(x))


@rescale.register_fake
def _(
    x: Tensor,
    scale: Tensor | None = None,
    channel_gain: Tensor | None = None,
    spatial_gain: Tensor | None = None,
    gain: Tensor | None = None,
    residual: Tensor | None = None,
) -> Tensor:
    return torch.empty(x.shape, dtype=x.dtype, device=x.device, memory_format=memory_format(x))


@torch.library.custom_op("bitsr::pixel_shuffle", mutates_args=())
def pixel_shuffle(x: Tensor, skip: Tensor | None, factor: int) -> Tensor:
    """Depth to space: ``y[n, c, h f + i, w f + j] = x[n, c f f + i f + j, h, w]``, plus ``skip[n, c, h, w]`` if given.

    Adding ``skip`` to every one of its f x f output pixels is its nearest-neighbour enlargement.

    Args:
        x: (N, C f f, H, W).
        skip: (N, C, H, W).
        factor: f.

    Returns:
        (N, C, H f, W f).
    """
    y = F.pixel_shuffle(x, factor)
    if skip is not None:
        y = y + F.interpolate(skip, scale_factor=factor, mode="nearest")
    return y.contiguous(memory_format=memory_format(x))


@pixel_shuffle.register_fake
def _(x: Tensor, skip: Tensor | None, factor: int) -> Tensor:
    batch, channels, height, width = x.shape
    return torch.empty(
        (batch, channels // factor**2, height * factor, width * factor),
        dtype=x.dtype,
        device=x.device,
        memory_format=memory_format(x),
    )
