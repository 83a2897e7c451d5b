"""LPIPS beside PSNR and SSIM: what is compared, where the figures go, and what is said where weights are missing."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bitsr.common.errors import UsageError
from bitsr.training.evaluate import bicubic_upscaler, evaluate
from bitsr.training.figures_table import ModelFigures, write_table
from bitsr.training.metrics import to_8bit


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two originals."""
    made = tmp_path / "set"
    made.mkdir()
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 256, (36, 40, 3), np.uint8)
        Image.fromarray(pixels).save(made / f"{number}.png")
    return made


def distance(prediction: Tensor, target: Tensor) -> float:
    """A stand-in that shows what it is given: whole pictures of 8 bit in [0, 1]."""
    assert prediction.shape == target.shape == (1, 3, 36, 40)
    for picture in (prediction, target):
        torch.testing.assert_close(picture, to_8bit(picture) / 255)
    return float((prediction - target).abs().mean())


def test_a_distance_is_measured_of_whole_pictures(folder: Path, tmp_path: Path) -> None:
    bicubic = bicubic_upscaler(2)
    result = evaluate(lambda low: bicubic(low) * 0.5, folder=folder, scale=2, perceptual=distance)
    assert result.lpips > result.bicubic_lpips > 0
    assert result.lpips == pytest.approx(np.mean([score.lpips for score in result.pictures]))
    figures = [ModelFigures("half_x2", "here", 2, (result,))]
    for name in ("table.json", "table.csv", "table.md"):
        write_table(tmp_path / name, figures)
    stored = json.loads((tmp_path / "table.json").read_text())["models"][0]["sets"]["set"]
    assert (stored["lpips"], stored["pictures"]["1"]["lpips"]) == (result.lpips, result.pictures[1].lpips)
    rows = list(csv.reader((tmp_path / "table.csv").open()))
    assert rows[0] == ["model", "scale", "set PSNR", "set SSIM", "set LPIPS"]
    assert [row[-1] for row in rows[1:]] == [f"{result.bicubic_lpips:.4f}", f"{result.lpips:.4f}"]
    assert "set LPIPS" in (tmp_path / "table.md").read_text()


def test_without_it_nothing_is_said_of_it(folder: Path, tmp_path: Path) -> None:
    result = evaluate(bicubic_upscaler(2), folder=folder, scale=2)
    write_table(tmp_path / "table.json", [ModelFigures("m_x2", "here", 2, (result,))])
    assert "lpips" not in (tmp_path / "table.json").read_text()


def test_missing_weights_are_named_and_not_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torchvision", reason="needs bitsr[lpips]")
    from bitsr.training.perceptual import Lpips

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(
        UsageError, match=r"there is no .*alexnet.*\.pth; fetch https://.*alexnet.*\.pth and put it there"
    ):
        Lpips()


def test_lpips_grows_with_the_difference(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With an AlexNet of random weights: the metric's own weights are those that torchmetrics ships."""
    models = pytest.importorskip("torchvision.models", reason="needs bitsr[lpips]")
    from bitsr.training.perceptual import Lpips

    usual = models.alexnet
    monkeypatch.setattr(models, "alexnet", lambda weights=None: usual(weights=None))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / models.AlexNet_Weights.DEFAULT.url.rpartition("/")[2]
    path.parent.mkdir(parents=True)
    path.touch()
    torch.manual_seed(0)
    measure = Lpips()
    target = torch.rand(1, 3, 64, 64)
    figures = [measure((target + noise * torch.randn_like(target)).clamp(0, 1), target) for noise in (0.0, 0.05, 0.3)]
    assert figures[0] == 0
    assert 0 < figures[1] < figures[2]
