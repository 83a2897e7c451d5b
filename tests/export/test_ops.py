"""The eager ops against their definition, written out with loops."""

import itertools
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._subclasses.fake_tensor import FakeTensorMode

from bitsr.export import ops
from bitsr.export.packing import pack_weight

FORMATS = [torch.contiguous_format, torch.channels_last]


def rand(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def signs(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.where(rand(*shape, seed=seed) >= 0, 1.0, -1.0)


def layer(
    channels: int, out: int, kernel: int, *, planes: int = 1, size: tuple[int, int] = (5, 6), seed: int = 0
) -> dict[str, Any]:
    """Arguments of a binary layer that uses every optional one."""
    return {
        "x": rand(1, channels, *size, seed=seed),
        "threshold": rand(channels, seed=seed + 1) * 0.3,
        "weight_bits": torch.stack(
            [pack_weight(signs(out, channels, kernel, kernel, seed=seed + p)) for p in range(planes)]
        ),
        "scale": rand(planes, out, seed=seed + 2),
        "shift": rand(out, seed=seed + 3),
        "inner_slope": rand(out, seed=seed + 4),
        "inner_shift": rand(out, seed=seed + 5),
        "channel_gain": rand(1, out, seed=seed + 6),
        "spatial_gain": rand(1, 1, *size, seed=seed + 7),
        "residual": rand(1, out, *size, seed=seed + 8),
        "slope": rand(out, seed=seed + 9),
    }


def integer_dot(x: np.ndarray, threshold: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Dot product (Co, H, W) of bits and signs with zero padding, tap by tap in integers."""
    height, width = x.shape[1:]
    kernel = weight.shape[-1]
    bits = np.where(x >= threshold[:, None, None], 1, -1)
    dot = np.zeros((weight.shape[0], height, width), dtype=np.int64)
    for i in range(height):
        for j in range(width):
            for u in range(kernel):
                for v in range(kernel):
                    row, column = i + u - kernel // 2, j + v - kernel // 2
                    if 0 <= row < height and 0 <= column < width:
                        dot[:, i, j] += weight[:, :, u, v].astype(np.int64) @ bits[:, row, column]
    return dot


@settings(max_examples=25, deadline=None)
@given(
    channels=st.integers(1, 130),
    out=st.integers(1, 5),
    kernel=st.sampled_from([1, 3]),
    height=st.integers(1, 5),
    width=st.integers(1, 5),
    seed=st.integers(0, 2**16),
)
def test_binary_dot_product(channels: int, out: int, kernel: int, height: int, width: int, seed: int) -> None:
    x, threshold = rand(1, channels, height, width, seed=seed), rand(channels, seed=seed + 1)
    weight = signs(out, channels, kernel, kernel, seed=seed + 2)
    y = ops.binary_conv2d(x, threshold, pack_weight(weight)[None], torch.ones(1, out))
    assert np.array_equal(y[0].numpy(), integer_dot(x[0].numpy(), threshold.numpy(), weight.numpy()))


@pytest.mark.parametrize("planes", [1, 2])
def test_epilogue_in_its_order(planes: int) -> None:
    given = layer(9, 4, 3, planes=planes)
    y = ops.binary_conv2d(**given)
    n = {name: value.double().numpy() for name, value in given.items() if name != "weight_bits"}
    z = n["shift"][:, None, None]
    for plane in range(planes):
        weight = signs(4, 9, 3, 3, seed=plane).numpy()
        z = z + integer_dot(n["x"][0], n["threshold"], weight) * n["scale"][plane][:, None, None]
    z = np.where(z < 0, z * n["inner_slope"][:, None, None], z) + n["inner_shift"][:, None, None]
    z = z * n["channel_gain"][0][:, None, None] * n["spatial_gain"][0] + n["residual"][0]
    z = np.where(z < 0, z * n["slope"][:, None, None], z)
    # Six float32 roundings of numbers up to about 100.
    np.testing.assert_allclose(y[0].numpy(), z, rtol=1e-5, atol=1e-4)


def test_sign_of_zero_is_plus_one_and_nan_is_minus_one() -> None:
    x = torch.tensor([0.0, -0.0, 1e-30, -1e-30, float("nan")]).reshape(1, 5, 1, 1)
    identity = torch.eye(5).reshape(5, 5, 1, 1)
    # y_o = sum_c sign(w_oc) b_c with w = +1 on the diagonal and -1 elsewhere: b_o = (y_o + sum b) / 2.
    y = ops.binary_conv2d(x, torch.zeros(5), pack_weight(identity * 2 - 1)[None], torch.ones(1, 5)).flatten()
    total = torch.tensor([1.0, 1, 1, -1, -1]).sum()
    assert ((y + total) / 2).tolist() == [1, 1, 1, -1, -1]


def test_threshold_of_each_picture() -> None:
    x = rand(2, 7, 4, 4)
    thresholds = rand(2, 7, seed=1)
    rest = (pack_weight(signs(3, 7, 3, 3))[None], torch.ones(1, 3))
    both = ops.binary_conv2d(x, thresholds, *rest)
    each = [ops.binary_conv2d(x[i : i + 1], thresholds[i], *rest) for i in range(2)]
    assert torch.equal(both, torch.cat(each))


def test_fused_multiply_add_rounds_once() -> None:
    # 3 * 0.1 (float32) - 0.3 (float32): separate roundings give 0, one rounding keeps what is left.
    bits = pack_weight(torch.ones(1, 3, 1, 1))[None]
    scale, shift = torch.tensor([[0.1]]), torch.tensor([-0.3])
    y = ops.binary_conv2d(torch.ones(1, 3, 1, 1), torch.zeros(3), bits, scale, shift)
    exact = 3 * np.float64(np.float32(0.1)) + np.float64(np.float32(-0.3))
    assert y.item() == np.float32(exact) != np.float32(np.float32(3) * np.float32(0.1)) + np.float32(-0.3)


def test_channel_gates() -> None:
    x, w1, b1, w2, b2 = rand(2, 6, 5, 4), rand(3, 6), rand(3), rand(12, 3), rand(12)
    mean = x.mean(dim=(2, 3))
    v = torch.relu(mean @ w1.T + b1) @ w2.T + b2
    shift, gain = ops.channel_shift_gate(x, w1, b1, w2, b2)
    torch.testing.assert_close(shift, v[:, :6])
    torch.testing.assert_close(gain, 1 / (1 + torch.exp(-v[:, 6:])))
    torch.testing.assert_close(ops.channel_gate(x, w1, b1, w2, b2, False), v)
    torch.testing.assert_close(ops.channel_gate(x, w1, b1, w2, b2, True), 1 / (1 + torch.exp(-v)))


@pytest.mark.parametrize("kernel", [1, 3])
def test_spatial_gate(kernel: int) -> None:
    x, weight, bias = rand(1, 4, 5, 6), rand(1, 4, kernel, kernel), rand(1)
    padded = torch.nn.functional.pad(x, [kernel // 2] * 4)
    expected = torch.empty(5, 6)
    for i in range(5):
        for j in range(6):
            window = padded[0, :, i : i + kernel, j : j + kernel]
            expected[i, j] = 1 / (1 + torch.exp(-((window * weight[0]).sum() + bias[0])))
    torch.testing.assert_close(ops.spatial_gate(x, weight, bias)[0, 0], expected)


@pytest.mark.parametrize(("negative", "positive"), [(128, 127), (2, 1), (0, 15)])
def test_quantized_spatial_gate(negative: int, positive: int) -> None:
    """Integers in Python's own arithmetic; the sum is exact, so only the sigmoid may differ in its last bits."""
    x = 3 * rand(1, 4, 5, 6)
    x[0, 0, 0, :3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    weight = torch.randint(-128, 128, (1, 4, 3, 3), dtype=torch.int8, generator=torch.Generator().manual_seed(4))
    numbers = torch.tensor([7.5]), torch.tensor([2.0**-12]), torch.tensor([0.25])
    # Python's round takes halves to even as well.
    q = [
        [[-negative if v != v else round(min(max(v, -negative), positive)) for v in row] for row in channel]
        for channel in (x * 7.5)[0].tolist()
    ]
    expected = torch.empty(5, 6)
    for i in range(5):
        for j in range(6):
            taps = [(c, y, z) for c in range(4) for y in range(3) for z in range(3)]
            inside = [(c, y, z) for c, y, z in taps if 0 <= i + y - 1 < 5 and 0 <= j + z - 1 < 6]
            dot = sum(q[c][i + y - 1][j + z - 1] * int(weight[0, c, y, z]) for c, y, z in inside)
            expected[i, j] = 1 / (1 + math.exp(-(dot * 2.0**-12 + 0.25)))
    gain = ops.quantized_spatial_gate(x, weight, *numbers, negative, positive)
    torch.testing.assert_close(gain[0, 0], expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize(("negative", "positive"), [(0, 255), (2047, 2047), (32768, 32767)])
@pytest.mark.parametrize("borders", [False, True])
def test_quantized_conv2d(negative: int, positive: int, borders: bool) -> None:
    """Integers and fractions in Python's own arithmetic, rounded to float32 where the law says so."""
    height, width, step = 4, 5, [positive / 2, positive / 8]
    x = 3 * rand(1, 2, height, width)
    x[0, 0, 0, :3] = torch.tensor([float("nan"), float("inf"), -float("inf")])
    weight = torch.randint(-128, 128, (3, 2, 3, 3), dtype=torch.int8, generator=torch.Generator().manual_seed(4))
    scale, bias, slope = rand(3) / positive / 128, rand(16 if borders else 1, 3, seed=1), rand(3, seed=2)
    q = [
        [
            [-negative if v != v else round(min(max(v, -negative), positive)) for v in row]
            for row in (x[0, c] * torch.tensor(step[c])).tolist()
        ]
        for c in range(2)
    ]
    expected = torch.empty(1, 3, height, width)
    for o, i, j in itertools.product(range(3), range(height), range(width)):
        taps = itertools.product(range(2), range(3), range(3))
        inside = [(c, y, z) for c, y, z in taps if 0 <= i + y - 1 < height and 0 <= j + z - 1 < width]
        dot = sum(q[c][i + y - 1][j + z - 1] * int(weight[o, c, y, z]) for c, y, z in inside)
        row, column = (1 if i == 0 else 2 if i == height - 1 else 0), (1 if j == 0 else 2 if j == width - 1 else 0)
        exact = Fraction(float(np.float32(dot))) * Fraction(scale[o].item())
        z = np.float32(float(exact + Fraction(bias[4 * row + column if borders else 0, o].item())))
        expected[0, o, i, j] = float(z * np.float32(slope[o].item()) if z < 0 else z)
    found = ops.quantized_conv2d(x, weight, torch.tensor(step), scale, bias, slope, negative, positive)
    torch.testing.assert_close(found, expected, rtol=0, atol=0)


@pytest.mark.parametrize("channels", [1, 5, 16, 60])
def test_channel_norm(channels: int) -> None:
    """PyTorch's own layer norm in float64; float32 rounds sums of up to 60 numbers of size 1."""
    x, weight, bias = 3 + rand(2, channels, 4, 5), rand(channels, seed=1), rand(channels, seed=2)
    pixels = x.double().permute(0, 2, 3, 1)
    expected = F.layer_norm(pixels, (channels,), weight.double(), bias.double(), 1e-3).permute(0, 3, 1, 2)
    found = ops.channel_norm(x, weight, bias, torch.tensor([1e-3]))
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)


def test_channel_norm_of_equal_channels_is_the_bias() -> None:
    """The variance is that of what the mean leaves: no difference of squares, which may be below 0."""
    bias = rand(64)
    found = ops.channel_norm(torch.full((1, 64, 2, 2), 1e4), rand(64, seed=1), bias, torch.tensor([1e-5]))
    assert torch.equal(found, bias[None, :, None, None].expand(1, 64, 2, 2))


def test_pixel_gate() -> None:
    x, weight, bias = rand(2, 6, 4, 5), rand(3, 6, seed=1), rand(3, seed=2)
    expected = torch.einsum("kc,nchw->nkhw", weight, x) + bias[:, None, None]
    torch.testing.assert_close(ops.pixel_gate(x, weight, bias), 1 / (1 + torch.exp(-expected)))


def test_rescale_in_its_order() -> None:
    """float32 products from left to right, then the sum: the order shows in the last bit somewhere."""
    x, scale, channel = rand(1, 8, 5, 6), rand(8, seed=1), rand(1, 8, seed=2)
    plane, gain, residual = rand(1, 1, 5, 6, seed=3), rand(1, 8, 5, 6, seed=4), rand(1, 8, 5, 6, seed=5)
    expected = x * scale[:, None, None] * channel[..., None, None] * plane * gain + residual
    assert torch.equal(ops.rescale(x, scale, channel, plane, gain, residual), expected)
    assert not torch.equal(x * (scale[:, None, None] * channel[..., None, None] * plane * gain) + residual, expected)
    assert torch.equal(ops.rescale(x), x)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_pixel_shuffle_with_nearest_skip(factor: int) -> None:
    x, skip = rand(1, 2 * factor**2, 3, 4), rand(1, 2, 3, 4, seed=1)
    plain, y = ops.pixel_shuffle(x, None, factor), ops.pixel_shuffle(x, skip, factor)
    for c in range(2):
        for i in range(3 * factor):
            for j in range(4 * factor):
                place = x[0, c * factor**2 + (i % factor) * factor + j % factor, i // factor, j // factor]
                assert plain[0, c, i, j] == place
                assert y[0, c, i, j] == place + skip[0, c, i // factor, j // factor]


CALLS = {
    "binary_conv2d": lambda x: (
        x, torch.zeros(8), pack_weight(signs(8, 8, 3, 3))[None], torch.ones(1, 8), rand(8), None, None, rand(1, 8),
        rand(1, 1, *x.shape[2:]), x, rand(8),
    ),
    "channel_shift_gate": lambda x: (x, rand(2, 8), rand(2), rand(16, 2), rand(16)),
    "channel_gate": lambda x: (x, rand(2, 8), rand(2), rand(4, 2), rand(4), True),
    "spatial_gate": lambda x: (x, rand(1, 8, 3, 3), rand(1)),
    "quantized_spatial_gate": lambda x: (
        x, signs(1, 8, 3, 3).to(torch.int8), rand(1), rand(1), rand(1), 8, 7,
    ),
    "quantized_conv2d": lambda x: (
        x, signs(4, 8, 3, 3).to(torch.int8), rand(8), rand(4), rand(16, 4), rand(4), 128, 127,
    ),
    "channel_norm": lambda x: (x, rand(8), rand(8), torch.tensor([1e-5])),
    "pixel_gate": lambda x: (x, rand(4, 8), rand(4)),
    "rescale": lambda x: (x, rand(8), rand(1, 8), rand(1, 1, *x.shape[2:]), rand(*x.shape), rand(*x.shape)),
    "pixel_shuffle": lambda x: (x, rand(1, 2, *x.shape[2:]), 2),
}  # fmt: skip


@pytest.mark.parametrize("memory_format", FORMATS, ids=["contiguous", "channels_last"])
@pytest.mark.parametrize("name", CALLS)
def test_schema_and_fake_kernel(name: str, memory_format: torch.memory_format) -> None:
    op = getattr(torch.ops.bitsr, name).default
    args = CALLS[name](rand(1, 8, 5, 6).to(memory_format=memory_format))
    torch.library.opcheck(op, args, test_utils=("test_schema", "test_faketensor"))
    eager = op(*args)
    with FakeTensorMode() as mode:
        fake = op(*(mode.from_tensor(a) if isinstance(a, torch.Tensor) else a for a in args))
    for e, f in zip(*(r if isinstance(r, tuple) else (r,) for r in (eager, fake)), strict=True):
        assert (e.shape, e.stride(), e.dtype) == (f.shape, f.stride(), f.dtype)


@pytest.mark.parametrize(
    "name", ["binary_conv2d", "quantized_conv2d", "channel_norm", "pixel_gate", "rescale", "pixel_shuffle"]
)
def test_maps_keep_their_memory_format(name: str) -> None:
    op = getattr(torch.ops.bitsr, name).default
    x = rand(1, 8, 5, 6)
    contiguous, last = op(*CALLS[name](x)), op(*CALLS[name](x.to(memory_format=torch.channels_last)))
    assert contiguous.is_contiguous()
    assert last.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(contiguous, last)


@pytest.mark.parametrize("kernel", [1, 3])
def test_sums_of_integers_are_the_same_in_bands(kernel: int, monkeypatch: pytest.MonkeyPatch) -> None:
    x, weight = 300 * rand(1, 5, 9, 7), (30 * rand(4, 5, kernel, kernel, seed=1)).to(torch.int8)
    constants = (torch.full((5,), 0.5), rand(4, seed=2), rand(1, 4, seed=3), None, 255, 255)
    whole = ops.quantized_conv2d(x, weight, *constants)
    monkeypatch.setattr(ops, "_BAND_PIXELS", 15)  # of two rows, the last of one
    assert torch.equal(ops.quantized_conv2d(x, weight, *constants), whole)
