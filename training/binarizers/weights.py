"""Binarizers of convolution weights (Co, Ci, k, k). All of them use sign(0) = +1."""

from typing import Any

import torch
from torch import Tensor, nn


def hard_sign(x: Tensor) -> Tensor:
    """-1 where ``x < 0``, else +1; same shape and dtype, no gradient of its own."""
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


class _StraightThrough(torch.autograd.Function):
    """``scale * sign(weight)``; the gradient passes to ``weight`` unscaled, to ``scale`` not at all."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: Tensor, clip: bool) -> Tensor:
        ctx.clip = clip
        ctx.save_for_backward(weight)
        return hard_sign(weight) * scale

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (weight,) = ctx.saved_tensors
        return (grad * (weight.abs() <= 1) if ctx.clip else grad), None, None


def straight_through(weight: Tensor, scale: Tensor, *, clip: bool) -> Tensor:
    """``scale * sign(weight)``; ``weight`` gets the gradient as it is, with ``clip`` only where ``|weight| <= 1``."""
    return _StraightThrough.apply(weight, scale, clip)  # type: ignore[no-untyped-call]


class WeightBinarizer(nn.Module):
    """Turns latent weights (Co, Ci, k, k) into ``scale[o] * sign(weight[o])``, or a sum of ``planes`` such terms."""

    planes: int = 1

    def forward(self, weight: Tensor) -> Tensor:
        raise NotImplementedError

    def initialize(self, weight: Tensor) -> None:
        """Set learnable scales from the initial latent weights; nothing to do where there are none."""

    def deploy(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        """``(signs, scale)``: signs in {-1, +1} of the weight's shape, scale (Co,), float32; planes are stacked."""
        raise NotImplementedError


class MeanScaleWeight(WeightBinarizer):
    """``mean|W_o| * sign(W_o)`` per filter; gradient ``1[|W| <= 1]``, the scale counts as a constant.

    Source: XNOR-Net (Rastegari et al., ECCV 2016), eq. 6, with the backward pass that BBCU, ReActNet and BI-DiffSR
    use: the gradient is not multiplied by the scale. EBSR, eq. 1.
    """

    def _scale(self, weight: Tensor) -> Tensor:
        return weight.detach().abs().mean(dim=(1, 2, 3))

    def forward(self, weight: Tensor) -> Tensor:
        return straight_through(weight, self._scale(weight).reshape(-1, 1, 1, 1), clip=True)

    def deploy(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return hard_sign(weight.detach()), self._scale(weight)


class LearnedScaleWeight(WeightBinarizer):
    """``s_o * sign(W_o)`` with a learnable scale per filter, initially ``mean|W_o|``.

    Gradients by the chain rule: ``d/ds_o = sum(g * sign(W_o))``, ``d/dW = g * s_o * 1[|W| <= 1]``.
    Source: the trained per-filter factor of Bulat and Tzimiropoulos, XNOR-Net++ (BMVC 2019), eq. 5, case 1.
    """

    def __init__(self, out_channels: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(out_channels))

    def initialize(self, weight: Tensor) -> None:
        with torch.no_grad():
            self.scale.copy_(weight.abs().mean(dim=(1, 2, 3)))

    def forward(self, weight: Tensor) -> Tensor:
        signs = straight_through(weight, weight.new_ones(()), clip=True)
        return signs * self.scale.reshape(-1, 1, 1, 1)

    def deploy(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return hard_sign(weight.detach()), self.scale.detach().clone()


class SignWeight(WeightBinarizer):
    """``sign(W)`` without a scale; the gradient passes unchanged.

    Source: E2FIF (Lang et al., arXiv 2207.06893) as in its published code: batch normalisation follows.
    """

    def forward(self, weight: Tensor) -> Tensor:
        return straight_through(weight, weight.new_ones(()), clip=False)

    def deploy(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return hard_sign(weight.detach()), weight.new_ones(weight.shape[0])
