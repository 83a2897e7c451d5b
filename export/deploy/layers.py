"""Layers of the deploy form: thin modules over the ops of :mod:`bitsr.export.ops`.

Their buffers are the numbers that every artifact carries. They have no latent weights and are not trained.
"""

import torch
from torch import Tensor, nn

from bitsr.export import ops
from bitsr.export.packing import pack_weight


class FusedBinaryConv2d(nn.Module):
    """:func:`bitsr.export.ops.binary_conv2d` with its constants.

    Args:
        signs: (Co, Ci, k, k) or, for several weight planes, (planes, Co, Ci, k, k); values -1 and +1.
        scale: (Co,) or (planes, Co).
        threshold: (Ci,), or ``None`` where :meth:`forward` is given one for each picture.
        shift, inner_slope, inner_shift, slope: (Co,), where the layer has that step.
    """

    weight_bits: Tensor
    scale: Tensor
    threshold: Tensor | None
    shift: Tensor | None
    inner_slope: Tensor | None
    inner_shift: Tensor | None
    slope: Tensor | None

    def __init__(
        self,
        signs: Tensor,
        scale: Tensor,
        *,
        threshold: Tensor | None = None,
        shift: Tensor | None = None,
        inner_slope: Tensor | None = None,
        inner_shift: Tensor | None = None,
        slope: Tensor | None = None,
    ) -> None:
        super().__init__()
        planes = signs if signs.dim() == 5 else signs.unsqueeze(0)
        self.in_channels = planes.shape[2]
        self.out_channels = planes.shape[1]
        self.kernel_size = planes.shape[3]
        self.register_buffer("weight_bits", torch.stack([pack_weight(plane) for plane in planes]))
        self.register_buffer("scale", _constant(scale if scale.dim() == 2 else scale.unsqueeze(0)))
        for name, value in {
            "threshold": threshold,
            "shift": shift,
            "inner_slope": inner_slope,
            "inner_shift": inner_shift,
            "slope": slope,
        }.items():
            self.register_buffer(name, None if value is None else _constant(value))

    def forward(
        self,
        x: Tensor,
        *,
        threshold: Tensor | None = None,
        channel_gain: Tensor | None = None,
        spatial_gain: Tensor | None = None,
        residual: Tensor | None = None,
    ) -> Tensor:
        """(N, Ci, H, W) -> (N, Co, H, W); ``threshold`` (N, Ci) is for layers without a constant one."""
        if (threshold is None) == (self.threshold is None):
            raise ValueError("a binary layer needs either a constant threshold or one for each picture, not both")
        return ops.binary_conv2d(
            x,
            self.threshold if threshold is None else threshold,
            self.weight_bits,
            self.scale,
            self.shift,
            self.inner_slope,
            self.inner_shift,
            channel_gain,
            spatial_gain,
            residual,
            self.slope,
        )

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"


class ChannelGate(nn.Module):
    """:func:`bitsr.export.ops.channel_gate`; ``sigmoid`` says whether a gain or a shift comes out. -> (N, K)."""

    def __init__(self, fc1: nn.Linear | nn.Conv2d, fc2: nn.Linear | nn.Conv2d, *, sigmoid: bool) -> None:
        super().__init__()
        self.sigmoid = sigmoid
        _register_linears(self, fc1, fc2)

    def forward(self, x: Tensor) -> Tensor:
        return ops.channel_gate(x, self.w1, self.b1, self.w2, self.b2, self.sigmoid)


class ChannelShiftGate(nn.Module):
    """:func:`bitsr.export.ops.channel_shift_gate`. -> shift (N, C), gain (N, C)."""

    def __init__(self, fc1: nn.Linear, fc2: nn.Linear) -> None:
        super().__init__()
        _register_linears(self, fc1, fc2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        shift, gain = ops.channel_shift_gate(x, self.w1, self.b1, self.w2, self.b2)
        return shift, gain


class SpatialGate(nn.Module):
    """:func:`bitsr.export.ops.spatial_gate`. -> (N, 1, H, W)."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("weight", _constant(conv.weight))
        self.register_buffer("bias", _constant(_bias(conv)))

    def forward(self, x: Tensor) -> Tensor:
        return ops.spatial_gate(x, self.weight, self.bias)


class PixelGate(nn.Module):
    """:func:`bitsr.export.ops.pixel_gate` with the numbers of a 1x1 convolution. -> (N, K, H, W)."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.register_buffer("weight", _constant(conv.weight.flatten(1)))
        self.register_buffer("bias", _constant(_bias(conv)))

    def forward(self, x: Tensor) -> Tensor:
        return ops.pixel_gate(x, self.weight, self.bias)


class QuantizedSpatialGate(nn.Module):
    """:func:`bitsr.export.ops.quantized_spatial_gate` with its constants. -> (N, 1, H, W).

    Args:
        levels: weights as integers (1, C, k, k), -128 to 127.
        weight_step, activation_step: positive scalars.
        bias: (1,).
        negative, positive: the activations' levels are ``-negative ... positive``.
    """

    def __init__(
        self,
        levels: Tensor,
        *,
        weight_step: Tensor,
        activation_step: Tensor,
        bias: Tensor,
        negative: int,
        positive: int,
    ) -> None:
        super().__init__()
        self.negative = negative
        self.positive = positive
        self.register_buffer("weight", levels.detach().to(torch.int8).contiguous())
        self.register_buffer("inverse_step", _constant(1 / activation_step.reshape(1)))
        self.register_buffer("scale", _constant((weight_step * activation_step).reshape(1)))
        self.register_buffer("bias", _constant(bias))

    def forward(self, x: Tensor) -> Tensor:
        return ops.quantized_spatial_gate(
            x, self.weight, self.inverse_step, self.scale, self.bias, self.negative, self.positive
        )


class QuantizedConv2d(nn.Module):
    """:func:`bitsr.export.ops.quantized_conv2d` with its constants. (N, C, H, W) -> (N, Co, H, W).

    Args:
        levels: weights as integers (Co, C, k, k), of 8 bits, or of 16 where they do not fit.
        inverse_step: (C,), 1 / step of the activations.
        scale: (Co,).
        bias: (1, Co), or (16, Co) for the border classes.
        slope: (Co,), where an activation follows.
        negative, positive: the activations' levels are ``-negative ... positive``.
    """

    slope: Tensor | None

    def __init__(
        self,
        levels: Tensor,
        *,
        inverse_step: Tensor,
        scale: Tensor,
        bias: Tensor,
        slope: Tensor | None = None,
        negative: int,
        positive: int,
    ) -> None:
        super().__init__()
        self.out_channels, self.in_channels, self.kernel_size, _ = levels.shape
        self.negative = negative
        self.positive = positive
        narrow = bool((levels.abs() <= torch.iinfo(torch.int8).max).all())
        self.register_buffer("inverse_step", _constant(inverse_step))
        self.register_buffer("weight", levels.detach().to(torch.int8 if narrow else torch.int16).contiguous())
        self.register_buffer("scale", _constant(scale))
        self.register_buffer("bias", _constant(bias))
        self.register_buffer("slope", None if slope is None else _constant(slope))

    def forward(self, x: Tensor) -> Tensor:
        return ops.quantized_conv2d(
            x, self.weight, self.inverse_step, self.scale, self.bias, self.slope, self.negative, self.positive
        )

    def extra_repr(self) -> str:
        sizes = f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}"
        return f"{sizes}, levels=-{self.negative}..{self.positive}"


class ChannelNorm(nn.Module):
    """:func:`bitsr.export.ops.channel_norm` with its constants. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        super().__init__()
        self.register_buffer("weight", _constant(norm.weight))
        self.register_buffer("bias", _constant(norm.bias))
        self.register_buffer("epsilon", torch.tensor([norm.eps]))

    def forward(self, x: Tensor) -> Tensor:
        return ops.channel_norm(x, self.weight, self.bias, self.epsilon)


class ResidualBinaryConv2d(nn.Module):
    """Binary layer with its own input as residual and, where given, gates computed from that input.

    ``channel_gate`` maps (N, C, H, W) to threshold (N, C) and gain (N, C), ``spatial_gate`` to a gain (N, 1, H, W).
    """

    def __init__(
        self,
        conv: FusedBinaryConv2d,
        *,
        channel_gate: nn.Module | None = None,
        spatial_gate: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.conv = conv
        self.channel_gate = channel_gate
        self.spatial_gate = spatial_gate

    def forward(self, x: Tensor) -> Tensor:
        threshold, channel_gain = (None, None) if self.channel_gate is None else self.channel_gate(x)
        spatial_gain = None if self.spatial_gate is None else self.spatial_gate(x)
        return self.conv(x, threshold=threshold, channel_gain=channel_gain, spatial_gain=spatial_gain, residual=x)


class PixelShuffle(nn.Module):
    """:func:`bitsr.export.ops.pixel_shuffle`, with the picture ``skip`` where the network has a nearest skip."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor, skip: Tensor | None = None) -> Tensor:
        return ops.pixel_shuffle(x, skip, self.factor)


class FoldedBackbone(nn.Module):
    """Deploy form of a network of a head, a body at low resolution and a tail.

    ``y = tail(body(head(x - mean)))``; the input's ``mean`` stays before a float head, which pads with zeros after it;
    a quantized one has it in the biases of its border. A ``shuffle`` follows the tail, with ``nearest_skip`` together
    with the nearest-neighbour enlargement of the picture. ``skip(x)`` is added at the end. The body runs on
    channels-last maps and the picture leaves contiguous, so that no transpose lies in between.
    """

    mean: Tensor | None

    def __init__(
        self,
        *,
        head: nn.Module,
        body: nn.Module,
        tail: nn.Module,
        mean: Tensor | None = None,
        shuffle: PixelShuffle | None = None,
        nearest_skip: bool = False,
        skip: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("mean", None if mean is None else _constant(mean))
        self.head = head
        self.body = body
        self.tail = tail
        self.shuffle = shuffle
        self.nearest_skip = nearest_skip
        self.skip = skip

    def features(self, x: Tensor) -> Tensor:
        """What the body is given of a picture (N, 3, H, W): (N, C, H, W), channels-last."""
        return self.head(x if self.mean is None else x - self.mean).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H s, W s), not clamped."""
        y = self.tail(self.body(self.features(x)))
        if self.shuffle is not None:
            y = self.shuffle(y, x if self.nearest_skip else None)
        y = y.to(memory_format=torch.contiguous_format)
        return y if self.skip is None else y + self.skip(x)


class AddVector(nn.Module):
    """``x + vector`` for each channel. (N, C, H, W) -> (N, C, H, W)."""

    vector: Tensor

    def __init__(self, vector: Tensor) -> None:
        super().__init__()
        self.register_buffer("vector", vector.reshape(1, -1, 1, 1).clone())

    def forward(self, x: Tensor) -> Tensor:
        return x + self.vector


class AddInput(nn.Module):
    """``body(x) + x``. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x) + x


def _register_linears(module: nn.Module, fc1: nn.Linear | nn.Conv2d, fc2: nn.Linear | nn.Conv2d) -> None:
    """Fully connected layers, or 1x1 convolutions of one pixel, which are the same."""
    for number, linear in ((1, fc1), (2, fc2)):
        module.register_buffer(f"w{number}", _constant(linear.weight.flatten(1)))
        module.register_buffer(f"b{number}", _constant(_bias(linear)))


def _bias(layer: nn.Conv2d | nn.Linear) -> Tensor:
    if layer.bias is None:
        return layer.weight.new_zeros(layer.weight.shape[0])
    return layer.bias


def _constant(value: Tensor) -> Tensor:
    return value.detach().to(torch.float32).contiguous().clone()
