"""What the tests of the families share: a short training, and both artifacts of a tiny model beside its deploy form."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.artifact.weights import WeightsInfo
from bitsr.export.deploy import deploy_form
from bitsr.export.export import ExportResult, export_model
from bitsr.export.parity.recording import record
from bitsr.export.verification import agreement, run_tensors
from bitsr.runtime.litert import TfliteNetwork
from bitsr.runtime.pte import PteNetwork
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import SuperResolutionModel, create_model
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.training.weights import save_weights

MAX_PIXELS = 48 * 48
STEP_PIXELS = 8 * 8  # of a diffusion model
# Odd sides, one pixel, and nearly as many pixels as the budget allows on sides that a square does not have.
SIZES = [(24, 32), (37, 29), (5, 3), (1, 1), (8, 256)]


@dataclass(frozen=True)
class ShortTraining:
    """Mean loss of the first and last quarter of the steps, and the share of latent signs that flipped."""

    first_loss: float
    last_loss: float
    flipped: float
    finite: bool


def _smooth_pairs(scale: int, steps: int, *, side: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Low- and high-resolution batches of smooth waves in [0, 1]."""
    generator = torch.Generator().manual_seed(5)
    for _ in range(steps):
        seeds = torch.rand(4, 3, side // 4, side // 4, generator=generator)
        high = F.interpolate(seeds, size=(side * scale, side * scale), mode="bicubic").clamp(0, 1)
        yield F.avg_pool2d(high, scale), high


@pytest.fixture(scope="session")
def train_shortly() -> Callable[..., ShortTraining]:
    """``train_shortly(model, steps=24, lr=5e-3)``: Adam on an L1 loss, gradient norm clipped to 1."""

    def train(model: SuperResolutionModel, *, steps: int = 24, lr: float = 5e-3, side: int = 12) -> ShortTraining:
        latent = {n: m.weight for n, m in model.named_modules() if isinstance(m, BinaryConv2d)}
        before = {name: weight.detach() >= 0 for name, weight in latent.items()}
        optimizer = torch.optim.Adam(model.parameters(), lr=lr)
        losses = []
        model.train()
        for low, high in _smooth_pairs(model.info.scale, steps, side=side):
            optimizer.zero_grad()
            loss = F.l1_loss(model(low), high)
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            losses.append(loss.item())
        flips = [((weight.detach() >= 0) != before[name]).float().mean().item() for name, weight in latent.items()]
        quarter = steps // 4
        return ShortTraining(
            sum(losses[:quarter]) / quarter,
            sum(losses[-quarter:]) / quarter,
            sum(flips) / len(flips) if flips else 0.0,
            all(torch.isfinite(p).all().item() for p in model.parameters()),
        )

    return train


@dataclass(frozen=True)
class ExportedModel:
    """A model, its weights file beside both artifacts, and what the export said of them."""

    model: SuperResolutionModel
    folder: Path
    weights: Path
    result: ExportResult


@pytest.fixture(scope="session")
def export_tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ExportedModel]:
    """``export_tiny(model)``: both artifacts; a model given by its id is made and exported once for all tests."""
    if not all(find_spec(package) for package in ("executorch", "ai_edge_litert", "onnx2tf", "tensorflow")):
        pytest.skip("needs bitsr[export]")
    known: dict[str, ExportedModel] = {}

    def export(model: str | SuperResolutionModel) -> ExportedModel:
        if isinstance(model, SuperResolutionModel):
            return export_one(model)
        if model not in known:
            torch.manual_seed(1)
            known[model] = export_one(create_model(model))
        return known[model]

    def export_one(model: SuperResolutionModel) -> ExportedModel:
        model.eval()
        folder: Path = tmp_path_factory.mktemp(model.info.id)
        weights = folder / "weights.safetensors"
        save_weights(weights, model.state_dict(), WeightsInfo(model=model.info.id))
        pixels = STEP_PIXELS if isinstance(model, DiffusionModel) else MAX_PIXELS
        result = export_model(model, output=folder, formats=("pte", "tflite"), max_pixels=pixels)
        return ExportedModel(model, folder, weights, result)

    return export


@pytest.fixture(scope="session")
def check_artifacts(export_tiny: Callable[..., ExportedModel]) -> Callable[..., dict[str, dict[str, int]]]:
    """``check_artifacts(model)``: .pte and .tflite agree with the deploy form at several sizes.

    It returns how many partitions each format has at each place. Networks of exact ops must be identical. Learned
    numbers are fresh: 50 dB are only sums in another order, and few flipped signs.
    """

    def check(source: str | SuperResolutionModel) -> dict[str, dict[str, int]]:
        exported = export_tiny(source)
        model, files = exported.model, exported.result.files
        deployed = deploy_form(model)
        networks = {"pte": PteNetwork(files["pte"].path), "tflite": TfliteNetwork(files["tflite"].path)}
        generator = torch.Generator().manual_seed(6)
        tile = model.fixed_size
        for height, width in [(tile, tile)] * 2 if tile else SIZES:
            x = torch.rand(1, 3, height, width, generator=generator)
            reference = record(deployed, x)
            for kind, network in networks.items():
                psnr, _ = agreement(run_tensors(network, x), reference.output)
                assert psnr > (sys.float_info.max if reference.exact else 50), (kind, height, width)
        return {kind: file.table.partitions for kind, file in files.items()}

    return check
