"""Binary EDSR with attention: rows of the table, gates, folding of the learned factors, training and artifacts."""

import itertools
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bitsr.export.delegation import OURS
from bitsr.export.deploy import FusedBinaryConv2d, fold
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model, list_models, model_info
from bitsr.training.models.attention import KINDS, AttentionUnit, BinEdsr, row_name

# "Bin SE", "Res Spat+Bin SE", ... of the preprint's table; its float row is srresnet_x2.
ROWS = [
    "binedsr",
    "binedsr_bin_se",
    "binedsr_bin_spatial",
    "binedsr_res_se",
    "binedsr_res_spatial",
    "binedsr_res_se_bin_se",
    "binedsr_res_se_bin_spatial",
    "binedsr_res_spatial_bin_se",
    "binedsr_res_spatial_bin_spatial",
]


def test_every_row_is_a_model() -> None:
    known = list_models("binedsr*_x2")
    assert {f"{row}_x2" for row in ROWS} < set(known)
    assert set(known) == {f"{row_name(r, b)}_x2" for r, b in itertools.product(KINDS, KINDS)}


@pytest.mark.parametrize("row", ROWS)
def test_the_configuration_is_that_of_the_id(row: str) -> None:
    info = model_info(f"{row}_x2")
    assert row == row_name(info.config["residual"], info.config["binary"])
    assert info.global_pooling == ("_se" in row)


def test_34_binary_convolutions_and_a_binary_upsampler() -> None:
    with torch.device("meta"):
        model = create_model("binedsr_x2")
    layers = [m for m in model.modules() if isinstance(m, BinaryConv2d)]
    assert [layer.out_channels for layer in layers] == [64] * 33 + [256]


@pytest.mark.parametrize("kind", ["se", "spatial", "pixel"])
def test_unit_is_the_equation_of_the_paper(kind: str) -> None:
    torch.manual_seed(0)
    unit = AttentionUnit(6, residual=kind, binary="none", input_scale=3.0)  # type: ignore[arg-type]
    x = torch.randn(2, 6, 5, 4)
    with torch.no_grad():
        unit.residual.a.fill_(0.7)
        unit.binary.a.fill_(1.3)
        first = unit.residual.mask.first
        if kind == "se":
            pooled = (x / 3).mean(dim=(2, 3))
            hidden = F.relu(pooled @ first.weight[:, :, 0, 0].T + first.bias)
            second = unit.residual.mask.second
            mask = torch.sigmoid(hidden @ second.weight[:, :, 0, 0].T + second.bias)[:, :, None, None]
        else:
            mixed = torch.einsum("nchw,oc->nohw", x / 3, first.weight[:, :, 0, 0])
            mask = torch.sigmoid(mixed + first.bias[:, None, None])
        expected = 1.3 * unit.rprelu(unit.conv(x)) + 0.7 * mask * x
        assert mask.shape == {"se": (2, 6, 1, 1), "spatial": (2, 1, 5, 4), "pixel": (2, 6, 5, 4)}[kind]
        torch.testing.assert_close(unit(x), expected, rtol=1e-4, atol=1e-5)


def test_the_baseline_has_no_factors() -> None:
    """Equation 10 of the preprint: ``RPReLU(conv(x)) + x`` with a learned scale for each filter."""
    torch.manual_seed(0)
    model = create_model("test_binedsr_x2").eval()
    assert not [name for name, _ in model.named_parameters() if name.endswith(".a")]
    unit, x = model.body[0], torch.randn(1, 8, 5, 4)
    with torch.no_grad():
        unit.conv.weight_binarizer.scale.uniform_(0.5, 1.5)
        signs = torch.where(unit.conv.weight >= 0, 1.0, -1.0) * unit.conv.weight_binarizer.scale[:, None, None, None]
        z = F.conv2d(torch.where(x >= 0, 1.0, -1.0), signs, padding=1)
        torch.testing.assert_close(unit(x), torch.where(z < 0, 0.25 * z, z) + x)


@pytest.mark.parametrize("a2", [0.2, 1.9])
def test_the_factors_fold_into_the_binary_layers(a2: float) -> None:
    """A unit without attention on its residual is one binary layer; the product of the a2 goes into the tail."""
    torch.manual_seed(1)
    model = create_model("test_binedsr_bin_pixel_x2").eval()
    with torch.no_grad():
        for unit in model.body:
            unit.residual.a.fill_(a2)
            unit.binary.a.fill_(1.4)
        deployed, x = fold(model), torch.rand(1, 3, 9, 11)
        # Float32 sums in another order; values near 1.
        torch.testing.assert_close(deployed(x), model(x), rtol=0, atol=1e-5)
    layers = [m for m in deployed.modules() if not list(m.children()) and not isinstance(m, (nn.Conv2d,))]
    assert {type(layer).__name__ for layer in layers} == {"FusedBinaryConv2d", "PixelGate", "PixelShuffle"}
    assert sum(isinstance(layer, FusedBinaryConv2d) for layer in layers) == 4


@pytest.mark.parametrize(("model_id", "factors"), [("test_binedsr_x2", 0), ("test_binedsr_res_se_bin_spatial_x2", 6)])
def test_learns(model_id: str, factors: int, train_shortly: Callable[..., object]) -> None:
    torch.manual_seed(2)
    model = create_model(model_id)
    assert isinstance(model, BinEdsr)
    before = [parameter.clone() for name, parameter in model.named_parameters() if name.endswith(".a")]
    result = train_shortly(model)
    assert result.finite
    assert result.last_loss < result.first_loss
    assert result.flipped > 0
    after = [parameter for name, parameter in model.named_parameters() if name.endswith(".a")]
    assert len(after) == factors
    assert not any(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize("model_id", list_models("test_binedsr*_x2"))
def test_artifacts(model_id: str, check_artifacts: Callable[..., dict[str, dict[str, int]]]) -> None:
    """Attention is made of our ops, and the ends are integers: the network is one partition."""
    assert check_artifacts(model_id) == {"pte": {OURS: 1}, "tflite": {OURS: 1}}
