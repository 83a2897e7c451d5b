"""Costs of layers: each thing counted once, on the right layer, from any module."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.export.deploy import fold
from bitsr.training.binarizers import LearnedScaleWeight, MeanScaleWeight, RSign
from bitsr.training.cost import LayerCost, convention, count_layers, model_cost
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model, list_models


@pytest.mark.parametrize("model_id", [name for name in list_models() if name.startswith(("test_", "ebsr_light_x2"))])
def test_every_parameter_is_counted_once(model_id: str) -> None:
    layers = model_cost(model_id, size=(1, 3, 16, 16))
    with torch.device("meta"):
        parameters = sum(p.numel() for p in create_model(model_id).parameters())
    assert sum(layer.float_parameters + layer.low_bit_weights for layer in layers) == parameters


def test_macs_of_a_known_network() -> None:
    layers = {layer.name: layer for layer in model_cost("ebsr_light_x4", size=(1, 3, 180, 320))}
    assert layers["head"].macs == 3 * 64 * 9 * 180 * 320
    conv = layers["body.0.conv1.conv"]
    assert (conv.bit_macs, conv.macs) == (64 * 64 * 9 * 180 * 320, 0)
    assert (conv.low_bit_weights, conv.weight_bits, conv.output) == (64 * 64 * 9, 1, (1, 64, 180, 320))
    # Signs, a float32 scale for each filter, and the binarizer's own scale.
    assert conv.bytes == 64 * 64 * 9 // 8 + 4 * 64 + 4
    assert layers["body.0.conv1.channel"].averaged == 64 * 180 * 320
    assert layers["tail"].macs == 64 * 48 * 9 * 180 * 320
    assert next(iter(layers)) == "head"


def test_costs_grow_with_the_picture() -> None:
    small, large = (model_cost("test_e2fif_x2", size=(1, 3, side, side)) for side in (8, 16))
    assert sum(layer.bit_macs for layer in large) == 4 * sum(layer.bit_macs for layer in small) > 0


class _Attention(nn.Module):
    """A module with a parameter of its own around a binary layer, and products of matrices between activations."""

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(8))
        self.norm = nn.GroupNorm(2, 8)
        self.conv = BinaryConv2d(
            8, 8, 3, activation_binarizer=RSign(8), weight_binarizer=LearnedScaleWeight(8), bias=True
        )

    def forward(self, x: Tensor) -> Tensor:
        tokens = self.conv(self.norm(x)).flatten(2)
        scores = torch.einsum("nci,ncj->nij", tokens, tokens)
        return F.scaled_dot_product_attention(scores, scores, scores) * self.gain.sum()


def test_matrix_products_and_norms_are_counted_where_they_stand() -> None:
    layers = {layer.name: layer for layer in count_layers(_Attention(), (torch.empty(1, 8, 3, 4),))}
    # q k^T and (q k^T) v of 12 tokens, and the einsum over 8 channels.
    assert layers["network"].macs == 12 * 12 * 8 + 2 * 12 * 12 * 12
    assert layers["network"].float_others == 8
    assert layers["norm"].normalized == 8 * 3 * 4
    conv = layers["conv"]
    assert (conv.bit_macs, conv.macs, conv.low_bit_weights) == (8 * 8 * 9 * 12, 0, 8 * 8 * 9)
    assert conv.float_parameters == 8 + 8 + 8  # bias, thresholds, scales
    # One word for each filter and tap, then bias, thresholds and scales as float32.
    assert conv.bytes == 8 * 9 * 8 + 4 * 24


class _TwoPlanes(MeanScaleWeight):
    planes = 2


def test_a_second_weight_plane_is_a_second_bit() -> None:
    def cost(binarizer: MeanScaleWeight) -> LayerCost:
        conv = BinaryConv2d(64, 32, 3, activation_binarizer=RSign(64), weight_binarizer=binarizer)
        return count_layers(conv, (torch.empty(1, 64, 5, 5),))[0]

    one, two = cost(MeanScaleWeight()), cost(_TwoPlanes())
    assert two.bit_macs == 2 * one.bit_macs
    assert (one.weight_bits, two.weight_bits) == (1, 2)
    assert two.bytes - one.bytes == 32 * 9 * 8 + 4 * 32


@pytest.mark.parametrize("model_id", ["ebsr_light_x4", "bbcu_m_x2", "e2fif_x3"])
def test_bytes_are_those_of_the_deploy_form(model_id: str) -> None:
    """The deploy form folds small vectors into each other, so some bytes more or fewer: 5 % at most."""
    torch.manual_seed(3)
    deployed = fold(create_model(model_id))
    stored = sum(value.numel() * value.element_size() for value in deployed.state_dict().values())
    assert sum(layer.bytes for layer in model_cost(model_id, size=(1, 3, 8, 8))) == pytest.approx(stored, rel=0.05)


def test_a_model_in_training_stays_in_training() -> None:
    model = create_model("test_e2fif_x2").train()
    count_layers(model, (torch.rand(1, 3, 4, 4),))
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())


def test_unknown_convention() -> None:
    with pytest.raises(UsageError, match="expected one of ebsr, bbcu, bidiffsr"):
        convention("thop")
