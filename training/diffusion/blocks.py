"""Float blocks that diffusion networks share: time encoding, attention over the picture, block of norm and conv.

Source: SR3 (Saharia et al., TPAMI 2022) as in the public implementation that BI-DiffSR starts from.
"""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class TimeEncoding(nn.Module):
    """``Linear(Swish(Linear([sin(t w), cos(t w)])))`` with ``w_j = 10000^(-j / (C / 2))``, j = 0 .. C / 2 - 1.

    Timestep (1,), any dtype -> (1, C), float32.
    """

    frequencies: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        frequencies = torch.exp(-math.log(10000.0) * torch.arange(half, dtype=torch.float64) / half)
        self.register_buffer("frequencies", frequencies.float(), persistent=False)
        self.expand = nn.Linear(channels, 4 * channels)
        self.reduce = nn.Linear(4 * channels, channels)

    def forward(self, timestep: Tensor) -> Tensor:
        angles = timestep.float().reshape(-1, 1) * self.frequencies
        encoding = torch.cat([angles.sin(), angles.cos()], dim=1)
        return self.reduce(F.silu(self.expand(encoding)))


class NormActivation(nn.Module):
    """``Swish(GroupNorm(x))``. (N, C, H, W) -> (N, C, H, W)."""

    def __init__(self, channels: int, *, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(self.norm(x))


class SelfAttention(nn.Module):
    """``x + out(softmax(q k^T / sqrt(C)) v)`` over all pixels, one head, behind a group norm.

    q, k and v are 1x1 convolutions without bias, ``out`` has one. (N, C, H, W) -> (N, C, H, W).
    """

    def __init__(self, channels: int, *, groups: int) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(groups, channels)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        self.out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=1)
        return self.out(attend(q, k, v)) + x


def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """``softmax(q k^T / sqrt(C)) v`` with all pixels as tokens; maps (N, C, H, W)."""
    q, k, values = (map_.flatten(2) for map_ in (q, k, v))
    weights = torch.einsum("ncq,nck->nqk", q, k).div(math.sqrt(q.shape[1])).softmax(dim=2)
    return torch.einsum("nqk,nck->ncq", weights, values).reshape(v.shape)
