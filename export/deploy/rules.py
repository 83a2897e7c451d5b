"""Fold rules of the layers and networks in :mod:`bitsr.training`."""

import torch
from torch import Tensor, nn

from bitsr.export.deploy.layers import (
    ChannelGate,
    ChannelShiftGate,
    FusedBinaryConv2d,
    SpatialGate,
    SuperResolver,
)
from bitsr.export.deploy.registry import fold, fold_rule
from bitsr.export.errors import ExportError
from bitsr.training.layers import BinaryConv2d, ChannelShiftRescale, SpatialRescale, SubtractMean
from bitsr.training.models.e2fif import E2fif, E2fifBlock, E2fifUnit
from bitsr.training.models.ebsr import Ebsr, EbsrBlock, EConv
from bitsr.training.models.edsr import Edsr


def fold_conv(
    conv: BinaryConv2d,
    *,
    norm: nn.BatchNorm2d | None = None,
    activation: nn.Module | None = None,
    picture_threshold: bool = False,
) -> FusedBinaryConv2d:
    """Fold a binary convolution with what follows it.

    The binarizers' scales multiply, bias and batch normalisation become scale and shift, ``activation`` (LeakyReLU or
    PReLU) acts last, after the residual that the caller adds. ``picture_threshold``: the threshold is an input.
    """
    signs, scale = conv.weight_binarizer.deploy(conv.weight)
    scale = scale * conv.activation_binarizer.gain()
    shift: Tensor | None = conv.bias
    if norm is not None:
        scale, shift = _fold_norm(norm, scale, shift)
    return FusedBinaryConv2d(
        signs,
        scale,
        threshold=None if picture_threshold else conv.activation_binarizer.threshold(conv.in_channels),
        shift=shift,
        slope=None if activation is None else negative_slope(activation, channels=conv.out_channels),
    )


def _fold_norm(norm: nn.BatchNorm2d, scale: Tensor, shift: Tensor | None) -> tuple[Tensor, Tensor]:
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


def fold_head(head: nn.Conv2d, normalize: SubtractMean) -> nn.Conv2d:
    """The head for an input without amplification."""
    return _with_weight(head, head.weight * normalize.input_scale, head.bias)


def fold_tail(tail: nn.Conv2d, *, input_scale: float = 1.0, mean: Tensor | None = None, pixels: int = 1) -> nn.Conv2d:
    """The tail for an output divided by ``input_scale`` with the picture's ``mean`` added.

    ``pixels`` output channels of the tail belong to one channel of the picture.
    """
    weight, bias = tail.weight / input_scale, None if tail.bias is None else tail.bias / input_scale
    if mean is not None:
        added = mean.flatten().repeat_interleave(pixels)
        bias = added if bias is None else bias + added
    return _with_weight(tail, weight, bias)


def _with_weight(conv: nn.Conv2d, weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    kernel, padding = conv.weight.shape[2:], conv.padding
    if conv.stride != (1, 1) or padding != (kernel[0] // 2, kernel[1] // 2) or conv.groups != 1:
        raise ExportError(
            f"the float convolution {conv} is neither head nor tail: expected stride 1 and 'same' padding"
        )
    folded = nn.Conv2d(
        conv.in_channels, conv.out_channels, (kernel[0], kernel[1]), padding=padding, bias=bias is not None
    )
    with torch.no_grad():
        folded.weight.copy_(weight)
        if folded.bias is not None and bias is not None:
            folded.bias.copy_(bias)
    return folded


@fold_rule(SpatialRescale)
def _spatial(module: SpatialRescale) -> SpatialGate:
    return SpatialGate(module.conv)


@fold_rule(ChannelShiftRescale)
def _channel(module: ChannelShiftRescale) -> nn.Module:
    if module.fused:
        return ChannelShiftGate(module.fc1, module.fc2)
    return SeparateChannelGates(
        ChannelGate(module.shift_fc1, module.shift_fc2, sigmoid=False),
        ChannelGate(module.gain_fc1, module.gain_fc2, sigmoid=True),
    )


class SeparateChannelGates(nn.Module):
    """Shift and gain from two gates of their own. (N, C, H, W) -> shift (N, C), gain (N, C)."""

    def __init__(self, shift: ChannelGate, gain: ChannelGate) -> None:
        super().__init__()
        self.shift = shift
        self.gain = gain

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.shift(x), self.gain(x)


class GatedBinaryConv2d(nn.Module):
    """Binary layer with its own input as residual and, where given, gates computed from that input."""

    def __init__(self, conv: FusedBinaryConv2d, *, channel: nn.Module | None, spatial: nn.Module | None) -> None:
        super().__init__()
        self.conv = conv
        self.channel = channel
        self.spatial = spatial

    def forward(self, x: Tensor) -> Tensor:
        threshold, channel_gain = (None, None) if self.channel is None else self.channel(x)
        spatial_gain = None if self.spatial is None else self.spatial(x)
        return self.conv(  # type: ignore[no-any-return]
            x, threshold=threshold, channel_gain=channel_gain, spatial_gain=spatial_gain, residual=x
        )


def _econv(module: EConv, activation: nn.Module | None) -> GatedBinaryConv2d:
    return GatedBinaryConv2d(
        fold_conv(module.conv, activation=activation, picture_threshold=module.channel is not None),
        channel=None if module.channel is None else fold(module.channel),
        spatial=None if module.spatial is None else fold(module.spatial),
    )


@fold_rule(EConv)
def _plain_econv(module: EConv) -> GatedBinaryConv2d:
    return _econv(module, None)


@fold_rule(EbsrBlock)
def _ebsr_block(module: EbsrBlock) -> nn.Module:
    return nn.Sequential(_econv(module.conv1, module.activation), _econv(module.conv2, None))


@fold_rule(Ebsr)
def _ebsr(module: Ebsr) -> SuperResolver:
    skip = module.config.nearest_skip
    return SuperResolver(
        mean=module.normalize.mean,
        head=fold_head(module.head, module.normalize),
        body=fold(module.body),
        tail=fold_tail(
            module.tail,
            input_scale=module.config.input_scale,
            mean=None if skip else module.normalize.mean,
            pixels=module.scale**2,
        ),
        scale=module.scale,
        nearest_skip=skip,
    )


def _e2fif_unit(module: E2fifUnit, activation: nn.Module | None) -> GatedBinaryConv2d:
    return GatedBinaryConv2d(
        fold_conv(module.conv, norm=module.norm, activation=activation), channel=None, spatial=None
    )


@fold_rule(E2fifUnit)
def _plain_e2fif_unit(module: E2fifUnit) -> GatedBinaryConv2d:
    return _e2fif_unit(module, None)


@fold_rule(E2fifBlock)
def _e2fif_block(module: E2fifBlock) -> nn.Module:
    return nn.Sequential(_e2fif_unit(module.unit1, module.activation), _e2fif_unit(module.unit2, None))


@fold_rule(E2fif)
def _e2fif(module: E2fif) -> SuperResolver:
    return SuperResolver(
        mean=module.normalize.mean,
        head=fold_head(module.head, module.normalize),
        body=fold(module.body),
        tail=fold_tail(module.tail, mean=module.normalize.mean, pixels=module.scale**2),
        scale=module.scale,
        nearest_skip=False,
    )


class FloatSuperResolver(nn.Module):
    """EDSR and SRResNet: plain float layers; the mean of the output is folded into the last convolution."""

    mean: Tensor

    def __init__(self, module: Edsr) -> None:
        super().__init__()
        self.register_buffer("mean", module.normalize.mean.detach().clone())
        self.head = fold_head(module.head, module.normalize)
        self.body = fold(module.body)
        self.body_end = fold(module.body_end)
        self.convs = nn.ModuleList(fold(conv) for conv in module.upsampler.convs)
        self.shuffles = nn.ModuleList(nn.PixelShuffle(factor) for factor in module.upsampler.factors)
        self.tail = fold_tail(module.tail, mean=module.normalize.mean)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, H, W) -> (N, 3, H s, W s), not clamped."""
        head = self.head(x - self.mean).to(memory_format=torch.channels_last)
        y = self.body_end(self.body(head)) + head
        for conv, shuffle in zip(self.convs, self.shuffles, strict=True):
            y = shuffle(conv(y))
        return self.tail(y).to(memory_format=torch.contiguous_format)  # type: ignore[no-any-return]


@fold_rule(Edsr)
def _edsr(module: Edsr) -> FloatSuperResolver:
    return FloatSuperResolver(module)
