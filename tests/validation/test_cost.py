"""Costs of layers against the papers' counts and against the models themselves."""

import pytest

from bitsr.training.models import create_model, list_models
from bitsr.validation.cost import model_cost


@pytest.mark.parametrize("model_id", [name for name in list_models("*_x2") if not name.startswith(("edsr", "ebsr_x"))])
def test_every_parameter_is_counted_once(model_id: str) -> None:
    layers = model_cost(model_id, size=(1, 3, 8, 12))
    assert sum(layer.parameters for layer in layers) == sum(p.numel() for p in create_model(model_id).parameters())


def test_macs_of_a_known_network() -> None:
    layers = {layer.name: layer for layer in model_cost("ebsr_light_x4", size=(1, 3, 180, 320))}
    assert layers["head"].macs == 3 * 64 * 9 * 180 * 320
    assert layers["body.0.conv1.conv"].binary_macs == 64 * 64 * 9 * 180 * 320
    assert layers["body.0.conv1.conv"].macs == 0
    # 64 * 64 * 9 bits and one float32 scale
    assert (
        layers["body.0.conv1.conv"].bytes
        == 64 * 64 * 9 // 8 + 4 * layers["body.0.conv1.conv"].parameters - 4 * 64 * 64 * 9
    )
    assert layers["tail"].macs == 64 * 48 * 9 * 180 * 320


def test_costs_grow_with_the_picture() -> None:
    small, large = (model_cost("test_e2fif_x2", size=(1, 3, side, side)) for side in (8, 16))
    assert sum(layer.binary_macs for layer in large) == 4 * sum(layer.binary_macs for layer in small) > 0
