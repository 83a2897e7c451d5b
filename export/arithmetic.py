"""The kernels' float arithmetic in PyTorch, rounding for rounding (ARCHITECTURE.md, laws 5 and 6).

PyTorch's own sums, means and sigmoids round in an order of their own, which differs between its versions and
processors; these take the order of ``runtime/core``, so that the eager reference and every instruction set give the
same bits. All maps and vectors are float32.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

# A sum over channels is taken in so many lanes: channel c is added in lane c % 16.
_LANES = 16
# Coefficients of exp(r) = 1 + r + r^2 / 2 + ... for |r| <= ln(2) / 2, the highest power first.
_EXP = (1 / 5040, 1 / 720, 1 / 120, 1 / 24, 1 / 6, 1 / 2, 1.0, 1.0)
# ln(2) in two parts: products of the first with small integers are exact.
_LN2_HIGH, _LN2_LOW = 0.693359375, -2.12194440e-4


def fused_multiply_add(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    """``a * b + c`` with one rounding to float32, as the kernels do.

    The product of two float32 is exact in float64. The sum is rounded to float64 and then to float32; only where the
    first rounding ends in the middle between two float32 can the second go wrong, so there it is moved off the middle
    to the side of the exact sum. (Left out: below float32's normal range, 1.2e-38, where the middle is another one.)
    """
    total = torch.addcmul(c.double(), a.double(), b.double())
    result = total.float()
    middle = (total.view(torch.int64) & 0x1FFFFFFF) == 0x10000000  # of the 52 bits, float32 keeps the upper 23
    if bool(middle.any()):
        at = middle.nonzero(as_tuple=True)
        factor, other, addend = (value.expand(total.shape)[at].double() for value in (a, b, c))
        result[at] = _off_the_middle(factor * other, addend, total[at]).float()
    return result


def _off_the_middle(product: Tensor, addend: Tensor, total: Tensor) -> Tensor:
    """The float64 next to ``total`` on the side of the exact ``product + addend``, or ``total`` where it is exact."""
    shadow = total - product  # the error of the sum, exact (Knuth's two-sum)
    error = (product - (total - shadow)) + (addend - shadow)
    moved = torch.nextafter(total, torch.copysign(torch.full_like(total, torch.inf), error))
    return torch.where(error != 0, moved, total)


def sigmoid(x: Tensor) -> Tensor:
    """``1 / (1 + exp(-x))`` of any shape: within 1e-7 of the exact value, 0 and 1 beyond +-80.

    ``exp(v) = 2^n exp(r)`` with the nearest integer n to v / ln(2) and a polynomial in r. NaN stays NaN.
    """

    def number(value: float) -> Tensor:
        return torch.tensor(value, dtype=torch.float32, device=x.device)

    v = -x
    v = torch.where(v < -80.0, -80.0, v)
    v = torch.where(v > 80.0, 80.0, v)
    magic = number(12582912.0)  # 1.5 * 2^23: a sum with it is rounded to an integer
    n = fused_multiply_add(v, number(1.44269504), magic) - magic
    r = fused_multiply_add(n, number(-_LN2_HIGH), v)
    r = fused_multiply_add(n, number(-_LN2_LOW), r)
    p = number(_EXP[0])
    for coefficient in _EXP[1:]:
        p = fused_multiply_add(p, r, number(coefficient))
    # -116 <= n <= 116, so that 2^n is a normal number; of NaN nothing matters but that p has it.
    power = ((torch.nan_to_num(n).int() + 127) << 23).view(torch.float32)
    one = torch.ones_like(p)
    return one / (one + p * power)


def picture_mean(x: Tensor) -> Tensor:
    """Mean of every channel, (N, C, H, W) -> (N, C): each row from left to right, the rows from top to bottom."""
    height, width = x.shape[2:]
    rows = torch.zeros_like(x[..., 0])
    for column in range(width):
        rows = rows + x[..., column]
    total = rows[..., 0]
    for row in range(1, height):
        total = total + rows[..., row]
    return total / torch.full_like(total, float(height * width))


def fully_connected(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``x weight^T + bias``, (N, I) -> (N, O), from the bias on, the inputs in ascending order."""
    total = bias.expand(x.shape[0], -1)
    for i in range(x.shape[1]):
        total = fused_multiply_add(weight[:, i], x[:, i : i + 1], total)
    return total


def gate_sums(x: Tensor, weight: Tensor) -> Tensor:
    """``conv2d(x, weight)`` with zero padding ``k // 2``, (N, C, H, W) and (1, C, k, k) -> (N, 1, H, W).

    A row of the picture gives a row of partial sums for each row of the kernel: in 16 lanes over the kernel's columns
    and in them the blocks of 16 channels, then the lanes as a tree. The partial sums are added from top to bottom.
    """
    kernel, width, missing = weight.shape[-1], x.shape[3], -x.shape[1] % _LANES
    radius = kernel // 2
    # A product with a padded 0 adds nothing, whether the kernels leave it out or not.
    x = F.pad(x, (radius, radius, 0, 0, 0, missing)).contiguous().double()
    weight = F.pad(weight[0], (0, 0, 0, 0, 0, missing)).double().transpose(0, 1)
    lanes = x.new_zeros((x.shape[0], kernel, _LANES, x.shape[2], width), dtype=torch.float32)
    for kx in range(kernel):
        for first in range(0, x.shape[1], _LANES):
            block = slice(first, first + _LANES)
            factor = weight[:, block, kx, None, None]  # (rows of the kernel, lanes, 1, 1)
            lanes = fused_multiply_add(x[:, None, block, :, kx : kx + width], factor, lanes)
    lanes = _tree_sum(lanes, dim=2)
    # Row y of the result takes the partial sums of row y + ky - radius; outside of the picture they are 0.
    rows = [F.pad(lanes[:, ky], (0, 0, radius - ky, ky - radius)) for ky in range(kernel)]
    total = rows[0]
    for row in rows[1:]:
        total = total + row
    return total


def channel_norm(x: Tensor, weight: Tensor, bias: Tensor, epsilon: Tensor) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon) * weight + bias`` over the channels of each pixel of (N, C, H, W).

    Sum and sum of squares are taken in 16 lanes over the blocks of 16 channels, then the lanes as a tree; the squares
    are those of what the mean leaves. A factor ``1 / sqrt`` is worked out first; ``weight`` and ``bias`` are one fma.
    """
    channels = x.shape[1]
    count = torch.tensor(float(channels), device=x.device)
    centred = x - _lane_sums(x, squares=False) / count
    variance = _lane_sums(centred, squares=True) / count
    # A square root in float64 is rounded to the float32 that is nearest to the exact one.
    inverse = torch.ones_like(variance) / (variance + epsilon).double().sqrt().float()
    return fused_multiply_add(centred * inverse, weight[:, None, None], bias[:, None, None])


def pixel_gate(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """``sigmoid(weight x + bias)`` at each pixel, (N, C, H, W) and (K, C) -> (N, K, H, W): as a fully connected row."""
    total = bias[:, None, None]
    for c in range(x.shape[1]):
        total = fused_multiply_add(weight[:, c, None, None], x[:, c : c + 1], total)
    return sigmoid(total)


def _lane_sums(x: Tensor, *, squares: bool) -> Tensor:
    """Sum of each pixel's channels, or of their squares: (N, C, H, W) -> (N, 1, H, W)."""
    padded = F.pad(x, (0, 0, 0, 0, 0, -x.shape[1] % _LANES))
    lanes = torch.zeros_like(padded[:, :_LANES])
    for first in range(0, padded.shape[1], _LANES):
        block = padded[:, first : first + _LANES]
        lanes = fused_multiply_add(block, block, lanes) if squares else lanes + block
    return _tree_sum(lanes, dim=1)


def _tree_sum(lanes: Tensor, *, dim: int) -> Tensor:
    """The sum of 16 lanes along ``dim``: l+8, l+4, l+2, l+1."""
    while lanes.shape[dim] > 1:
        first, second = lanes.chunk(2, dim)
        lanes = first + second
    return lanes
