"""Folds of the backbones that several families share."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.export.deploy.folds.common import fold_conv, fold_head, fold_tail, rescale, with_weight
from bitsr.export.deploy.layers import AddInput, FoldedBackbone, PixelShuffle, ResidualBinaryConv2d
from bitsr.export.deploy.registry import fold, folds
from bitsr.training.models.backbones import LEAKY_SLOPE, FloatStage, LightBackbone, SrResNet
from bitsr.training.models.bbcu import BbcuHead, BbcuTail


class BilinearUpsample(nn.Module):
    """Bilinear enlargement (half-pixel centres) as 3x3 convolutions and a pixel shuffle.

    (N, C, H, W) -> (N, C, H f, W f). Output pixel (h f + i, w f + j) reads the 3x3 neighbours of (h, w) with weights
    that depend on i and j alone. At the border the sum is divided by the weights that lie inside, which is what
    ``F.interpolate`` gives there. No map is larger than the picture: a padded one would not fit the memory that is
    planned for H * W pixels where the picture is long and narrow.
    """

    weight: Tensor
    inside: Tensor
    zero: Tensor
    one: Tensor

    def __init__(self, channels: int, factor: int) -> None:
        super().__init__()
        # Offset of each of the f positions from the centre of its pixel: on the left of it, -1 and 0 are mixed.
        offset = (torch.arange(factor, dtype=torch.float64) + 0.5) / factor - 0.5
        taps = torch.stack([(-offset).clamp_min(0), 1 - offset.abs(), offset.clamp_min(0)], dim=1)
        kernels = torch.einsum("iy,jx->ijyx", taps, taps).reshape(factor**2, 3, 3).float()
        weight = torch.zeros(channels, factor**2, channels, 3, 3)
        for channel in range(channels):
            weight[channel, :, channel] = kernels
        weight = weight.reshape(channels * factor**2, channels, 3, 3)
        self.register_buffer("weight", weight)
        self.register_buffer("inside", weight.sum(dim=1, keepdim=True))
        self.register_buffer("zero", torch.zeros(1, channels, 1, 1))
        self.register_buffer("one", torch.ones(1))
        self.shuffle = PixelShuffle(factor)

    def forward(self, x: Tensor) -> Tensor:
        ones = F.conv2d(x, self.zero, self.one)
        y = F.conv2d(x, self.weight, padding=1) / F.conv2d(ones, self.inside, padding=1)
        return self.shuffle(y)


@folds(SrResNet)
def fold_srresnet(module: SrResNet) -> FoldedBackbone:
    """The amplification is folded into the first and the last convolution."""
    head: nn.Module
    if isinstance(module.head, BbcuHead):
        head = AmplifiedHead(module.head, module.input_scale)
    else:
        assert isinstance(module.head, nn.Conv2d)
        conv = with_weight(module.head, module.head.weight * module.input_scale, module.head.bias)
        head = nn.Sequential(conv, nn.LeakyReLU(LEAKY_SLOPE))
    return FoldedBackbone(
        head=head,
        body=fold(module.body),
        tail=nn.Sequential(
            *(fold(stage) for stage in module.stages),
            _with_leaky_relu(fold(module.conv_hr)),
            _folded_last(module.conv_last, module.input_scale),
        ),
        skip=BilinearUpsample(3, module.scale),
    )


class AmplifiedHead(nn.Module):
    """BBCU's binary head of a picture as it is: amplification and mean in its thresholds and the repeated picture."""

    def __init__(self, module: BbcuHead, input_scale: float) -> None:
        super().__init__()
        self.conv = rescale(fold_conv(module.conv, rprelu=module.rprelu), input_divisor=input_scale)
        mean = module.mean.detach().flatten()
        assert self.conv.threshold is not None  # RSign's
        self.conv.threshold += mean / input_scale
        turn = torch.arange(self.conv.out_channels) % 3
        repeat = nn.Conv2d(3, self.conv.out_channels, 1)
        with torch.no_grad():
            repeat.weight.copy_(input_scale * torch.eye(3)[turn][..., None, None])
            assert repeat.bias is not None
            repeat.bias.copy_(-mean[turn])
        self.repeat: nn.Module = repeat

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x, residual=self.repeat(x))


def _folded_last(module: nn.Module, input_scale: float) -> nn.Module:
    if isinstance(module, BbcuTail):
        return rescale(fold_conv(module.conv, rprelu=module.rprelu), gain=1 / input_scale)
    assert isinstance(module, nn.Conv2d)
    return fold_tail(module, input_scale=input_scale)


def _with_leaky_relu(conv: nn.Module) -> nn.Module:
    """The activation inside a binary layer, as its last step, or behind a float one."""
    if not isinstance(conv, ResidualBinaryConv2d):
        return nn.Sequential(conv, nn.LeakyReLU(LEAKY_SLOPE))
    conv.conv.slope = torch.full((conv.conv.out_channels,), LEAKY_SLOPE)
    return conv


@folds(FloatStage)
def fold_float_stage(module: FloatStage) -> nn.Sequential:
    """The LeakyReLU before the pixel shuffle, which only moves elements."""
    return nn.Sequential(fold(module.conv), nn.LeakyReLU(LEAKY_SLOPE), PixelShuffle(module.factor))


@folds(LightBackbone)
def fold_light(module: LightBackbone) -> FoldedBackbone:
    """Amplification and the mean of the output are folded into head and tail."""
    return FoldedBackbone(
        mean=module.normalize.mean,
        head=fold_head(module.head, module.normalize),
        body=AddInput(fold(module.body)),
        tail=fold_tail(
            module.tail,
            input_scale=module.normalize.input_scale,
            mean=None if module.nearest_skip else module.normalize.mean,
            pixels=module.scale**2,
        ),
        shuffle=PixelShuffle(module.scale),
        nearest_skip=module.nearest_skip,
    )
