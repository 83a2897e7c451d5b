"""Switches that the papers' ablations print: what a layer computes with them, and that it folds."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bitsr.export.deploy import fold
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model, list_models, model_info
from bitsr.training.models.bidiffsr import BiConv, Timestep
from bitsr.training.models.e2fif import E2fifUnit
from bitsr.training.models.ebsr import EbsrConfig, EConv

ABLATIONS: list[tuple[str, dict[str, Any]]] = [
    ("e2fif_no_norm_x2", {}),
    ("ebsr_light_baseline_norm_x2", {}),
    ("ebsr_light_channel_x2", {}),
]


@pytest.mark.parametrize(
    ("model_id", "settings"),
    [
        ("e2fif_no_norm_x2", {"norm": False}),
        ("e2fif_large_x4", {"channels": 256, "blocks": 32}),
        ("bireal_large_x3", {"method": "bireal", "light": True, "channels": 256, "blocks": 32}),
        ("ebsr_light_baseline_norm_x4", {"channel": "none", "spatial": False, "norm": True}),
        ("ebsr_light_channel_x4", {"channel": "fused", "spatial": False}),
        ("bidiffsr_tar_x2", {"grouped": "thresholds", "time_groups": 5}),
        ("bidiffsr_taa_x2", {"grouped": "activations", "time_groups": 5}),
    ],
)
def test_ids_have_the_settings_of_their_rows(model_id: str, settings: dict[str, Any]) -> None:
    config = model_info(model_id).config
    assert {name: config[name] for name in settings} == settings


def test_large_rows_exist_at_every_scale() -> None:
    large = {f"{name}_large_x{scale}" for name in ("bnn", "bireal", "ibtm", "e2fif") for scale in (2, 3, 4)}
    assert large == set(list_models("*_large_x*"))


def _binary_conv(layer: BinaryConv2d, x: torch.Tensor) -> torch.Tensor:
    """Of signs at threshold 0, with the layer's own scale of the weights and of the activations."""
    weight = layer.weight_binarizer(layer.weight) * layer.activation_binarizer.gain()
    return F.conv2d(torch.where(x >= 0, 1.0, -1.0), weight, layer.bias, padding=1)


def test_e2fif_without_normalisation_is_the_convolution_and_its_input() -> None:
    torch.manual_seed(0)
    unit, x = E2fifUnit(5, norm=False), torch.randn(2, 5, 6, 4)
    with torch.no_grad():
        torch.testing.assert_close(unit(x), _binary_conv(unit.conv, x) + x)


def test_the_baseline_normalises_each_convolution() -> None:
    torch.manual_seed(0)
    unit = EConv(EbsrConfig(channels=5, channel="none", spatial=False, norm=True)).eval()
    x = torch.randn(2, 5, 6, 4)
    with torch.no_grad():
        unit.norm.running_mean.fill_(0.3)
        unit.norm.running_var.fill_(4.0)
        expected = (_binary_conv(unit.conv, x) - 0.3) / (4 + unit.norm.eps) ** 0.5 + x
        torch.testing.assert_close(unit(x), expected)


@pytest.mark.parametrize(("model_id", "settings"), ABLATIONS)
def test_deploy_form_equals_train_form(model_id: str, settings: dict[str, Any]) -> None:
    """Scales and shifts round otherwise: 1e-5 of values around 0.5."""
    torch.manual_seed(3)
    model = create_model(model_id, channels=8, blocks=1, **settings).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.uniform_(-3, 3)
                module.running_var.uniform_(10, 50)
        x = torch.rand(1, 3, 9, 7)
        torch.testing.assert_close(fold(model)(x), model(x), rtol=0, atol=1e-5)


@pytest.mark.parametrize(("grouped", "rows"), [("both", (3, 3)), ("thresholds", (3, 1)), ("activations", (1, 3))])
def test_thresholds_or_activations_alone_take_turns(grouped: Any, rows: tuple[int, int]) -> None:
    """What has one set alone is the same at every timestep."""
    torch.manual_seed(4)
    conv, x = BiConv(4, 3, groups=3, grouped=grouped), torch.randn(1, 4, 5, 6)
    assert (len(conv.threshold), len(conv.activation.slope)) == rows
    with torch.no_grad():
        conv.threshold.normal_()
        conv.activation.slope.uniform_(0.1, 0.9)
        for group in range(3):
            threshold = conv.threshold[min(group, rows[0] - 1)].reshape(1, 4, 1, 1)
            slope = conv.activation.slope[min(group, rows[1] - 1)].reshape(4, 1, 1)
            z = _binary_conv(conv.conv, x - threshold)
            expected = torch.where(z < 0, slope * z, z) + x
            torch.testing.assert_close(conv(x, Timestep(torch.zeros(1, 4), torch.tensor([group]))), expected)
