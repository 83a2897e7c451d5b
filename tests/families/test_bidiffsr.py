"""BI-DiffSR and its float reference: cost, blocks, training, the step network in both formats, whole samplings."""

import pytest
import torch
from torch import Tensor

from bitsr.export.cost import convention, model_cost
from bitsr.training.models import create_model, list_models
from bitsr.training.models.bidiffsr import BiConv, BiDiffSr, BiDiffSrConfig, ChannelFusion, Down, Up, mix_channels
from bitsr.training.models.diffusion import DiffusionModel

TINY = "test_bidiffsr_x2"


def diffusion_model(model_id: str) -> DiffusionModel:
    model = create_model(model_id)
    assert isinstance(model, DiffusionModel)
    return model


@pytest.mark.parametrize(
    ("model_id", "parameters", "operations"),
    [
        # Printed for one step at 256x256: 4.58 M and 36.67 G; K = 1 and 2: 4.30 and 4.37 M; sum for fusion: 4.10 M and
        # 33.40 G; SR3: 55.41 M and 176.41 G.
        ("bidiffsr_x4", 4.575, 36.668),
        ("bidiffsr_k1_x4", 4.298, 36.668),
        ("bidiffsr_k2_x4", 4.367, 36.668),
        ("bidiffsr_add_x4", 4.094, 33.397),
        ("sr3_x4", 55.407, 176.393),
        # Not in the paper: what its cost table leaves in floating point, binary as well.
        ("bidiffsr_binary_decoder_x4", 3.428, 4.960),
        ("bidiffsr_no_attention_x4", 2.378, 2.810),
        ("bidiffsr_binary_x4", 2.453, 3.903),
    ],
)
def test_published_costs(model_id: str, parameters: float, operations: float) -> None:
    layers = model_cost(model_id, size=(1, 3, 64, 64))
    assert convention("bidiffsr").parameters(layers) / 1e6 == pytest.approx(parameters, abs=0.0006)
    assert convention("bidiffsr").operations(layers) / 1e9 == pytest.approx(operations, abs=0.0011)


def test_a_step_costs_the_same_for_the_same_result_at_both_scales() -> None:
    costs = [model_cost(f"bidiffsr_x{scale}", size=(1, 3, 256 // scale, 256 // scale)) for scale in (2, 4)]
    assert costs[0] == costs[1]


@pytest.mark.parametrize("model_id", list_models("test_*", kind="diffusion"))
def test_a_step_keeps_the_size(model_id: str) -> None:
    model = diffusion_model(model_id).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 6, 8, 4), torch.tensor([7])).shape == (2, 3, 8, 4)


def test_every_fusion_uses_each_channel_once() -> None:
    a, b = torch.arange(8.0).reshape(1, 8, 1, 1), torch.arange(10.0, 18.0).reshape(1, 8, 1, 1)
    channels: dict[str, tuple[list[float], list[float]]] = {
        "opposite": ([1, 3, 5, 7, 10, 12, 14, 16], [0, 2, 4, 6, 11, 13, 15, 17]),
        "same": ([0, 2, 4, 6, 10, 12, 14, 16], [1, 3, 5, 7, 11, 13, 15, 17]),
        "split": ([0, 1, 2, 3, 10, 11, 12, 13], [4, 5, 6, 7, 14, 15, 16, 17]),
    }
    for fusion, expected in channels.items():
        mixed = mix_channels(a, b, fusion)  # type: ignore[arg-type]
        assert tuple(map_.flatten().tolist() for map_ in mixed) == expected


def test_the_timestep_chooses_threshold_and_activation() -> None:
    model = diffusion_model(TINY).eval()
    assert isinstance(model, BiDiffSr)
    starts = model.process.group_starts(5)
    assert starts == [0, 400, 800, 1200, 1600]
    assert model.process.group_starts(3) == [0, 667, 1334]
    conv = BiConv(4, 3, groups=2)
    x = torch.randn(1, 4, 5, 6)
    with torch.no_grad():
        conv.threshold[1] = 10  # no bit is set, so every output pixel inside is minus the sum of the weights
        conv.activation.shift_after[1] = 3
        first, second = (conv(x, torch.tensor([group])) for group in (0, 1))
        weight = conv.conv.weight_binarizer(conv.conv.weight)
        total = -weight.sum(dim=(1, 2, 3)).reshape(1, 4, 1, 1)
        inside = torch.where(total < 0, 0.25 * total, total) + 3 + x[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(second[:, :, 1:-1, 1:-1], inside)
    assert not torch.equal(first, second)


def test_sampling_layers_change_shapes_as_stated() -> None:
    config = BiDiffSrConfig(channels=8, time_groups=1)
    group, x = torch.zeros(1, dtype=torch.int64), torch.randn(1, 8, 4, 6)
    assert Down(8, config)(x, group).shape == (1, 16, 2, 3)
    assert Up(8, config)(x, group).shape == (1, 4, 8, 12)
    assert ChannelFusion(8, config)(x, x, group).shape == x.shape


def _pairs(batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    high = torch.nn.functional.interpolate(torch.rand(batch, 3, 4, 4, generator=generator), size=16, mode="bicubic")
    return torch.nn.functional.avg_pool2d(high.clamp(0, 1), 2), high.clamp(0, 1)


@pytest.mark.parametrize("model_id", [TINY, "test_sr3_x2"])
def test_short_training(model_id: str) -> None:
    """The loss falls, latent signs flip, nothing is NaN; only thresholds of drawn groups move."""
    torch.manual_seed(3)
    model = diffusion_model(model_id).train()
    latent = {name: p.detach().clone() for name, p in model.named_parameters() if name.endswith("conv.weight")}
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    low, high = _pairs(4)
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = model.training_loss(model, low, high)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-10:]) < 0.8 * sum(losses[:10])
    parameters = dict(model.named_parameters())
    assert all(torch.isfinite(p).all() for p in parameters.values())
    if model_id == TINY:
        flips = [((parameters[n] >= 0) != (w >= 0)).float().mean().item() for n, w in latent.items()]
        assert len(flips) > 10
        assert min(flips) > 0
