"""Layers against their equations, written out here by other means."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsr.common.errors import UsageError
from bitsr.training.binarizers import MeanScaleWeight, RSign, Sign, SignWeight
from bitsr.training.layers import DIV2K_MEAN, BinaryConv2d, ChannelShiftRescale, Normalize, SpatialRescale


@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(1, 4), st.integers(1, 7), st.integers(1, 7), st.sampled_from([1, 3]))
def test_binary_convolution_of_any_shape(c_in: int, c_out: int, height: int, width: int, kernel: int) -> None:
    torch.manual_seed(11)
    conv = BinaryConv2d(
        c_in, c_out, kernel, activation_binarizer=RSign(c_in), weight_binarizer=MeanScaleWeight(), bias=True
    )
    x = torch.randn(2, c_in, height, width)
    signs, scale = conv.weight_binarizer.deploy(conv.weight)
    patches = F.unfold(torch.where(x >= 0, 1.0, -1.0), kernel, padding=kernel // 2)
    expected = (signs.reshape(c_out, -1) @ patches) * scale[:, None] + conv.bias[:, None]
    # 100 products of +-1 and a scale below 1: float32 rounding only.
    assert torch.allclose(conv(x).flatten(2), expected, atol=1e-5)


def test_padding_contributes_zero() -> None:
    """A single pixel under a 3x3 kernel sees only the centre tap, whatever the other weights are."""
    conv = BinaryConv2d(1, 1, 3, activation_binarizer=Sign(), weight_binarizer=SignWeight())
    with torch.no_grad():
        conv.weight.fill_(-0.1)
    assert conv(torch.full((1, 1, 1, 1), 5.0)).item() == -1
    assert conv(torch.zeros(1, 1, 1, 1)).item() == -1, "sign(0) is +1"


@pytest.mark.parametrize(
    ("kernel_size", "options", "message"),
    [
        (2, {}, "kernel size 2 has no kernel on a phone: choose 1 or 3"),
        (5, {}, "kernel size 5 has no kernel on a phone: choose 1 or 3"),
        (3, {"stride": 2}, "stride 2 has no kernel on a phone: choose stride 1"),
        (3, {"groups": 4}, "groups 4 has no kernel on a phone: choose groups 1"),
        (3, {"dilation": 2}, "dilation 2 has no kernel on a phone: choose dilation 1"),
    ],
)
def test_what_no_kernel_runs_is_refused_when_the_layer_is_made(
    kernel_size: int, options: dict[str, int], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        BinaryConv2d(4, 4, kernel_size, activation_binarizer=Sign(), weight_binarizer=SignWeight(), **options)


@pytest.mark.parametrize("fused", [True, False])
def test_channel_module_starts_neutral_and_depends_on_averages_alone(fused: bool) -> None:
    torch.manual_seed(12)
    module = ChannelShiftRescale(32, fused=fused)
    x = torch.randn(2, 32, 6, 5)
    shift, gain = module(x)
    assert shift.shape == gain.shape == (2, 32, 1, 1)
    assert float(shift.abs().max()) < 0.2
    assert 0.3 < float(gain.min()) <= float(gain.max()) < 0.7
    permuted = x.flatten(2)[:, :, torch.randperm(30)].reshape(x.shape)
    for value, other in zip((shift, gain), module(permuted), strict=True):
        assert torch.allclose(value, other, atol=1e-5)


def test_channel_module_sizes_are_those_of_the_paper() -> None:
    """64 channels, reduction 16: 64*4+4 + 4*128+128 = 900 parameters fused (28.8 K in 32 layers)."""
    assert sum(p.numel() for p in ChannelShiftRescale(64).parameters()) == 900
    assert sum(p.numel() for p in ChannelShiftRescale(64, fused=False).parameters()) == 1160


def test_spatial_module_is_one_gain_per_pixel() -> None:
    torch.manual_seed(13)
    module = SpatialRescale(8)
    x = torch.randn(2, 8, 5, 4)
    gain = module(x)
    assert gain.shape == (2, 1, 5, 4)
    assert 0 < float(gain.min()) <= float(gain.max()) < 1
    patches = F.unfold(x, 3, padding=1)
    expected = torch.sigmoid(module.conv.weight.reshape(1, -1) @ patches + module.conv.bias)
    assert torch.allclose(gain.flatten(2), expected, atol=1e-6)


def test_subtract_mean_amplifies() -> None:
    x = torch.tensor(DIV2K_MEAN).reshape(1, 3, 1, 1) + 0.25
    assert torch.allclose(Normalize(input_scale=64)(x), torch.full((1, 3, 1, 1), 16.0))
