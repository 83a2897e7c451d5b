"""Second-order residual binarization of weights: two binary planes that share one binarized activation.

Source: FRB (Zhang et al., "Flexible Residual Binarization for Image Super-Resolution", ICML 2024) binarizes the error
of the first binarization and adds it as a second term. Its equations are not public; the form here is the usual one
of residual binarization (HORQ, Li et al., ICCV 2017), with a scale for each filter and plane.
"""

from typing import Any

import torch
from torch import Tensor, nn

from bitsr.training.binarizers.weights import WeightBinarizer, hard_sign


class _ResidualSum(torch.autograd.Function):
    """``sum_p scale_p * plane_p``; the latent weights get the sum's gradient, clipped, each scale that of its plane."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, planes: Tensor, scale: Tensor) -> Tensor:
        ctx.save_for_backward(weight, planes)
        return (planes * _of_filters(scale)).sum(dim=0)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, Tensor]:
        weight, planes = ctx.saved_tensors
        return grad * (weight.abs() <= 1), None, (grad * planes).sum(dim=(2, 3, 4))


class ResidualWeight(WeightBinarizer):
    """``a1 * B1 + a2 * B2`` with ``B1 = sign(W)``, ``B2 = sign(W - m B1)``, ``m`` the mean of ``|W|`` in a filter.

    ``m`` is the best scale of the first plane alone, and ``B2 = B1 * sign(|W| - m)``: a weight is one of
    ``+-a1 +-a2``, two bits. In the closed form ``a1 = m`` and ``a2 = mean|W - m B1|``. With ``learned`` both scales of
    a filter are parameters that start there.

    The gradient of the sum passes to the latent weights where ``|W| <= 1``, without the scales; a learned scale gets
    ``sum(g * B_p)``. Inferred, because the paper's text is not public: this backward pass (that of the same group's
    released second-order binarizer), that the scales are learned by default, and that B2 keeps its closed-form
    threshold ``m`` then: a learned a1 may leave the range of the latent weights, and B2 would become -B1.
    """

    planes = 2

    def __init__(self, out_channels: int, *, learned: bool = True) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(2, out_channels)) if learned else None

    def initialize(self, weight: Tensor) -> None:
        if self.scale is not None:
            with torch.no_grad():
                self.scale.copy_(residual_planes(weight)[1])

    def forward(self, weight: Tensor) -> Tensor:
        planes, scale = residual_planes(weight)
        return _ResidualSum.apply(weight, planes, scale if self.scale is None else self.scale)  # type: ignore[no-untyped-call]

    def deploy(self, weight: Tensor) -> tuple[Tensor, Tensor]:
        planes, scale = residual_planes(weight)
        return planes, (scale if self.scale is None else self.scale.detach().clone())


def residual_planes(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Planes (2, Co, Ci, k, k) in {-1, +1} and closed-form scales (2, Co) of weights (Co, Ci, k, k); no gradient."""
    weight = weight.detach()
    first = hard_sign(weight)
    mean = weight.abs().mean(dim=(1, 2, 3))
    rest = weight - mean.reshape(-1, 1, 1, 1) * first
    return torch.stack([first, hard_sign(rest)]), torch.stack([mean, rest.abs().mean(dim=(1, 2, 3))])


def _of_filters(scale: Tensor) -> Tensor:
    return scale.reshape(*scale.shape, 1, 1, 1)
