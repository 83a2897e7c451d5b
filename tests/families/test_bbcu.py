"""BBCU: unit, upsampler, frame, sizes of the published table, short training and artifacts."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from bitsr.export.delegation import OURS
from bitsr.export.deploy import fold
from bitsr.export.deploy.folds.backbones import BilinearUpsample
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model
from bitsr.training.models.bbcu import BbcuHead, BbcuUnit, BbcuUpsampler


def hard_sign(x: torch.Tensor) -> torch.Tensor:
    return torch.where(x >= 0, 1.0, -1.0)


def test_unit_is_the_equation_of_the_paper() -> None:
    torch.manual_seed(0)
    unit = BbcuUnit(6)
    with torch.no_grad():
        for parameter in (unit.rprelu.shift_before, unit.rprelu.shift_after, unit.conv.activation_binarizer.shift):
            parameter.normal_(std=0.3)
        x, weight = torch.randn(2, 6, 7, 5), unit.conv.weight
        alpha = weight.abs().mean(dim=(1, 2, 3), keepdim=True)
        z = F.conv2d(hard_sign(x - unit.conv.activation_binarizer.shift), hard_sign(weight) * alpha, padding=1)
        z = z + unit.rprelu.shift_before[:, None, None]
        z = torch.where(z < 0, 0.25 * z, z) + unit.rprelu.shift_after[:, None, None]
        # The same float32 operations, sums in another order.
        torch.testing.assert_close(unit(x), z + x, rtol=1e-5, atol=1e-5)


def test_the_binary_head_repeats_the_picture() -> None:
    """Without a branch, 3 channels less their mean become 8 in turn: red, green, blue, red, ..."""
    head = BbcuHead(8, input_scale=10.0)
    with torch.no_grad():
        head.conv.weight.zero_()  # the scale, a mean of absolute values, is 0 then
    x = torch.randn(1, 3, 4, 5)
    centred = x - 10 * torch.tensor([0.4488, 0.4371, 0.4040]).reshape(1, 3, 1, 1)
    assert torch.equal(head(x), torch.cat([centred, centred, centred[:, :2]], dim=1))


def test_binary_ends_fold_with_the_amplification_in_them() -> None:
    """Thresholds, repeated picture and the tail's output for a picture of 0 to 1; float32 sums near 1."""
    torch.manual_seed(4)
    model = create_model("test_bbcu_ht_x2").eval()
    assert not [name for name, layer in model.named_modules() if isinstance(layer, torch.nn.Conv2d)]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() != 4 or parameter.shape[0] == 1:  # thresholds, shifts and slopes
                parameter.add_(0.3 * torch.randn_like(parameter))
        x = torch.rand(1, 3, 9, 7)
        torch.testing.assert_close(fold(model)(x), model(x), rtol=0, atol=2e-4)


@pytest.mark.parametrize("factor", [2, 3])
def test_upsampler_without_a_branch_is_nearest_neighbour(factor: int) -> None:
    upsampler = BbcuUpsampler(4, factor)
    with torch.no_grad():
        upsampler.conv.weight.zero_()  # the scale, a mean of absolute values, is 0 then
    x = torch.randn(1, 4, 5, 3)
    assert torch.equal(upsampler(x), F.interpolate(x, scale_factor=factor, mode="nearest"))


@pytest.mark.parametrize("factor", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 6), (5, 7)], ids=str)
def test_bilinear_enlargement_as_a_convolution(factor: int, size: tuple[int, int]) -> None:
    x = torch.rand(1, 3, *size)
    expected = F.interpolate(x, scale_factor=factor, mode="bilinear", align_corners=False)
    # Values up to 1, up to nine float32 products in another order.
    torch.testing.assert_close(BilinearUpsample(3, factor)(x), expected, rtol=0, atol=1e-6)


def test_the_amplification_does_not_change_a_picture_without_branches() -> None:
    """Without learned contributions the network is the bilinear enlargement, whatever k is."""
    model = create_model("test_bbcu_m_x4").eval()
    with torch.no_grad():
        model.conv_last.weight.zero_()
        x = torch.rand(1, 3, 6, 5)
        expected = F.interpolate(x, scale_factor=4, mode="bilinear", align_corners=False)
        torch.testing.assert_close(model(x), expected, rtol=0, atol=1e-6)
        assert model.input_scale == pytest.approx(130 * 8 / 64)


@pytest.mark.parametrize(
    ("model_id", "thousands"),
    [
        ("msrresnet_x2", 1367.4),
        ("msrresnet_x4", 1514.9),
        ("bbcu_l_x2", 224.6),
        ("bbcu_l_x4", 372.1),
        ("bbcu_m_x2", 46.1),
        ("bbcu_m_x4", 50.7),
    ],
)
def test_parameters_of_the_published_table(model_id: str, thousands: float) -> None:
    """Convolution weights, binary ones at one 32nd: BBCU's table (1367, 1515, 225, 372, 46, 51 K), one digit more."""
    with torch.device("meta"):
        model = create_model(model_id)
    binary = sum(m.weight.numel() for m in model.modules() if isinstance(m, BinaryConv2d))
    plain = sum(m.weight.numel() for m in model.modules() if isinstance(m, torch.nn.Conv2d))
    assert (plain + binary / 32) / 1000 == pytest.approx(thousands, abs=0.06)


@pytest.mark.parametrize("model_id", ["test_bbcu_l_x2", "test_bbcu_m_x3"])
def test_learns(model_id: str, train_shortly: Callable[..., object]) -> None:
    torch.manual_seed(2)
    result = train_shortly(create_model(model_id))
    assert result.finite
    assert result.last_loss < result.first_loss
    assert result.flipped > 0


@pytest.mark.parametrize("model_id", ["test_bbcu_l_x2", "test_bbcu_m_x4"])
def test_the_whole_network_is_one_partition(
    model_id: str, check_artifacts: Callable[..., dict[str, dict[str, int]]]
) -> None:
    """With float and with binary upsampler: integers at the ends, the bilinear enlargement too."""
    assert check_artifacts(model_id) == {"pte": {OURS: 1}, "tflite": {OURS: 1}}


def test_activation_before_the_last_convolution_is_in_the_binary_layer() -> None:
    deployed = fold(create_model("test_bbcu_m_x4"))
    conv_hr = deployed.tail[-2]
    assert torch.equal(conv_hr.conv.slope, torch.full((8,), 0.1))


def test_initial_values_are_those_of_the_published_code() -> None:
    """Kaiming-normal times 0.1 outside of the body, also where it is binary: 0.1 sqrt(2 / 576); PyTorch's inside."""
    torch.manual_seed(0)
    model = create_model("bbcu_m_x4", blocks=1)
    for conv in (*(stage.conv for stage in model.stages), model.conv_hr.conv):
        assert float(conv.weight.detach().std()) == pytest.approx(0.1 * (2 / 576) ** 0.5, rel=0.03)
    for unit in model.body:
        assert float(unit.conv.weight.detach().std()) == pytest.approx((1 / 576 / 3) ** 0.5, rel=0.03)
