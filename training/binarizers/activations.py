"""Binarizers of activations: the sign in the forward pass, a piecewise-polynomial gradient in the backward pass.

All of them use sign(0) = +1, so that the bit of ``x`` is ``x >= threshold`` in training and in the packed kernels.
"""

from typing import Any

import torch
from torch import Tensor, nn

# Keeps the scale of ScaledSign positive, so that dividing by it never changes a sign.
MINIMUM_SCALE = 1e-6


class _ScaledSign(torch.autograd.Function):
    """``alpha * sign((x - threshold) / alpha)`` with the gradients of EBSR, equations 3 and 4."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor, alpha: Tensor) -> Tensor:
        ctx.save_for_backward(x, threshold, alpha)
        scale = alpha.to(x.dtype)
        return torch.where(x >= threshold, scale, -scale)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, threshold, alpha = ctx.saved_tensors
        u = (x - threshold) / alpha
        slope = (2 - 2 * u.abs()).clamp_min(0)
        grad_x = grad * slope
        grad_threshold = grad_alpha = None
        if ctx.needs_input_grad[1]:
            grad_threshold = -_sum_to(grad_x, threshold.shape)
        if ctx.needs_input_grad[2]:
            sign = torch.where(u >= 0, 1.0, -1.0)
            grad_alpha = grad * (sign - u * slope)
            per_channel = alpha.dim() == 4
            grad_alpha = _sum_to(grad_alpha, alpha.shape) if per_channel else grad_alpha.sum(dtype=torch.float32)
            grad_alpha = grad_alpha.to(alpha.dtype)
        return grad_x.to(x.dtype), grad_threshold, grad_alpha


def _sum_to(grad: Tensor, shape: torch.Size) -> Tensor:
    """Sum a gradient (N, C, H, W) over the dimensions that were broadcast from ``shape``."""
    dims = [i for i, size in enumerate(shape) if size == 1]
    return grad.sum(dims, keepdim=True, dtype=torch.float32) if dims else grad


def scaled_sign(x: Tensor, threshold: Tensor, alpha: Tensor) -> Tensor:
    """``+alpha`` where ``x >= threshold``, else ``-alpha``.

    Args:
        x: activations (N, C, H, W), any float dtype.
        threshold: (1, C, 1, 1) or (N, C, 1, 1), or (1, 1, 1, 1).
        alpha: positive scalar, or (1, C, 1, 1).

    With ``u = (x - threshold) / alpha`` and the slope ``F'(u) = max(0, 2 - 2|u|)`` of Bi-Real Net's ApproxSign
    (Liu et al., ECCV 2018, eq. 6) the gradients are ``d/dx = F'(u)``, ``d/dthreshold = -F'(u)`` and
    ``d/dalpha = sign(u) - u F'(u)`` (EBSR, arXiv 2303.12270v1, eq. 3 and 4).
    """
    return _ScaledSign.apply(x, threshold, alpha)  # type: ignore[no-untyped-call]


class ActivationBinarizer(nn.Module):
    """Turns activations (N, C, H, W) into ``gain() * sign(x - threshold)``.

    ``shift``, where given, replaces the static threshold for each picture and channel: (N, C, 1, 1).
    """

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        raise NotImplementedError

    def threshold(self, channels: int) -> Tensor:
        """Static thresholds (C,): the bit of channel c is ``x >= threshold[c]``."""
        raise NotImplementedError

    def gain(self) -> Tensor:
        """Positive scalar that multiplies the signs, and so the output of the convolution; or one for each channel."""
        raise NotImplementedError


class Sign(ActivationBinarizer):
    """``sign(x)`` with the gradient ``max(0, 2 - 2|x|)``.

    Source: Bi-Real Net (Liu et al., ECCV 2018), eq. 6; used as it is by E2FIF (arXiv 2207.06893).
    """

    zero: Tensor
    one: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("zero", torch.zeros(1, 1, 1, 1), persistent=False)
        self.register_buffer("one", torch.ones(()), persistent=False)

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        return scaled_sign(x, self.zero if shift is None else shift, self.one)

    def threshold(self, channels: int) -> Tensor:
        return self.zero.new_zeros(channels)

    def gain(self) -> Tensor:
        return self.one


class RSign(ActivationBinarizer):
    """``sign(x - b)`` with a learnable ``b`` per channel (initially 0) and the gradient of ``Sign``.

    ``d/dx = max(0, 2 - 2|x - b|)``, ``d/db = -d/dx``.
    Source: ReActNet (Liu et al., ECCV 2020), eq. 1; BBCU writes ``sign(x + b)``.
    """

    one: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.register_buffer("one", torch.ones(()), persistent=False)

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        return scaled_sign(x, self.shift if shift is None else shift, self.one)

    def threshold(self, channels: int) -> Tensor:
        return _checked(self.shift, channels)

    def gain(self) -> Tensor:
        return self.one


class ScaledSign(ActivationBinarizer):
    """``alpha * sign((x - b) / alpha)`` with one learnable scale and a learnable threshold per channel.

    Gradients as in :func:`scaled_sign`. The learned number ``a`` may take any value: ``alpha = |a| + 1e-6`` stays
    positive, so the bit is ``x >= b``. ``learn_threshold=False`` leaves out ``b`` for layers whose threshold comes
    from the channel module. ``per_channel`` learns an alpha for each channel: for comparison in training, because then
    the convolution is no sum of bits.
    Source: EBSR (Wei et al., arXiv 2303.12270v1), section 4.1, eq. 2 to 4. The initial values are not in the paper;
    alpha = 1 and b = 0 are used.
    """

    zero: Tensor

    def __init__(
        self, channels: int, *, learn_threshold: bool = True, initial_alpha: float = 1.0, per_channel: bool = False
    ) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.full((1, channels, 1, 1) if per_channel else (), float(initial_alpha)))
        self.b = nn.Parameter(torch.zeros(1, channels, 1, 1)) if learn_threshold else None
        self.register_buffer("zero", torch.zeros(1, 1, 1, 1), persistent=False)

    def forward(self, x: Tensor, shift: Tensor | None = None) -> Tensor:
        if shift is None:
            shift = self.zero if self.b is None else self.b
        return scaled_sign(x, shift, self.gain())

    def threshold(self, channels: int) -> Tensor:
        return self.zero.new_zeros(channels) if self.b is None else _checked(self.b, channels)

    def gain(self) -> Tensor:
        return self.a.abs() + MINIMUM_SCALE


def _checked(shift: Tensor, channels: int) -> Tensor:
    if shift.numel() != channels:
        raise ValueError(f"the binarizer has {shift.numel()} thresholds, the layer has {channels} channels")
    return shift.reshape(channels)
