"""Binarizers of the networks that binary super-resolution papers compare with. All of them use sign(0) = +1.

Sources: BNN (Hubara et al., NeurIPS 2016), DoReFa-Net (Zhou et al., 2016), IR-Net (Qin et al., CVPR 2020, with the
schedule of its published code), BTM (Jiang et al., AAAI 2021).
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from bitsr.training.binarizers.activations import ActivationBinarizer
from bitsr.training.binarizers.weights import WeightBinarizer, hard_sign, straight_through


class _SurrogateSign(torch.autograd.Function):
    """``sign(x)``; the gradient is multiplied by ``slope``, a tensor of x's shape."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(slope)
        return hard_sign(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (slope,) = ctx.saved_tensors
        return grad * slope, None


def surrogate_sign(x: Tensor, slope: Tensor) -> Tensor:
    """-1 where ``x < 0``, else +1, with ``slope`` (same shape) as its derivative."""
    return _SurrogateSign.apply(x, slope.detach().to(x.dtype))  # type: ignore[no-untyped-call]


class HardTanhSign(ActivationBinarizer):
    """``sign(x)`` with the gradient of the hard tanh, ``1[|x| <= 1]``. Source: BNN, eq. 1 and 4."""

    one: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("one", torch.ones(()), persistent=False)

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        x = x if shift is None else x - shift
        return surrogate_sign(x, self._slope(x.detach()))

    def _slope(self, x: Tensor) -> Tensor:
        return x.abs() <= 1

    def threshold(self, channels: int) -> Tensor:
        return self.one.new_zeros(channels)

    def gain(self) -> Tensor:
        return self.one


class Progressive(nn.Module):
    """Mixin of IR-Net's estimator: the slope ``k t (1 - tanh^2(t u))``, steeper as the training goes on.

    ``t`` grows from 0.1 to 10 exponentially with the training's progress, ``k = max(1 / t, 1)``: first nearly the
    identity for all values, at the end nearly the derivative of the sign.
    """

    t: Tensor

    def set_progress(self, fraction: float) -> None:
        """``fraction`` of the training that is done, 0 to 1."""
        self.t.fill_(10.0 ** (2 * min(max(fraction, 0.0), 1.0) - 1))

    def estimator_slope(self, u: Tensor) -> Tensor:
        k = (1 / self.t).clamp_min(1.0)
        return k * self.t * (1 - torch.tanh(self.t * u).square())


def progressive_modules(model: nn.Module) -> Iterator[Progressive]:
    """Modules whose ``set_progress`` the trainer calls before each step."""
    return (module for module in model.modules() if isinstance(module, Progressive))


class ProgressiveSign(HardTanhSign, Progressive):
    """``sign(x)`` with IR-Net's progressive gradient."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("t", torch.tensor(0.1), persistent=False)

    def _slope(self, x: Tensor) -> Tensor:
        return self.estimator_slope(x)


class Step(ActivationBinarizer):
    """1 where ``x >= 0.5``, else 0, with the identity's gradient for x in [0, 1].

    Source: DoReFa-Net with 1-bit activations. It has no deploy form, for the reason in
    :class:`~bitsr.training.models.baseline_blocks.DorefaUnit`.
    """

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        x = x - 0.5 if shift is None else x - shift
        return (surrogate_sign(x, 2.0 * (x.detach().abs() <= 0.5)) + 1) / 2


class HardTanhWeight(WeightBinarizer):
    """``sign(W)`` without a scale, gradient ``1[|W| <= 1]``. Source: BNN."""

    def forward(self, weight: Tensor) -> Tensor:
        return surrogate_sign(weight, weight.detach().abs() <= 1)

    def deploy(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return hard_sign(weight.detach()), weight.new_ones(weight.shape[0])


class TensorScaleWeight(WeightBinarizer):
    """``mean|W| * sign(W)`` with one scale for the whole tensor, which the gradient passes by: ``d/dW`` is that of the
    binary weight.

    Source: DoReFa-Net, eq. 7.
    """

    def forward(self, weight: Tensor) -> Tensor:
        return straight_through(weight, weight.detach().abs().mean(), clip=False)

    def deploy(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return hard_sign(weight.detach()), weight.detach().abs().mean().expand(weight.shape[0])


class StandardizedWeight(WeightBinarizer, Progressive):
    """IR-Net: filters of zero mean and unit deviation, their sign, times a power of two for each filter.

    ``2^round(log2 mean|W'_o|) * sign(W'_o)`` with the standardized filter W'; the gradient is the progressive one,
    through the standardization; the scale is a constant in the backward pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("t", torch.tensor(0.1), persistent=False)

    @staticmethod
    def _standardized(weight: Tensor) -> Tensor:
        centred = weight - weight.mean(dim=(1, 2, 3), keepdim=True)
        return centred / centred.std(dim=(1, 2, 3), keepdim=True).clamp_min(1e-8)

    @staticmethod
    def _scale(standardized: Tensor) -> Tensor:
        mean = standardized.detach().abs().mean(dim=(1, 2, 3)).clamp_min(1e-8)
        return torch.exp2(mean.log2().round())

    def forward(self, weight: Tensor) -> Tensor:
        w = self._standardized(weight)
        return surrogate_sign(w, self.estimator_slope(w.detach())) * self._scale(w).reshape(-1, 1, 1, 1)

    def deploy(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        w = self._standardized(weight.detach())
        return hard_sign(w), self._scale(w)


class HigherOrderWeight(WeightBinarizer):
    """BTM: ``sign(W)`` from Xavier-uniform initial weights, with a polynomial gradient.

    Which polynomial is not known here; ``2 - 2|W|`` for ``|W| < 1`` is used, as for activations. The scale
    ``mean|W_o|`` follows the convolution (:func:`filter_scale`): a sum of signs that is 0 must stay exactly 0, because
    the next layer takes its sign.
    """

    def initialize(self, weight: Tensor) -> None:
        nn.init.xavier_uniform_(weight)

    def forward(self, weight: Tensor) -> Tensor:
        return surrogate_sign(weight, (2 - 2 * weight.detach().abs()).clamp_min(0))

    def deploy(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        return hard_sign(weight.detach()), weight.new_ones(weight.shape[0])


def filter_scale(weight: Tensor) -> Tensor:
    """``mean|W_o|`` of every filter as (Co, 1, 1), a constant in the backward pass."""
    return weight.detach().abs().mean(dim=(1, 2, 3)).reshape(-1, 1, 1)
