"""BI-DiffSR and its float reference: cost, blocks, training, the step network in both formats, whole samplings."""

from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from bitsr.artifact.artifact import Artifact
from bitsr.common.errors import UsageError
from bitsr.export.delegation import OURS
from bitsr.export.deploy import fold
from bitsr.export.export import ExportedFile, export_model
from bitsr.export.verification import agreement
from bitsr.inference.artifact_session import ArtifactSession
from bitsr.inference.diffusion import DiffusionSession, step_network
from bitsr.inference.load import load
from bitsr.inference.session_info import Sampling
from bitsr.training.cost import convention, model_cost
from bitsr.training.diffusion.noise_schedule import noise_like, upsample_bicubic
from bitsr.training.diffusion.sampling import sample
from bitsr.training.diffusion.tiled import StepNetwork
from bitsr.training.models import create_model, list_models
from bitsr.training.models.bidiffsr import (
    BiConv,
    BiDiffSr,
    BiDiffSrConfig,
    ChannelFusion,
    Down,
    Timestep,
    Up,
    mix_channels,
)
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
    starts = model.noise_schedule.group_starts(5)
    assert starts == [0, 400, 800, 1200, 1600]
    assert model.noise_schedule.group_starts(3) == [0, 667, 1334]
    conv = BiConv(4, 3, groups=2)
    x = torch.randn(1, 4, 5, 6)
    with torch.no_grad():
        conv.threshold[1] = 10  # no bit is set, so every output pixel inside is minus the sum of the weights
        conv.activation.shift_after[1] = 3
        first, second = (conv(x, Timestep(torch.zeros(1, 4), torch.tensor([group]))) for group in (0, 1))
        weight = conv.conv.weight_binarizer(conv.conv.weight)
        total = -weight.sum(dim=(1, 2, 3)).reshape(1, 4, 1, 1)
        inside = torch.where(total < 0, 0.25 * total, total) + 3 + x[:, :, 1:-1, 1:-1]
    torch.testing.assert_close(second[:, :, 1:-1, 1:-1], inside)
    assert not torch.equal(first, second)


def test_sampling_layers_change_shapes_as_stated() -> None:
    config = BiDiffSrConfig(channels=8, time_groups=1)
    at, x = Timestep(torch.zeros(1, 8), torch.zeros(1, dtype=torch.int64)), torch.randn(1, 8, 4, 6)
    assert Down(8, config)(x, at).shape == (1, 16, 2, 3)
    assert Up(8, config)(x, at).shape == (1, 4, 8, 12)
    assert ChannelFusion(8, config)(x, x, at).shape == x.shape


def _pairs(batch: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(4)
    high = torch.nn.functional.interpolate(torch.rand(batch, 3, 4, 4, generator=generator), size=16, mode="bicubic")
    return torch.nn.functional.avg_pool2d(high.clamp(0, 1), 2), high.clamp(0, 1)


def test_a_crop_of_a_wrong_size_is_refused() -> None:
    model = diffusion_model(TINY)
    with pytest.raises(UsageError, match=r"crops of test_bidiffsr_x2 are 15x14 pixels, expected multiples of 2"):
        model.training_loss(model, torch.rand(1, 3, 7, 7), torch.rand(1, 3, 14, 15))


def test_four_crops_share_a_timestep() -> None:
    """As on each device of the published training; the loss is the mean over all crops."""
    model = diffusion_model(TINY)
    seen: list[tuple[int, int]] = []

    class Far(nn.Module):
        """A prediction of the crops' number everywhere: the loss of a part is near it."""

        def forward(self, x: Tensor, timestep: Tensor) -> Tensor:
            seen.append((len(x), int(timestep)))
            return torch.full_like(x[:, 3:], 100.0 * len(x))

    torch.manual_seed(5)
    loss = model.training_loss(Far(), torch.rand(10, 3, 4, 4), torch.rand(10, 3, 8, 8))
    assert [crops for crops, _ in seen] == [4, 4, 2]
    assert len({timestep for _, timestep in seen}) == 3
    assert loss.item() == pytest.approx((8 * 400 + 2 * 200) / 10, abs=0.5)


@pytest.mark.parametrize("model_id", [TINY, "test_sr3_x2"])
def test_short_training(model_id: str) -> None:
    """The loss falls, latent signs flip, nothing is NaN."""
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
        assert len(flips) == 12
        assert min(flips) > 0


@pytest.fixture(scope="module")
def perturbed() -> DiffusionModel:
    """The tiny model with both groups' thresholds and activations, and all biases, away from their initial values."""
    torch.manual_seed(8)
    model = diffusion_model(TINY).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() < 4 and "norm" not in name:
                parameter.add_(torch.empty_like(parameter).uniform_(-0.2, 0.2))
    return model


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"fusion": "same"},
        {"fusion": "split"},
        {"fusion": "add"},
        {"float_levels": (), "attention": "binary"},
        {"grouped": "thresholds"},
        {"grouped": "activations"},
    ],
    ids=str,
)
def test_deploy_form_equals_train_form(change: dict[str, Any]) -> None:
    """At the first and last timestep of both groups. Means and scales round otherwise: 1e-5 of values around 0.3."""
    torch.manual_seed(9)
    model = create_model(TINY, **change).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, BiConv):
                for table in (module.threshold, *module.activation.parameters()):
                    table.add_(torch.empty_like(table).uniform_(-0.2, 0.2))
        deployed = fold(model)
        for number in (0, 999, 1000, 1999):
            x, timestep = torch.rand(1, 6, 8, 12), torch.tensor([number])
            expected = model(x, timestep)
            assert expected.std() > 0.05
            torch.testing.assert_close(deployed(x, timestep), expected, atol=1e-5, rtol=0)


def test_the_float_reference_in_deploy_form() -> None:
    """Means and scales round otherwise: 1e-5 of values around 0.3."""
    torch.manual_seed(9)
    model = diffusion_model("test_sr3_x2").eval()
    with torch.no_grad():
        x, timestep = torch.rand(1, 6, 8, 12), torch.tensor([1234])
        torch.testing.assert_close(fold(model)(x, timestep), model(x, timestep), atol=1e-5, rtol=0)


# Low-resolution side of the exported tile: 16 pixels of the enlarged picture.
SIDE = 8


@pytest.fixture(scope="module", params=["pte", "tflite"])
def exported(request: pytest.FixtureRequest, perturbed: DiffusionModel, tmp_path_factory: Any) -> ExportedFile:
    packages = {"pte": ("executorch",), "tflite": ("ai_edge_litert", "onnx2tf", "tensorflow")}[request.param]
    if not all(find_spec(package) for package in packages):
        pytest.skip(f"needs {', '.join(packages)}")
    folder = tmp_path_factory.mktemp(request.param)
    return export_model(perturbed, output=folder, formats=(request.param,), max_pixels=SIDE**2).files[request.param]


def test_artifact_says_what_a_sampler_needs(exported: ExportedFile, perturbed: DiffusionModel) -> None:
    info = exported.info
    assert info.diffusion is not None
    assert (info.diffusion.timesteps, info.diffusion.beta_start, info.diffusion.beta_end) == (2000, 1e-6, 1e-2)
    assert (info.in_channels, info.out_channels, info.scale) == (6, 3, 2)
    assert (info.sizes.min_side, info.sizes.max_pixels, info.sizes.multiple) == (SIDE, SIDE**2, SIDE)
    claimed = {row.op: row.count for row in exported.table.rows if row.place == OURS}
    assert claimed["bitsr::binary_conv2d"] == sum(isinstance(m, BiConv) for m in perturbed.modules())
    # The steps at the first, the middle and the last timestep, compared by the export. A flipped sign is below 60 dB.
    assert exported.verification is not None
    assert exported.verification.psnr > 50


def test_a_whole_trajectory_agrees(exported: ExportedFile, perturbed: DiffusionModel) -> None:
    """Four DDIM steps from the same noise, every x_t beside that of the deploy form in PyTorch.

    Float sums differ in their last bits; where no sign flips that stays below 1e-4 over four steps, a flipped sign
    moves a few pixels: 40 dB is asked for at each step.
    """
    pytest.importorskip("diffusers", reason="needs bitsr[diffusion]")
    low = torch.rand(1, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(3))
    condition = upsample_bicubic(low, scale=2)
    noise = noise_like((1, 3, 2 * SIDE, 2 * SIDE), seed=4)

    def trajectory(network: StepNetwork) -> list[Tensor]:
        states: list[Tensor] = []

        def denoise(x: Tensor, timestep: int) -> Tensor:
            states.append(x)
            with torch.no_grad():
                return network(torch.cat([condition, x], dim=1), torch.tensor([timestep]))

        result = sample(denoise, noise, noise_schedule=perturbed.noise_schedule, steps=4)
        return [*states, result]

    reference = trajectory(fold(perturbed))
    states = trajectory(step_network(Artifact.open(exported.path)))
    assert len(states) == len(reference) == 5
    assert torch.equal(states[0], noise)
    for ours, theirs in zip(states, reference, strict=True):
        assert agreement(ours, theirs)[0] > 40


def test_upscaling_through_the_artifact(exported: ExportedFile, perturbed: DiffusionModel) -> None:
    """A picture of several tiles, beside the same loop over the deploy form."""
    pytest.importorskip("diffusers", reason="needs bitsr[diffusion]")
    x = np.random.default_rng(1).random((1, 3, 11, 14), np.float32)
    session = load(exported.path, sampling=Sampling(steps=3, seed=7))
    assert session.info.runtime == exported.info.kind
    expected = DiffusionSession(
        fold(perturbed),
        session.info,
        noise_schedule=perturbed.noise_schedule,
        tile=2 * SIDE,
        sampling=Sampling(steps=3, seed=7),
    ).run(x)
    result = session.run(x)
    assert result.shape == (1, 3, 22, 28)
    assert agreement(torch.from_numpy(result), torch.from_numpy(expected))[0] > 40


def test_a_step_is_no_network_for_pictures(exported: ExportedFile) -> None:
    with pytest.raises(UsageError, match="maps 6 channels to 3"):
        ArtifactSession(Artifact.open(exported.path))
