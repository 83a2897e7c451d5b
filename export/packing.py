"""Packing of weight signs into 64-bit words (ARCHITECTURE.md, law 3).

Bit 1 is +1, bit 0 is -1. Channel c is bit ``c % 64`` of word ``c // 64``; the unused high bits of the last word are 0.
"""

import torch
from torch import Tensor

from bitsr.artifact.program.words import WORD_BITS, words_per_tap


def pack_weight(signs: Tensor) -> Tensor:
    """Pack signs (Co, Ci, k, k), -1 or +1, any real dtype, into int64 words (Co, k, k, words).

    Raises:
        ValueError: a value is neither -1 nor +1.
    """
    if not bool((signs.abs() == 1).all()):
        raise ValueError("weight signs must be -1 or +1; binarize the weights before packing them")
    out_channels, in_channels, height, width = signs.shape
    words = words_per_tap(in_channels)
    bits = torch.zeros(out_channels, height, width, words * WORD_BITS, dtype=torch.int64, device=signs.device)
    bits[..., :in_channels] = (signs.permute(0, 2, 3, 1) > 0).to(torch.int64)
    places = torch.arange(WORD_BITS, device=signs.device)
    # Bit 63 is the sign bit of an int64; the shifted bits are disjoint, so their wrapping sum is their union.
    packed: Tensor = (bits.reshape(out_channels, height, width, words, WORD_BITS) << places).sum(dim=-1)
    return packed


def unpack_weight(weight_bits: Tensor, *, channels: int) -> Tensor:
    """Undo :func:`pack_weight`: int64 words (..., Co, k, k, words) to float32 signs (..., Co, channels, k, k)."""
    places = torch.arange(WORD_BITS, device=weight_bits.device)
    bits = ((weight_bits.unsqueeze(-1) >> places) & 1).flatten(-2)[..., :channels]
    return (bits.movedim(-1, -3) * 2 - 1).to(torch.float32)
