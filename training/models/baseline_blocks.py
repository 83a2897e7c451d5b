"""Binary blocks of the methods that papers compare with, (N, C, H, W) -> (N, C, H, W), to be the body of a backbone.

Skips that the methods do not bring along are those of the backbone: around a block of two convolutions.
Sources: see :mod:`bitsr.training.binarizers.baselines`; XNOR-Net (Rastegari et al., ECCV 2016), Bi-Real Net (Liu et
al., ECCV 2018), ReActNet (Liu et al., ECCV 2020), BAM (Xin et al., ECCV 2020), BTM and IBTM (Jiang et al., AAAI 2021).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.training.binarizers import ActivationBinarizer, MeanScaleWeight, RSign, Sign, WeightBinarizer
from bitsr.training.binarizers.baselines import (
    HardTanhSign,
    HardTanhWeight,
    HigherOrderWeight,
    ProgressiveSign,
    StandardizedWeight,
    Step,
    TensorScaleWeight,
    filter_scale,
    surrogate_sign,
)
from bitsr.training.layers import BinaryConv2d, RPReLU


def _conv(channels: int, activation: ActivationBinarizer, weight: WeightBinarizer) -> BinaryConv2d:
    return BinaryConv2d(channels, channels, 3, activation_binarizer=activation, weight_binarizer=weight)


class BnnBlock(nn.Module):
    """``y = BN(conv(BN(conv(x)))) + x``, signs of weights and activations without scales."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, HardTanhSign(), HardTanhWeight())
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = _conv(channels, HardTanhSign(), HardTanhWeight())
        self.norm2 = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm2(self.conv2(self.norm1(self.conv1(x)))) + x


class XnorUnit(nn.Module):
    """``y = conv(z) K(z)`` with z = BN(x) and K the box filter of the mean of |z| over the channels.

    Training only: K and the normalisation before the sign are float maps that depend on the picture.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = _conv(channels, HardTanhSign(), MeanScaleWeight())

    def forward(self, x: Tensor) -> Tensor:
        z = self.norm(x)
        k = F.avg_pool2d(z.abs().mean(dim=1, keepdim=True), 3, stride=1, padding=1)
        return self.conv(z) * k


class DorefaUnit(nn.Module):
    """``y = conv(step(BN(x)))`` with activations of 0 and 1 and one scale for all weights.

    The order is that of the paper's networks: normalise, clip to [0, 1], quantize, convolve.
    Training only: with activations of 0 and 1 the packed kernels' sum lacks half the sum of the weights, which at the
    borders is not a constant.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.conv = _conv(channels, Step(), TensorScaleWeight())

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(self.norm(x))


class TwoUnits(nn.Module):
    """``y = unit2(unit1(x)) + x``."""

    def __init__(self, unit1: nn.Module, unit2: nn.Module) -> None:
        super().__init__()
        self.unit1 = unit1
        self.unit2 = unit2

    def forward(self, x: Tensor) -> Tensor:
        return self.unit2(self.unit1(x)) + x


class SkipUnit(nn.Module):
    """``y = BN(conv(x)) + x``: Bi-Real Net and, with its own binarizers, IR-Net.

    IR-Net's classifier clips the sum to [-1, 1]; that is left out, since it would clip the picture.
    """

    def __init__(self, channels: int, *, progressive: bool) -> None:
        super().__init__()
        self.conv = (
            _conv(channels, ProgressiveSign(), StandardizedWeight())
            if progressive
            else _conv(channels, Sign(), MeanScaleWeight())
        )
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x)) + x


class ReactnetUnit(nn.Module):
    """``y = RPReLU(BN(conv(x)) + x)``: the activation follows the addition."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = _conv(channels, RSign(channels), MeanScaleWeight())
        self.norm = nn.BatchNorm2d(channels)
        self.rprelu = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.rprelu(self.norm(self.conv(x)) + x)


class ReactnetBody(nn.Sequential):
    """Units in series; a type of its own, because the last step of a unit folds into the next one."""


class BamConv(BinaryConv2d):
    """Binary convolution of the accumulated activations with the accumulated weights.

    Weights: the sign of the standardized sum of this layer's and all earlier layers' latent weights, each times a
    learned number, scaled by ``mean|W_n|`` of this layer. What BN does with weights is not known here; each filter is
    standardized. Activations: the sign of BN of the sum over the layers of ``s_i m_i A_i`` with a learned s and the
    channel mean m of A.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels, 3, activation_binarizer=HardTanhSign(), weight_binarizer=MeanScaleWeight())
        self.norm = nn.BatchNorm2d(channels)
        self.activation_scale = nn.Parameter(torch.ones(()))
        self.weight_scale = nn.Parameter(torch.ones(()))

    def accumulate(self, x: Tensor, activations: Tensor | None, weights: Tensor | None) -> tuple[Tensor, Tensor]:
        """Sums including this layer's: activations (N, C, H, W), weights (C, C, 3, 3)."""
        a = self.activation_scale * x.mean(dim=1, keepdim=True) * x
        w = self.weight_scale * self.weight
        return (a if activations is None else activations + a), (w if weights is None else weights + w)

    def forward(self, activations: Tensor, weights: Tensor) -> Tensor:  # type: ignore[override]
        centred = weights - weights.mean(dim=(1, 2, 3), keepdim=True)
        w = centred / centred.std(dim=(1, 2, 3), keepdim=True)
        alpha = self.weight.detach().abs().mean(dim=(1, 2, 3), keepdim=True)
        signs = surrogate_sign(w, w.detach().abs() <= 1)
        return F.conv2d(self.activation_binarizer(self.norm(activations)), signs * alpha, padding=1)


class BamBody(nn.Module):
    """``2 * blocks`` layers with PReLU between and a skip around each two; sums run through all of them.

    Training only: the accumulated activations are float maps beside the trunk, normalised before every sign.
    """

    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(BamConv(channels) for _ in range(2 * blocks))
        self.activations = nn.ModuleList(nn.PReLU(channels) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        sums: tuple[Tensor | None, Tensor | None] = (None, None)
        for number, activation in enumerate(self.activations):
            y = x
            for position in range(2):
                conv = self.convs[2 * number + position]
                accumulated = conv.accumulate(y, *sums)  # type: ignore[operator]
                y = conv(*accumulated)
                y = activation(y) if position == 0 else y
                sums = accumulated
            x = x + y
        return x


def _scaled(conv: BinaryConv2d, x: Tensor) -> Tensor:
    return conv(x) * filter_scale(conv.weight)


class BtmBlock(nn.Module):
    """``y = PReLU(conv(PReLU(conv(x)))) + x`` without normalisation; a scale ``mean|W_o|`` follows each convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = _conv(channels, Sign(), HigherOrderWeight())
        self.activation1 = nn.PReLU(channels)
        self.conv2 = _conv(channels, Sign(), HigherOrderWeight())
        self.activation2 = nn.PReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        y = self.activation1(_scaled(self.conv1, x))
        return self.activation2(_scaled(self.conv2, y)) + x


class DilatedBinaryConv2d(nn.Module):
    """1x5 or 5x1 binary convolution C -> C / 4 with a dilation, of signs (N, C, H, W)."""

    def __init__(self, channels: int, *, vertical: bool, dilation: int) -> None:
        super().__init__()
        size = (5, 1) if vertical else (1, 5)
        self.weight_bits = self.activation_bits = 1
        self.padding = tuple(dilation * (side // 2) for side in size)
        self.dilation = dilation
        self.binarizer = HigherOrderWeight()
        self.weight = nn.Parameter(torch.empty(channels // 4, channels, *size))
        self.binarizer.initialize(self.weight)

    def forward(self, signs: Tensor) -> Tensor:
        y = F.conv2d(signs, self.binarizer(self.weight), padding=self.padding, dilation=self.dilation)
        return y * filter_scale(self.weight)


class IbtmBlock(nn.Module):
    """BTM's block with a multi-receptive-field first convolution and shifted activations.

    The first convolution is four of C -> C / 4 (1x5 and 5x1, dilations 1 and 2), concatenated, then a 3x3.
    Training only: the packed kernels have square kernels without dilation.
    """

    # The 1x5 with dilation 2, and two 3x3.
    receptive_field_radius = 6

    def __init__(self, channels: int) -> None:
        super().__init__()
        if channels % 4:
            raise ValueError(f"the block splits the channels in four, got {channels}")
        self.sign = Sign()
        self.branches = nn.ModuleList(
            DilatedBinaryConv2d(channels, vertical=vertical, dilation=dilation)
            for dilation in (1, 2)
            for vertical in (False, True)
        )
        self.conv1 = _conv(channels, Sign(), HigherOrderWeight())
        self.activation1 = RPReLU(channels)
        self.conv2 = _conv(channels, Sign(), HigherOrderWeight())
        self.activation2 = RPReLU(channels)

    def forward(self, x: Tensor) -> Tensor:
        signs = self.sign(x)
        y = torch.cat([branch(signs) for branch in self.branches], dim=1)
        y = self.activation1(_scaled(self.conv1, y))
        return self.activation2(_scaled(self.conv2, y)) + x
