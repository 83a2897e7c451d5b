"""What the folds of all families share: binary convolutions, batch normalisation, head and tail."""

import torch
from torch import Tensor, nn

from bitsr.export.deploy.layers import FusedBinaryConv2d
from bitsr.export.deploy.registry import fold
from bitsr.export.errors import ExportError
from bitsr.training.layers import BinaryConv2d, Normalize, RPReLU


def fold_conv(
    conv: BinaryConv2d,
    *,
    norm: nn.BatchNorm2d | None = None,
    rprelu: RPReLU | None = None,
    activation: nn.Module | None = None,
    picture_threshold: bool = False,
) -> FusedBinaryConv2d:
    """Fold a binary convolution with what follows it.

    The binarizers' scales multiply, bias and batch normalisation become scale and shift, ``rprelu`` acts before the
    residual that the caller adds, ``activation`` (LeakyReLU or PReLU) last, after it. ``picture_threshold``: the
    threshold is an input.
    """
    signs, scale = conv.weight_binarizer.deploy(conv.weight)
    gain = conv.activation_binarizer.gain()
    if gain.numel() != 1:
        raise ExportError(
            f"the activations have {gain.numel()} scales, one for each channel, with which the convolution is no sum "
            "of bits; such a network is for comparison in training: export one with a scale for the whole map"
        )
    scale = scale * gain
    shift: Tensor | None = conv.bias
    if norm is not None:
        scale, shift = fold_norm(norm, scale, shift)
    if rprelu is not None:
        shift = rprelu.shift_before if shift is None else shift + rprelu.shift_before
    return FusedBinaryConv2d(
        signs,
        scale,
        threshold=None if picture_threshold else conv.activation_binarizer.threshold(conv.in_channels),
        shift=shift,
        inner_slope=None if rprelu is None else rprelu.prelu.weight,
        inner_shift=None if rprelu is None else rprelu.shift_after,
        slope=None if activation is None else negative_slope(activation, channels=conv.out_channels),
    )


def rescale(layer: FusedBinaryConv2d, *, input_divisor: float = 1.0, gain: float = 1.0) -> FusedBinaryConv2d:
    """Change a layer in place for an input divided by ``input_divisor`` and an output times ``gain``, both positive.

    ``gain`` is on the layer's own part, not on the residual that is added to it.
    """
    if layer.threshold is not None:
        layer.threshold /= input_divisor
    for part in (layer.scale, layer.shift, layer.inner_shift):
        if part is not None:
            part *= gain
    return layer


def fold_norm(norm: nn.BatchNorm2d, scale: Tensor, shift: Tensor | None) -> tuple[Tensor, Tensor]:
    """Batch normalisation with its running statistics, in float64 so that only the result is rounded."""
    if norm.running_mean is None or norm.running_var is None:
        raise ExportError("batch normalisation without running statistics can not be folded; train it with them")
    factor = (norm.running_var.double() + norm.eps).rsqrt()
    offset = -norm.running_mean.double() if shift is None else shift.double() - norm.running_mean.double()
    offset = offset * factor
    if norm.affine:
        factor, offset = factor * norm.weight.double(), offset * norm.weight.double() + norm.bias.double()
    return (scale.double() * factor).float(), offset.float()


def negative_slope(activation: nn.Module, *, channels: int) -> Tensor:
    """Slopes (channels,) for negative values of a ReLU, LeakyReLU or PReLU."""
    if isinstance(activation, nn.PReLU):
        return activation.weight.detach().expand(channels)
    if isinstance(activation, nn.LeakyReLU):
        return torch.full((channels,), activation.negative_slope)
    if isinstance(activation, nn.ReLU):
        return torch.zeros(channels)
    raise ExportError(
        f"the activation {type(activation).__name__} can not be folded into a binary layer; "
        "use ReLU, LeakyReLU or PReLU"
    )


def fold_head(head: nn.Conv2d, normalize: Normalize) -> nn.Conv2d:
    """The head for an input without amplification."""
    return with_weight(head, head.weight * normalize.input_scale, head.bias)


def fold_tail(
    tail: nn.Conv2d, *, input_scale: float = 1.0, gain: float = 1.0, mean: Tensor | None = None, pixels: int = 1
) -> nn.Conv2d:
    """The tail for an input times ``gain`` and an output divided by ``input_scale`` with the picture's ``mean`` added.

    ``pixels`` output channels of the tail belong to one channel of the picture.
    """
    weight, bias = tail.weight * gain / input_scale, None if tail.bias is None else tail.bias / input_scale
    if mean is not None:
        added = mean.flatten().repeat_interleave(pixels)
        bias = added if bias is None else bias + added
    return with_weight(tail, weight, bias)


def with_weight(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    """A float convolution like ``conv`` (stride 1, 'same' padding) with other numbers."""
    kernel, padding = conv.weight.shape[2:], conv.padding
    if conv.stride != (1, 1) or padding != (kernel[0] // 2, kernel[1] // 2) or conv.groups != 1:
        raise ExportError(f"the float convolution {conv} can not be folded: expected stride 1 and 'same' padding")
    folded = nn.Conv2d(
        conv.in_channels, conv.out_channels, (kernel[0], kernel[1]), padding=padding, bias=bias is not None
    )
    with torch.no_grad():
        folded.weight.copy_(weight)
        if folded.bias is not None and bias is not None:
            folded.bias.copy_(bias)
    return folded


def fold_all(modules: nn.ModuleList) -> nn.ModuleList:
    """The modules of a list, or of a list of lists, folded."""
    return nn.ModuleList(fold_all(part) if isinstance(part, nn.ModuleList) else fold(part) for part in modules)
