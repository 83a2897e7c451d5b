"""Packing of weight bits."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bitsr.artifact.program.words import words_per_tap
from bitsr.export.packing import pack_weight, unpack_weight


def random_signs(shape: tuple[int, ...], seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, shape, generator=generator).float() * 2 - 1


@given(
    out_channels=st.integers(1, 5),
    channels=st.integers(1, 200),
    kernel=st.sampled_from([1, 3]),
    seed=st.integers(0, 2**16),
)
def test_unpack_undoes_pack(out_channels: int, channels: int, kernel: int, seed: int) -> None:
    signs = random_signs((out_channels, channels, kernel, kernel), seed)
    packed = pack_weight(signs)
    assert packed.shape == (out_channels, kernel, kernel, -(-channels // 64))
    assert packed.dtype == torch.int64
    assert torch.equal(unpack_weight(packed, channels=channels), signs)


@pytest.mark.parametrize("channel", [0, 1, 31, 62, 63, 64, 100, 129])
def test_bit_of_a_channel(channel: int) -> None:
    signs = -torch.ones(1, 130, 1, 1)
    signs[0, channel] = 1
    words = [word % 2**64 for word in pack_weight(signs).flatten().tolist()]
    assert words == [(1 << channel % 64) if index == channel // 64 else 0 for index in range(3)]


@pytest.mark.parametrize("channels", [1, 63, 64, 65, 127])
def test_unused_bits_are_zero(channels: int) -> None:
    words = [word % 2**64 for word in pack_weight(torch.ones(1, channels, 1, 1)).flatten().tolist()]
    assert len(words) == words_per_tap(channels)
    assert sum(word.bit_count() for word in words) == channels


def test_order_of_taps_is_row_then_column() -> None:
    signs = -torch.ones(1, 1, 3, 3)
    signs[0, 0, 0, 2] = 1
    assert pack_weight(signs)[0, :, :, 0].tolist() == [[0, 0, 1], [0, 0, 0], [0, 0, 0]]


@pytest.mark.parametrize("value", [0.0, 0.5, float("nan")])
def test_values_that_are_no_signs_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="must be -1 or \\+1"):
        pack_weight(torch.full((1, 4, 3, 3), value))
