"""Learned step size quantization (LSQ) of weights and activations to a few bits.

Source: Esser et al., "Learned Step Size Quantization", ICLR 2020 (arXiv 1902.08153), eq. 1 to 5 and section 2.
"""

from typing import Any

import torch
from torch import Tensor, nn

from bitsr.training.binarizers.activations import MINIMUM_SCALE


class _Lsq(torch.autograd.Function):
    """``step * round(clip(x / step, -negative, positive))`` with LSQ's gradients."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, step: Tensor, negative: int, positive: int, factor: float) -> Tensor:
        ctx.save_for_backward(x, step)
        ctx.levels = (negative, positive, factor)
        return _levels(x / step, negative, positive) * step

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, step = ctx.saved_tensors
        negative, positive, factor = ctx.levels
        v = x / step
        inside = (v > -negative) & (v < positive)
        level = _levels(v, negative, positive)
        by_step = torch.where(inside, level - v, level)
        grad_step = (grad * by_step).sum(dtype=torch.float32) * factor
        return grad * inside, grad_step.to(step.dtype).reshape(step.shape), None, None, None


def _levels(v: Tensor, negative: int, positive: int) -> Tensor:
    if negative == positive == 1:
        return torch.where(v >= 0, 1.0, -1.0).to(v.dtype)
    return v.clamp(-negative, positive).round()


def lsq(x: Tensor, step: Tensor, *, negative: int, positive: int, factor: float = 1.0) -> Tensor:
    """``step * q`` with the level ``q = round(clip(x / step, -negative, positive))``, halves to even.

    With ``v = x / step`` the gradients are ``d/dx = 1`` inside of ``-negative < v < positive`` and 0 outside, and
    ``d/dstep = q - v`` inside and ``q`` outside (eq. 3), the latter times ``factor``.
    ``negative = positive = 1`` means one bit: the levels are -1 and +1, ``q = sign(v)`` with sign(0) = +1, and the same
    gradients. The paper does not go below two bits; its formula would give one bit the levels -1 and 0.

    Args:
        x: any shape and float dtype.
        step: positive scalar.
    """
    return _Lsq.apply(x, step, negative, positive, factor)  # type: ignore[no-untyped-call]


class LsqQuantizer(nn.Module):
    """Signed LSQ quantizer with one learned step: any shape in, the same shape out, ``levels() * step()``.

    ``b`` bits have the levels ``-2^(b-1) ... 2^(b-1) - 1``; one bit has -1 and +1. The step starts at
    ``2 mean|x| / sqrt(positive)`` of the first tensor that it sees in training (section 2.1), at ``mean|x|`` for one
    bit, which is the best step then (XNOR-Net, eq. 6). The step's gradient is multiplied by
    ``1 / sqrt(elements * positive)`` (section 2.2), ``elements`` being those of one picture or of the weight.
    The learned number may take any value; the step is its absolute value plus 1e-6, so it stays positive.

    Args:
        bits: 1 to 8.
        batched: whether the first dimension is a batch (activations) or not (weights).
    """

    started: Tensor

    def __init__(self, bits: int, *, batched: bool) -> None:
        super().__init__()
        if not 1 <= bits <= 8:
            raise ValueError(f"an LSQ quantizer has 1 to 8 bits, got {bits}")
        self.bits = bits
        self.batched = batched
        self.negative = 2 ** (bits - 1)
        self.positive = max(2 ** (bits - 1) - 1, 1)
        self.s = nn.Parameter(torch.ones(()))
        self.register_buffer("started", torch.zeros((), dtype=torch.bool))

    def forward(self, x: Tensor) -> Tensor:
        if self.training and not self.started:
            self.start(x)
        elements = x[0].numel() if self.batched else x.numel()
        factor = (elements * self.positive) ** -0.5
        return lsq(x, self.step(), negative=self.negative, positive=self.positive, factor=factor)

    def start(self, x: Tensor) -> None:
        """Take the initial step from ``x``.

        Of activations, processes that train together take the mean of theirs: each sees its own part of the batch, and
        equal gradients never make different steps equal.
        """
        with torch.no_grad():
            mean = x.abs().mean(dtype=torch.float32)
            if self.batched and torch.distributed.is_available() and torch.distributed.is_initialized():
                torch.distributed.all_reduce(mean)
                mean /= torch.distributed.get_world_size()
            self.s.copy_(mean if self.bits == 1 else 2 * mean / self.positive**0.5)
            self.started.fill_(True)

    def step(self) -> Tensor:
        """Positive scalar: the distance of neighbouring levels (for one bit, half of it)."""
        return self.s.abs() + MINIMUM_SCALE

    @torch.no_grad()
    def levels(self, x: Tensor) -> Tensor:
        """The integers that ``x`` is rounded to, as floats of its shape."""
        return _levels(x / self.step(), self.negative, self.positive)

    def extra_repr(self) -> str:
        return f"bits={self.bits}"
