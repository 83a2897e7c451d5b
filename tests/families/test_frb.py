"""FRB: residual binarization of weights, the convolutional network, its cost, a short training and its artifacts."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from bitsr.export.delegation import OURS
from bitsr.export.deploy import fold
from bitsr.export.deploy.layers import FusedBinaryConv2d
from bitsr.training.binarizers import ResidualWeight
from bitsr.training.binarizers.residual import residual_planes
from bitsr.training.cost import LayerCost, convention, model_cost
from bitsr.training.models import create_model
from bitsr.training.models.frb import FrbUnit


def hard_sign(x: Tensor) -> Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), out=st.integers(1, 5), channels=st.integers(1, 9), kernel=st.sampled_from([1, 3]))
def test_planes_are_the_signs_of_weight_and_of_its_error(seed: int, out: int, channels: int, kernel: int) -> None:
    weight = torch.randn(out, channels, kernel, kernel, generator=torch.Generator().manual_seed(seed))
    planes, scale = residual_planes(weight)
    mean = weight.abs().mean(dim=(1, 2, 3), keepdim=True)
    assert torch.equal(planes[0], hard_sign(weight))
    assert torch.equal(planes[1], hard_sign(weight - mean * planes[0]))
    torch.testing.assert_close(scale[0], mean.flatten())
    # Each term is the best one for what the terms before it left: the error can only fall.
    one = weight - planes[0] * scale[0].reshape(-1, 1, 1, 1)
    two = one - planes[1] * scale[1].reshape(-1, 1, 1, 1)
    assert (two.square().sum() <= one.square().sum() * (1 + 1e-6)).item()


def test_a_zero_error_has_the_sign_plus_one() -> None:
    planes, scale = residual_planes(torch.full((1, 1, 1, 1), -0.5))
    assert planes.flatten().tolist() == [-1.0, 1.0]
    assert scale.flatten().tolist() == [0.5, 0.0]


@pytest.mark.parametrize("learned", [True, False])
def test_both_scales_start_alike_and_pass_the_clipped_gradient(learned: bool) -> None:
    torch.manual_seed(0)
    weight = (1.5 * torch.randn(4, 3, 3, 3)).requires_grad_()
    binarizer = ResidualWeight(4, learned=learned)
    binarizer.initialize(weight)
    planes, scale = residual_planes(weight)
    torch.testing.assert_close(binarizer(weight), (planes * scale[:, :, None, None, None]).sum(dim=0))
    slopes = torch.randn(4, 3, 3, 3)
    (binarizer(weight) * slopes).sum().backward()
    assert weight.grad is not None
    assert torch.equal(weight.grad, slopes * (weight.abs() <= 1))
    assert 0 < (weight.abs() > 1).sum() < weight.numel()  # both cases occur
    if learned:
        torch.testing.assert_close(binarizer.scale.grad, (planes * slopes).sum(dim=(2, 3, 4)))
    else:
        assert list(binarizer.parameters()) == []


def test_unit_is_its_equation_and_folds_into_one_layer_of_two_planes() -> None:
    torch.manual_seed(1)
    unit = FrbUnit(6, learned_scales=True)
    with torch.no_grad():
        for parameter in (unit.rprelu.shift_before, unit.rprelu.shift_after, unit.conv.activation_binarizer.shift):
            parameter.normal_(std=0.3)
        unit.conv.weight_binarizer.scale.mul_(torch.empty(2, 6).uniform_(-2, 2))
        x = torch.randn(2, 6, 7, 5)
        bits = hard_sign(x - unit.conv.activation_binarizer.shift)
        planes, _ = residual_planes(unit.conv.weight)
        z = sum(
            F.conv2d(bits, plane, padding=1) * scale[:, None, None]
            for plane, scale in zip(planes, unit.conv.weight_binarizer.scale, strict=True)
        )
        z = z + unit.rprelu.shift_before[:, None, None]
        z = torch.where(z < 0, 0.25 * z, z) + unit.rprelu.shift_after[:, None, None]
        # The same numbers, sums of floats in another order.
        torch.testing.assert_close(unit(x), z + x, rtol=1e-5, atol=1e-5)
        deployed = fold(unit)
        torch.testing.assert_close(deployed(x), z + x, rtol=1e-5, atol=1e-5)
    (layer,) = [module for module in deployed.modules() if isinstance(module, FusedBinaryConv2d)]
    assert layer.weight_bits.shape == (2, 6, 3, 3, 1)


def _binary(layers: list[LayerCost]) -> list[LayerCost]:
    return [layer for layer in layers if layer.weight_bits]


def test_cost_of_the_second_plane() -> None:
    """Two bits a weight, twice the bit operations: the body of 64/16 goes from .302 to .604 G and 36.9 to 73.7 K."""
    size = (1, 3, 128, 128)
    for model_id, operations, thousands in (("bbcu_l_x4", 0.302, 36.9), ("frbc_x4", 0.604, 73.7)):
        layers = model_cost(model_id, size=size)
        body = _binary(layers)
        assert convention("bbcu").operations(body) / 1e9 == pytest.approx(operations, abs=0.0005)
        assert convention("bbcu").parameters(body) / 1e3 == pytest.approx(thousands, abs=0.05)
        assert {layer.weight_bits for layer in body} == {1 if model_id.startswith("bbcu") else 2}


def test_learns(train_shortly: Callable[..., object]) -> None:
    torch.manual_seed(2)
    result = train_shortly(create_model("test_frb_x2"))
    assert result.finite
    assert result.last_loss < result.first_loss
    assert result.flipped > 0


def test_cost_of_the_transformer() -> None:
    """24 layers of 60 x (180 + 60 + 120 + 120) and 5 closing 3x3 convolutions, two bits each; attention stays float."""
    layers = model_cost("frbt_x4", size=(1, 3, 128, 128))
    body = _binary(layers)
    weights = 24 * 60 * 480 + 5 * 9 * 60 * 60
    assert sum(layer.low_bit_weights for layer in body) == weights
    assert {layer.weight_bits for layer in body} == {2}
    assert sum(layer.bit_macs for layer in body) == 2 * weights * 128**2
    head_and_tail = 9 * 3 * 60 + 9 * 60 * 48
    attention = 24 * 2 * 64 * 60  # queries with keys, weights with values: 64 pixels a window
    assert sum(layer.macs for layer in layers) == (head_and_tail + attention) * 128**2


def test_the_transformer_learns(train_shortly: Callable[..., object]) -> None:
    torch.manual_seed(2)
    result = train_shortly(create_model("test_frbt_x2"))
    assert result.finite
    assert result.last_loss < result.first_loss
    assert result.flipped > 0


def test_the_transformers_linear_layers_are_1x1_layers_of_two_planes_that_add_the_skips() -> None:
    layer = fold(create_model("test_frbt_x2")).body[0].layers[1]
    assert [tuple(part.weight_bits.shape) for part in (layer.qkv, layer.proj, layer.hidden, layer.fc2)] == [
        (2, 24, 1, 1, 1), (2, 8, 1, 1, 1), (2, 16, 1, 1, 1), (2, 8, 1, 1, 1),
    ]  # fmt: skip
    x, y = torch.randn(1, 8, 8, 8), torch.randn(1, 16, 8, 8)
    torch.testing.assert_close(layer.fc2(y, residual=x), layer.fc2(y) + x)


def test_artifacts_of_the_transformer(check_artifacts: Callable[..., dict[str, dict[str, int]]]) -> None:
    """Attention and rolls stand between the partitions of ours, which hold norms, projection and MLP.

    The first norms and qkv; projection to the second layer's first norm; its qkv behind a roll; from its projection to
    the closing convolution.
    """
    partitions = check_artifacts("test_frbt_x2")
    assert partitions["pte"][OURS] == 4 + 1  # and the pixel shuffle
    assert partitions["tflite"][OURS] == 4


def test_artifacts(check_artifacts: Callable[..., dict[str, dict[str, int]]]) -> None:
    """With two weight planes too the whole network is one partition."""
    assert check_artifacts("test_frb_x2") == {"pte": {OURS: 1}, "tflite": {OURS: 1}}
