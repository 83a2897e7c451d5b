"""Forward and gradient of every binarizer against its closed form."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bitsr.training.binarizers import (
    LearnedScaleWeight,
    MeanScaleWeight,
    RSign,
    ScaledSign,
    Sign,
    SignWeight,
    WeightBinarizer,
    hard_sign,
)


def approx_sign_slope(u: Tensor) -> Tensor:
    """Derivative of ApproxSign, written by its pieces."""
    result = torch.zeros_like(u)
    left, right = (u >= -1) & (u < 0), (u >= 0) & (u < 1)
    result[left] = 2 + 2 * u[left]
    result[right] = 2 - 2 * u[right]
    return result


def activations(seed: int, shape: tuple[int, ...] = (2, 3, 4, 5)) -> Tensor:
    """Values on both sides of every piece's border, the borders themselves included."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=generator, dtype=torch.float64) * 1.5
    x.view(-1)[:5] = torch.tensor([0.0, -0.0, 1.0, -1.0, 2.0], dtype=torch.float64)
    return x.requires_grad_()


def test_sign_forward_and_gradient() -> None:
    x, weight = activations(1), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    y = Sign().double()(x)
    assert torch.equal(y, torch.where(x >= 0, 1.0, -1.0).double())
    assert y.view(-1)[0] == y.view(-1)[1] == 1, "sign(0) and sign(-0) are +1"
    y.backward(weight)
    assert torch.allclose(x.grad, weight * approx_sign_slope(x.detach()))


def test_rsign_forward_and_gradient() -> None:
    x, weight = activations(2), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    binarizer = RSign(3).double()
    with torch.no_grad():
        binarizer.shift.copy_(torch.tensor([0.3, -0.2, 0.0]).reshape(1, 3, 1, 1))
    y = binarizer(x)
    u = (x - binarizer.shift).detach()
    assert torch.equal(y, torch.where(u >= 0, 1.0, -1.0).double())
    y.backward(weight)
    expected = weight * approx_sign_slope(u)
    assert torch.allclose(x.grad, expected)
    assert torch.allclose(binarizer.shift.grad.flatten(), -expected.sum(dim=(0, 2, 3)), atol=1e-5)


@pytest.mark.parametrize("alpha", [0.4, 1.0, 3.0])
def test_scaled_sign_follows_equations_3_and_4(alpha: float) -> None:
    x, weight = activations(3), torch.randn(2, 3, 4, 5, dtype=torch.float64)
    binarizer = ScaledSign(3, initial_alpha=alpha).double()
    with torch.no_grad():
        binarizer.b.copy_(torch.tensor([0.5, -0.25, 0.0]).reshape(1, 3, 1, 1))
    y = binarizer(x)
    scale = binarizer.gain().detach()
    u = ((x - binarizer.b) / scale).detach()
    assert torch.equal(y.detach(), torch.where(u >= 0, scale, -scale))
    y.backward(weight)

    by_alpha = torch.where(
        u <= -1, -1.0, torch.where(u <= 0, -2 * u**2 - 2 * u - 1, torch.where(u <= 1, 2 * u**2 - 2 * u + 1, 1.0))
    )
    by_beta = torch.where((u > -1) & (u <= 0), -2 - 2 * u, torch.where((u > 0) & (u <= 1), -2 + 2 * u, 0.0))
    # At u = 0 exactly equation 3 takes sign(0) = -1; the project's law is sign(0) = +1.
    by_alpha = torch.where(u == 0, torch.ones_like(u), by_alpha)
    # Sums are accumulated in float32.
    assert torch.allclose(binarizer.a.grad, (weight * by_alpha).sum(), rtol=1e-5, atol=1e-5)
    assert torch.allclose(binarizer.b.grad.flatten(), (weight * by_beta).sum(dim=(0, 2, 3)), rtol=1e-5, atol=1e-5)
    assert torch.allclose(x.grad, weight * approx_sign_slope(u))


def test_scaled_sign_shift_replaces_the_threshold_and_receives_its_gradient() -> None:
    x = activations(4)
    shift = torch.randn(2, 3, 1, 1, dtype=torch.float64).requires_grad_()
    y = ScaledSign(3, learn_threshold=False).double()(x, shift)
    assert torch.equal(y > 0, x >= shift)
    y.sum().backward()
    assert torch.allclose(shift.grad, -x.grad.sum(dim=(2, 3), keepdim=True), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("a", [-0.7, 0.0, 0.7])
def test_alpha_stays_positive(a: float) -> None:
    binarizer = ScaledSign(2, initial_alpha=a)
    assert float(binarizer.gain().detach()) > 0
    x = torch.tensor([-1.0, 0.0, 1.0, 2.0]).reshape(1, 2, 2, 1)
    assert torch.equal(binarizer(x) > 0, x >= 0)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**31 - 1))
def test_bit_is_x_at_least_threshold(channels: int, height: int, width: int, seed: int) -> None:
    """The exporter's contract: output = gain * (+1 where x >= threshold, else -1), for every binarizer."""
    generator = torch.Generator().manual_seed(seed)
    rsign, scaled = RSign(channels), ScaledSign(channels, initial_alpha=0.6)
    for parameter in (rsign.shift, scaled.b):
        parameter.data.normal_(generator=generator)
    x = torch.randn(2, channels, height, width, generator=generator)
    for binarizer in (Sign(), rsign, scaled):
        threshold = binarizer.threshold(channels)
        assert threshold.shape == (channels,)
        x[0, :, 0, 0] = threshold.detach()
        bits = x >= threshold.reshape(1, -1, 1, 1)
        assert torch.equal(binarizer(x), torch.where(bits, binarizer.gain(), -binarizer.gain()))


def test_threshold_of_another_channel_count_is_refused() -> None:
    with pytest.raises(ValueError, match="3 thresholds, the layer has 4"):
        RSign(3).threshold(4)


def latent(seed: int) -> Tensor:
    weight = torch.randn(4, 3, 3, 3, generator=torch.Generator().manual_seed(seed))
    weight.view(-1)[:4] = torch.tensor([0.0, -0.0, 1.0, -1.5])
    return weight.requires_grad_()


def test_mean_scale_weight() -> None:
    weight, upstream = latent(5), torch.randn(4, 3, 3, 3)
    y = MeanScaleWeight()(weight)
    scale = weight.detach().abs().mean(dim=(1, 2, 3))
    assert torch.allclose(y, torch.where(weight >= 0, 1.0, -1.0) * scale.reshape(-1, 1, 1, 1))
    y.backward(upstream)
    assert torch.equal(weight.grad, upstream * (weight.abs() <= 1))


def test_learned_scale_weight() -> None:
    weight, upstream = latent(6), torch.randn(4, 3, 3, 3)
    binarizer = LearnedScaleWeight(4)
    binarizer.initialize(weight)
    assert torch.allclose(binarizer.scale, weight.abs().mean(dim=(1, 2, 3)))
    binarizer(weight).backward(upstream)
    signs = torch.where(weight >= 0, 1.0, -1.0)
    assert torch.allclose(binarizer.scale.grad, (upstream * signs).sum(dim=(1, 2, 3)), rtol=1e-5, atol=1e-5)
    expected = upstream * binarizer.scale.detach().reshape(-1, 1, 1, 1) * (weight.abs() <= 1)
    assert torch.allclose(weight.grad, expected)


def test_sign_weight_passes_the_gradient_unchanged() -> None:
    weight, upstream = latent(7), torch.randn(4, 3, 3, 3)
    y = SignWeight()(weight)
    assert set(y.unique().tolist()) == {-1.0, 1.0}
    y.backward(upstream)
    assert torch.equal(weight.grad, upstream)


@pytest.mark.parametrize("binarizer", [MeanScaleWeight(), LearnedScaleWeight(4), SignWeight()])
def test_deploy_gives_the_same_weights(binarizer: WeightBinarizer) -> None:
    weight = latent(8)
    binarizer.initialize(weight)
    signs, scale = binarizer.deploy(weight)
    assert signs.shape == weight.shape
    assert scale.shape == (4,)
    assert set(signs.unique().tolist()) == {-1.0, 1.0}
    assert torch.allclose(signs * scale.reshape(-1, 1, 1, 1), binarizer(weight), rtol=1e-6)


def test_hard_sign_of_zero_is_plus_one() -> None:
    assert hard_sign(torch.tensor([0.0, -0.0, -1e-30, 1e-30])).tolist() == [1, 1, -1, 1]
