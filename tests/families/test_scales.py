"""SCALES: its layer is its equation, each scaling is a switch, it folds into one layer with gates, and it learns."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from bitsr.export.delegation import OURS
from bitsr.export.deploy import fold
from bitsr.export.deploy.layers import ChannelGate, FusedBinaryConv2d, SpatialGate
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model, model_info
from bitsr.training.models.scales import ScalesBlock, ScalesConfig, ScalesConv

ALL = {"layer": True, "spatial": True, "channel": True}


def _randomized(module: torch.nn.Module) -> None:
    """Thresholds, scales, biases and slopes away from where they start, so that each of them shows."""
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if not name.endswith("conv.weight"):
                parameter.add_(0.3 * torch.randn_like(parameter))


@pytest.mark.parametrize("kernel_size", [1, 3])
@pytest.mark.parametrize("off", [None, "layer", "spatial", "channel"])
def test_a_layer_is_its_equation_and_folds(kernel_size: int, off: str | None) -> None:
    torch.manual_seed(0)
    scalings = {name: name != off for name in ALL}
    layer = ScalesConv(5, 7, kernel_size, **scalings, rprelu=True, bias=True)
    _randomized(layer)
    x = torch.randn(2, 5, 6, 4)
    conv, binarizer = layer.conv, layer.conv.activation_binarizer
    with torch.no_grad():
        if off == "layer":
            bits = torch.where(x >= binarizer.shift, 1.0, -1.0)
        else:
            bits = binarizer.gain() * torch.where(x >= binarizer.b, 1.0, -1.0)
        scale = conv.weight.abs().mean(dim=(1, 2, 3), keepdim=True)
        z = F.conv2d(bits, torch.where(conv.weight >= 0, scale, -scale), conv.bias, padding=kernel_size // 2)
        z = z + layer.rprelu.shift_before[:, None, None]
        z = torch.where(z < 0, layer.rprelu.prelu.weight[:, None, None] * z, z)
        z = z + layer.rprelu.shift_after[:, None, None]
        if off != "channel":
            hidden = F.relu(F.linear(x.mean(dim=(2, 3)), layer.channel.fc1.weight, layer.channel.fc1.bias))
            gain = torch.sigmoid(F.linear(hidden, layer.channel.fc2.weight, layer.channel.fc2.bias))
            assert gain.shape == (2, 7)
            z = z * gain[:, :, None, None]
        if off != "spatial":
            gate = layer.spatial.conv
            assert gate.weight.shape == (1, 5, kernel_size, kernel_size)
            z = z * torch.sigmoid(F.conv2d(x, gate.weight, gate.bias, padding=kernel_size // 2))
        torch.testing.assert_close(layer(x), z)
        deployed = fold(layer)
        torch.testing.assert_close(deployed(x), z, rtol=1e-5, atol=1e-5)
        skip = torch.randn_like(z)
        torch.testing.assert_close(deployed(x, residual=skip), z + skip, rtol=1e-5, atol=1e-5)
    kinds = [type(module) for module in deployed.modules()]
    assert kinds.count(FusedBinaryConv2d) == 1
    assert kinds.count(ChannelGate) == (off != "channel")
    assert kinds.count(SpatialGate) == (off != "spatial")


@pytest.mark.parametrize("activation", ["leaky_relu", "prelu"])
def test_a_block_folds(activation: Any) -> None:
    torch.manual_seed(1)
    block = ScalesBlock(ScalesConfig(channels=6, activation=activation))
    _randomized(block)
    x = torch.randn(1, 6, 7, 5)
    with torch.no_grad():
        torch.testing.assert_close(fold(block)(x), block(x), rtol=1e-5, atol=1e-5)


def test_the_gates_read_the_picture() -> None:
    """Means over the picture and values beside a pixel both change what is far from them."""
    model = create_model("test_scales_x2")
    assert model.global_pooling
    assert model.receptive_field_radius == 4  # head, two units, tail
    assert not create_model("test_scales_x2", channel=False).global_pooling


@pytest.mark.parametrize(
    ("model_id", "settings"),
    [
        ("scales_light_x2", ALL),
        ("scales_light_no_layer_x3", {**ALL, "layer": False}),
        ("scales_light_no_spatial_x4", {**ALL, "spatial": False}),
        ("scales_light_no_channel_x4", {**ALL, "channel": False}),
        ("scales_light_plus_x4", {**ALL, "nearest_skip": True, "activation": "prelu"}),
        ("scales_swinir_x2", ALL),
        ("scales_swinir_baseline_x2", dict.fromkeys(ALL, False)),
    ],
)
def test_ids_have_the_scalings_of_their_names(model_id: str, settings: dict[str, Any]) -> None:
    config = model_info(model_id).config
    assert {name: config[name] for name in settings} == settings


def test_the_transformer_has_binary_linear_layers_alone() -> None:
    model = create_model("test_scales_swinir_x2")
    assert sum(isinstance(module, BinaryConv2d) for module in model.body.modules()) == 2 * 4 + 1
    assert not any(type(module) is torch.nn.Conv2d and module.out_channels > 1 for module in model.body.modules())


@pytest.mark.parametrize("model_id", ["test_scales_x2", "test_scales_swinir_x2"])
def test_learns(model_id: str, train_shortly: Callable[..., Any]) -> None:
    torch.manual_seed(2)
    result = train_shortly(create_model(model_id))
    assert result.finite
    assert result.last_loss < result.first_loss
    assert result.flipped > 0


def test_the_convolutional_network_is_one_partition_of_ours(
    check_artifacts: Callable[..., dict[str, dict[str, int]]],
) -> None:
    partitions = check_artifacts("test_scales_x2")
    assert partitions["tflite"][OURS] == 1
