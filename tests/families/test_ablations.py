"""Switches that the papers' ablations print: what a layer computes with them, and that it folds."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from bitsr.export.deploy import fold
from bitsr.export.errors import ExportError
from bitsr.training.binarizers import ScaledSign
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model, list_models, model_info
from bitsr.training.models.bidiffsr import BiConv, BiDiffSrConfig, PlainDown, PlainUp, Timestep
from bitsr.training.models.e2fif import E2fifUnit
from bitsr.training.models.ebsr import EbsrConfig, EConv
from bitsr.training.models.method_conv import METHODS, MethodConv

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
        ("ebsr_light_baseline_per_channel_x4", {"channel": "none", "spatial": False, "channel_scales": True}),
        ("bbcu_h_x4", {"binary_upsampler": True, "binary_head": True, "binary_tail": False}),
        ("bbcu_t_x2", {"binary_upsampler": True, "binary_head": False, "binary_tail": True}),
        ("bidiffsr_baseline_x2", {"identity": False, "resampling": "plain", "fusion": "concat", "time_groups": 1}),
        ("bidiffsr_identity_x4", {"identity": True, "resampling": "plain", "fusion": "concat", "time_groups": 1}),
        ("bidiffsr_concat_x2", {"identity": True, "resampling": "pixels", "fusion": "concat", "time_groups": 1}),
        ("sr3_bbcu_x2", {"method": "bbcu", "resampling": "plain", "fusion": "concat", "time_groups": 1}),
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


def test_a_scale_for_each_channel_trains_and_is_not_exported() -> None:
    """Table 5 of EBSR: ``alpha_c sign((x - beta_c) / alpha_c)``, whose gradients are those of one channel alone."""
    torch.manual_seed(0)
    alpha, beta = torch.tensor([0.5, 2.0, 1.0]), torch.tensor([0.1, -0.2, 0.0])
    x = torch.randn(2, 3, 4, 5, requires_grad=True)
    whole = ScaledSign(3, per_channel=True)
    with torch.no_grad():
        whole.a.copy_(alpha[:, None, None])
        whole.b.copy_(beta[:, None, None])
    weights = torch.randn(2, 3, 4, 5)
    (whole(x) * weights).sum().backward()
    for c in range(3):
        one, part = ScaledSign(1, initial_alpha=alpha[c].item()), x.detach()[:, c : c + 1].requires_grad_()
        with torch.no_grad():
            one.b.fill_(beta[c])
        y = one(part)
        (y * weights[:, c : c + 1]).sum().backward()
        torch.testing.assert_close(whole(x)[:, c : c + 1], y)
        torch.testing.assert_close(x.grad[:, c : c + 1], part.grad)
        torch.testing.assert_close(whole.a.grad[0, c, 0, 0], one.a.grad)
        torch.testing.assert_close(whole.b.grad[:, c : c + 1], one.b.grad)
    model = create_model("ebsr_light_baseline_per_channel_x2", channels=8, blocks=1)
    with pytest.raises(ExportError, match=r"the activations have 8 scales, one for each channel"):
        fold(model)


@pytest.mark.parametrize("identity", [True, False])
def test_a_bi_conv_with_and_without_its_input(identity: bool) -> None:
    torch.manual_seed(0)
    conv, x = BiConv(4, 3, groups=1, identity=identity), torch.randn(1, 4, 5, 6)
    at = Timestep(torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64))
    with torch.no_grad():
        z = F.conv2d(torch.where(x >= 0, 1.0, -1.0), conv.conv.weight_binarizer(conv.conv.weight), padding=1)
        expected = torch.where(z < 0, 0.25 * z, z)
        torch.testing.assert_close(conv(x, at), expected + x if identity else expected)
        assert not BiConv(4, 1, groups=1, out_channels=2).identity


def test_plain_resampling_has_a_stride_of_two_and_nearest_neighbours() -> None:
    torch.manual_seed(0)
    config = BiDiffSrConfig(identity=False, resampling="plain", fusion="concat", time_groups=1)
    at = Timestep(torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64))
    down, up, x = PlainDown(4, config), PlainUp(4, config), torch.randn(1, 4, 6, 8)
    signs = torch.where(x >= 0, 1.0, -1.0)
    with torch.no_grad():
        z = F.conv2d(signs, down.conv.conv.weight_binarizer(down.conv.conv.weight), stride=2, padding=1)
        torch.testing.assert_close(down(x, at), torch.where(z < 0, 0.25 * z, z))
        enlarged = signs.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
        z = F.conv2d(enlarged, up.conv.conv.weight_binarizer(up.conv.conv.weight), padding=1)
        torch.testing.assert_close(up(x, at), torch.where(z < 0, 0.25 * z, z))


@pytest.mark.parametrize("method", sorted(METHODS))
def test_layers_of_methods_fold_or_say_why_not(method: str) -> None:
    """Random statistics and shifts; 1e-5 of values near 1."""
    torch.manual_seed(1)
    at = Timestep(torch.zeros(1, 4), torch.zeros(1, dtype=torch.int64))
    for channels, out, kernel in ((8, 8, 3), (8, 4, 1)):
        layer, x = MethodConv(channels, out, kernel, method=method).eval(), torch.randn(1, channels, 5, 6)
        with torch.no_grad():
            for name, value in layer.named_parameters():
                if "conv.weight" not in name:
                    value.add_(0.2 * torch.randn_like(value))
            if layer.norm is not None:
                layer.norm.running_mean.normal_()
                layer.norm.running_var.uniform_(1, 4)
            if METHODS[method].norm == "before":
                with pytest.raises(ExportError, match=f"'{method}' normalises before its sign"):
                    fold(layer)
                continue
            torch.testing.assert_close(fold(layer)(x, at), layer(x, at), rtol=1e-5, atol=1e-5)
