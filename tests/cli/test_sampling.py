"""``bitsr upscale`` with a diffusion model: steps and seed."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from bitsr.artifact.weights import WeightsInfo
from bitsr.common.pictures import Picture, read_picture, write_picture
from bitsr.training.models import create_model
from bitsr.training.weights import save_weights

from .conftest import Outcome

pytest.importorskip("diffusers", reason="needs bitsr[diffusion]")


@pytest.fixture
def sampled(bitsr: Callable[..., Outcome], tmp_path: Path) -> Callable[..., Outcome]:
    """``sampled("out.png", "--seed", 1)`` enlarges a small picture with the tiny model, in PyTorch."""
    torch.manual_seed(0)
    weights = tmp_path / "weights.safetensors"
    save_weights(weights, create_model("test_bidiffsr_x2").state_dict(), WeightsInfo(model="test_bidiffsr_x2"))
    source = tmp_path / "in.png"
    write_picture(source, Picture(np.random.default_rng(0).integers(0, 256, (6, 9, 3), np.uint8)))

    def run(name: str, *options: object) -> Outcome:
        return bitsr("upscale", "-i", source, "-o", tmp_path / name, "-m", weights, "--runtime", "eager", *options)

    return run


def test_the_seed_decides_the_picture(sampled: Callable[..., Outcome], tmp_path: Path) -> None:
    for name, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2)):
        assert sampled(name, "--steps", 2, "--seed", seed).code == 0
    a, b, c = (read_picture(tmp_path / name).rgb for name in ("a.png", "b.png", "c.png"))
    assert a.shape == (12, 18, 3)
    assert np.array_equal(a, b)
    assert not np.array_equal(a, c)


def test_too_many_steps(sampled: Callable[..., Outcome]) -> None:
    outcome = sampled("out.png", "--steps", 2001)
    assert outcome.code == 2
    assert outcome.error == "error: 2001 sampling steps were asked for; the model has 1 to 2000"


def test_a_seed_for_a_model_that_does_not_sample(
    bitsr: Callable[..., Outcome], weights: Path, sampled: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = bitsr(
        "upscale", "-i", tmp_path / "in.png", "-o", tmp_path / "o.png", "-m", weights, "--runtime", "eager", "--seed", 1
    )
    assert outcome.code == 2
    assert "leave --steps and --seed out" in outcome.error


def test_evaluation_samples_alike_in_the_training_form_and_in_a_session(
    bitsr: Callable[..., Outcome], sampled: Callable[..., Outcome], tmp_path: Path
) -> None:
    """Odd sizes below the tile: what is filled up does not change the picture's noise."""
    folder = tmp_path / "set"
    folder.mkdir()
    write_picture(folder / "a.png", Picture(np.random.default_rng(1).integers(0, 256, (34, 50, 3), np.uint8)))
    figures = {}
    for name, options in {
        "train": ["--steps", 2, "--seed", 3],
        "eager": ["--steps", 2, "--seed", 3, "--runtime", "eager"],
        "other": ["--steps", 2, "--seed", 4],
        "shorter": ["--steps", 1, "--seed", 3],
    }.items():
        report = tmp_path / f"{name}.json"
        outcome = bitsr("evaluate", tmp_path / "weights.safetensors", "--images", folder, "-o", report, *options)
        assert outcome.code == 0, outcome.err
        figures[name] = json.loads(report.read_text())["models"][0]["sets"]["set"]["psnr"]
    assert figures["train"] == pytest.approx(figures["eager"], abs=0.02)  # the forms round otherwise
    assert abs(figures["train"] - figures["other"]) > 1e-4
    assert abs(figures["train"] - figures["shorter"]) > 1e-4


@pytest.mark.parametrize("runtime", [[], ["--runtime", "eager"]])
def test_an_evaluation_without_sampling_has_no_seed(
    bitsr: Callable[..., Outcome], weights: Path, tmp_path: Path, runtime: list[str]
) -> None:
    write_picture(tmp_path / "a.png", Picture(np.zeros((34, 50, 3), np.uint8)))
    outcome = bitsr("evaluate", weights, "--images", tmp_path, "--seed", 1, *runtime)
    assert outcome.code == 2
    assert "leave --steps and --seed out" in outcome.error
