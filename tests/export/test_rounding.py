"""The float end of a binary layer is rounded once per step, as the kernels round (ARCHITECTURE.md, law 5)."""

from fractions import Fraction

import numpy as np
import pytest
import torch

from bitsr.export import ops
from bitsr.export.packing import pack_weight


def fused(dot: int, scale: float, shift: float) -> float:
    """``dot * scale + shift`` by the layer: a 1x1 convolution of ``dot`` channels, all of them +1."""
    bits = pack_weight(torch.ones(1, dot, 1, 1))[None]
    y = ops.binary_conv2d(
        torch.ones(1, dot, 1, 1), torch.zeros(dot), bits, torch.tensor([[scale]]), torch.tensor([shift])
    )
    return float(y)


def rounded_once(exact: Fraction) -> float:
    """The float32 nearest to an exact number, the even one of two."""
    near = np.float32(float(exact))
    candidates = [np.nextafter(near, np.float32(-np.inf)), near, np.nextafter(near, np.float32(np.inf))]
    return float(min(candidates, key=lambda x: (abs(Fraction(float(x)) - exact), int(x.view(np.int32)) & 1)))


@pytest.mark.parametrize("shift", [2.0**-70, -(2.0**-70), 0.0])
@pytest.mark.parametrize("scale", [1 + 2.0**-23, 1 + 3 * 2.0**-23, -(1 + 2.0**-23), -(1 + 3 * 2.0**-23)])
def test_a_sum_that_float64_rounds_to_the_middle_of_two_float32(scale: float, shift: float) -> None:
    # 3 * scale lies in the middle between two float32, and float64 has no room for the shift beside it.
    assert np.float64(3 * scale) + np.float64(shift) == np.float64(3 * scale)
    assert fused(3, scale, shift) == rounded_once(Fraction(3) * Fraction(scale) + Fraction(shift))


def test_any_sum_is_rounded_once() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        scale, shift = (float(np.float32(rng.normal() * 2.0 ** int(rng.integers(-30, 30)))) for _ in range(2))
        dot = int(rng.integers(1, 600))
        assert fused(dot, scale, shift) == rounded_once(Fraction(dot) * Fraction(scale) + Fraction(shift))
