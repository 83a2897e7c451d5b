"""Muon: the update is orthogonal and of the rate's size, and it trains the latent weights of binary layers alone."""

import pytest
import torch
from torch import nn

from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import create_model
from bitsr.training.optimizers import Muon, make_optimizers, orthogonalized
from bitsr.training.recipe import MuonSettings, Optimizer


@pytest.mark.parametrize("shape", [(3, 8, 72), (2, 72, 8), (1, 16, 16)])
def test_singular_values_become_nearly_equal(shape: tuple[int, int, int]) -> None:
    torch.manual_seed(1)
    singular = torch.linalg.svdvals(orthogonalized(1e-4 * torch.randn(shape), iterations=5))
    assert 0.6 < float(singular.min()) <= float(singular.max()) < 1.3


def test_directions_are_those_of_the_polar_factor() -> None:
    torch.manual_seed(2)
    matrix = torch.randn(1, 8, 72)
    u, _, v = torch.linalg.svd(matrix[0], full_matrices=False)
    near = nn.functional.cosine_similarity(orthogonalized(matrix, iterations=5).flatten(), (u @ v).flatten(), dim=0)
    assert float(near) > 0.98


def test_a_step_has_the_rates_size_whatever_the_gradients() -> None:
    torch.manual_seed(3)
    for size in (1e-6, 1e3):
        weight = nn.Parameter(torch.zeros(8, 8, 3, 3))
        optimizer = Muon([weight], lr=2e-3)
        weight.grad = size * torch.randn_like(weight)
        optimizer.step()
        assert float(weight.detach().square().mean().sqrt()) == pytest.approx(2e-3, rel=0.3)


def test_layers_of_one_shape_are_updated_as_each_alone() -> None:
    torch.manual_seed(4)
    weights = [nn.Parameter(torch.randn(8, 8, 3, 3)) for _ in range(2)]
    alone = [nn.Parameter(weight.detach().clone()) for weight in weights]
    together = Muon(weights, lr=1e-2, decay=0.5)
    single = [Muon([weight], lr=1e-2, decay=0.5) for weight in alone]
    for _ in range(3):
        for weight, other in zip(weights, alone, strict=True):
            weight.grad = torch.randn_like(weight)
            other.grad = weight.grad.clone()
        together.step()
        for optimizer in single:
            optimizer.step()
    for weight, other in zip(weights, alone, strict=True):
        assert torch.allclose(weight, other, atol=1e-6)


def test_decay_shrinks_by_the_rate_times_the_decay() -> None:
    weight = nn.Parameter(torch.ones(4, 4, 1, 1))
    optimizer = Muon([weight], lr=0.1, decay=0.5)
    weight.grad = torch.zeros_like(weight)
    optimizer.step()
    assert torch.allclose(weight.detach(), torch.full_like(weight, 0.95))


def test_muon_gets_the_latent_weights_alone() -> None:
    model = create_model("test_ebsr_plus_x2")
    latent = {id(layer.weight) for layer in model.modules() if isinstance(layer, BinaryConv2d)}
    adam, muon = make_optimizers(model, Optimizer(lr=1e-3, muon=MuonSettings(lr=2e-3)))
    assert {id(p) for group in muon.param_groups for p in group["params"]} == latent
    assert [group["peak"] for group in (*adam.param_groups, *muon.param_groups)] == [1e-3, 2e-3]
    count = sum(len(group["params"]) for optimizer in (adam, muon) for group in optimizer.param_groups)
    assert count == len(list(model.parameters()))
    (only,) = make_optimizers(model, Optimizer(lr=1e-3))
    assert sum(len(group["params"]) for group in only.param_groups) == count
