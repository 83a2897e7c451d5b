"""Baselines: binarizers against their formulas, every method's training, folding, artifacts, refusals."""

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn

from bitsr.export.deploy import fold
from bitsr.export.errors import ExportError
from bitsr.training.binarizers import WeightBinarizer
from bitsr.training.binarizers.baselines import (
    HardTanhSign,
    HardTanhWeight,
    HigherOrderWeight,
    Progressive,
    ProgressiveSign,
    StandardizedWeight,
    Step,
    TensorScaleWeight,
    progressive_modules,
)
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model
from bitsr.training.models.baseline_blocks import BamBody, DorefaUnit, ReactnetBody, XnorUnit
from bitsr.training.models.baselines import METHODS, TRAINING_ONLY
from bitsr.training.recipe import make_recipe
from bitsr.training.trainer import train

POINTS = torch.tensor([-2.0, -0.75, -0.0, 0.0, 0.25, 0.75, 2.0])


def gradient(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    x = x.clone().requires_grad_(True)
    module(x).sum().backward()
    assert x.grad is not None
    return x.grad


def test_hard_tanh_sign() -> None:
    assert HardTanhSign()(POINTS).tolist() == [-1, -1, 1, 1, 1, 1, 1]
    assert gradient(HardTanhSign(), POINTS).tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_step_is_dorefas_quantizer() -> None:
    points = torch.tensor([-0.5, 0.0, 0.25, 0.5, 0.75, 1.0, 1.5])
    assert Step()(points).tolist() == [0, 0, 0, 1, 1, 1, 1]
    assert gradient(Step(), points).tolist() == [0, 1, 1, 1, 1, 1, 0]


def test_dorefas_weights_pass_their_gradient_on() -> None:
    """Equation 7: one scale for the tensor, which the gradient passes by."""
    weight = torch.tensor([[[[-1.5, -0.2]], [[0.1, 0.6]]]])
    assert torch.equal(TensorScaleWeight()(weight), torch.tensor([[[[-0.6, -0.6]], [[0.6, 0.6]]]]))
    assert torch.equal(gradient(TensorScaleWeight(), weight), torch.ones_like(weight))


def test_dorefa_normalises_before_it_quantizes() -> None:
    unit = DorefaUnit(3).eval()
    x = torch.randn(1, 3, 5, 4) + 0.5
    with torch.no_grad():
        unit.norm.running_mean.fill_(0.5)
        unit.norm.weight.fill_(0.7)
        z = (x - 0.5) / (1 + unit.norm.eps) ** 0.5 * 0.7
        expected = F.conv2d((z.clamp(0, 1) >= 0.5).float(), unit.conv.weight_binarizer(unit.conv.weight), padding=1)
        torch.testing.assert_close(unit(x), expected)


def test_dorefa_trains_from_its_initial_values() -> None:
    """At full size, with its recipe's rate: each latent weight is reached, and nothing is NaN."""
    torch.manual_seed(4)
    model = create_model("dorefa_x2").train()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-4, betas=(0.9, 0.99))
    low = torch.rand(2, 3, 8, 8)
    for _ in range(3):
        optimizer.zero_grad()
        loss = model.training_loss(model, low, F.interpolate(low, scale_factor=2.0))
        loss.backward()
        optimizer.step()
        assert torch.isfinite(loss)
    latent = [m.weight for m in model.modules() if isinstance(m, BinaryConv2d)]
    assert all(weight.grad is not None and 0 < float(weight.grad.abs().max()) < 10 for weight in latent)


@pytest.mark.parametrize(("fraction", "t"), [(0.0, 0.1), (0.5, 1.0), (1.0, 10.0)])
def test_progressive_sign(fraction: float, t: float) -> None:
    sign = ProgressiveSign()
    sign.set_progress(fraction)
    expected = max(1 / t, 1) * t * (1 - torch.tanh(t * POINTS) ** 2)
    torch.testing.assert_close(gradient(sign, POINTS), expected)
    assert sign(POINTS).tolist() == HardTanhSign()(POINTS).tolist()


def test_standardized_weight_is_a_power_of_two_times_a_sign() -> None:
    torch.manual_seed(0)
    weight = torch.randn(5, 4, 3, 3) + 0.3
    binary = StandardizedWeight()(weight)
    centred = weight - weight.mean(dim=(1, 2, 3), keepdim=True)
    assert torch.equal(binary >= 0, centred >= 0)
    scale = binary.abs().amax(dim=(1, 2, 3))
    assert torch.equal(scale.log2(), scale.log2().round())
    signs, deployed = StandardizedWeight().deploy(weight)
    assert torch.equal(signs * deployed.reshape(-1, 1, 1, 1), binary)


@pytest.mark.parametrize("kind", [HardTanhWeight, TensorScaleWeight, HigherOrderWeight, StandardizedWeight])
def test_weights_deploy_as_they_train(kind: type[WeightBinarizer]) -> None:
    binarizer = kind()
    torch.manual_seed(1)
    weight = torch.randn(6, 4, 3, 3, requires_grad=True)
    signs, scale = binarizer.deploy(weight)
    torch.testing.assert_close(binarizer(weight), signs * scale.reshape(-1, 1, 1, 1), rtol=1e-6, atol=1e-6)
    binarizer(weight).square().sum().backward()
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0


def test_the_trainer_finds_irnets_modules() -> None:
    model = create_model("test_irnet_light_x2")
    modules = list(progressive_modules(model))
    assert len(modules) == 4  # weights and activations of two layers
    assert list(progressive_modules(create_model("test_bnn_light_x2"))) == []


def test_xnors_map_is_the_box_filter_of_the_mean() -> None:
    torch.manual_seed(2)
    unit = XnorUnit(4).eval()
    x = torch.randn(1, 4, 5, 6)
    with torch.no_grad():
        z = unit.norm(x)
        k = F.conv2d(z.abs().mean(dim=1, keepdim=True), torch.full((1, 1, 3, 3), 1 / 9), padding=1)
        torch.testing.assert_close(unit(x), unit.conv(z) * k, rtol=1e-5, atol=1e-5)


def test_bam_accumulates_over_the_layers() -> None:
    """A weight of the first layer acts on the second one's signs, an activation of the first on the second's bits."""
    torch.manual_seed(3)
    body = BamBody(4, 1).eval()
    x = torch.randn(1, 4, 6, 6)
    a1, w1 = body.convs[0].accumulate(x, None, None)
    a2, w2 = body.convs[1].accumulate(2 * x, a1, w1)
    torch.testing.assert_close(a2, 5 * a1)  # 1 + 2 * 2: the map and its channel mean both double
    torch.testing.assert_close(w2, body.convs[0].weight + body.convs[1].weight)


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_method_learns(method: str, train_shortly: Callable[..., object]) -> None:
    torch.manual_seed(4)
    model = create_model(f"{method}_light_x2", channels=8, blocks=1)
    result = train_shortly(model)
    assert result.finite
    assert result.last_loss < result.first_loss
    assert result.flipped > 0


@pytest.mark.parametrize("method", sorted(METHODS))
def test_full_size_has_32_binary_layers_of_3x3(method: str) -> None:
    with torch.device("meta"):
        model = create_model(f"{method}_x2")
    layers = [m for m in model.modules() if isinstance(m, BinaryConv2d)]
    assert len(layers) == 32
    assert {tuple(layer.weight.shape) for layer in layers} == {(64, 64, 3, 3)}


@pytest.mark.parametrize("method", sorted(TRAINING_ONLY))
def test_methods_without_a_deploy_form_say_why(method: str) -> None:
    model = create_model(f"{method}_light_x2", channels=8, blocks=1)
    with pytest.raises(ExportError, match=f"'{method}' is for comparison .*{re.escape(TRAINING_ONLY[method])}"):
        fold(model)


def test_reactnets_last_shift_is_carried_through_the_body() -> None:
    torch.manual_seed(5)
    body = create_model("test_reactnet_x2").body.eval()
    assert isinstance(body, ReactnetBody)
    with torch.no_grad():
        for unit in body:
            unit.rprelu.shift_before.normal_()
            unit.rprelu.shift_after.normal_()
            unit.conv.activation_binarizer.shift.normal_()
        x = torch.randn(1, 8, 9, 7)
        torch.testing.assert_close(fold(body)(x), body(x), rtol=1e-5, atol=1e-5)


def test_the_trainer_tells_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (24, 28, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(pictures / f"{number}.png")
    told: list[float] = []
    monkeypatch.setattr(Progressive, "set_progress", lambda self, fraction: told.append(fraction))
    recipe = make_recipe(
        {
            "model": "test_irnet_light_x2",
            "data": {"train": [str(pictures)], "patch": 8},
            "steps": 2,
            "batch_size": 2,
            "optimizer": {"lr": 1e-3},
            "tensorboard": False,
        }
    )
    train(recipe, run_dir=tmp_path / "run")
    assert told == [0.0] * 4 + [0.5] * 4  # four modules, two steps
