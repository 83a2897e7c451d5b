"""Pictures as phones and the web leave them: what a crop suffers, and that it stays where it is."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bitsr.common.errors import UsageError
from bitsr.training.data import PairFolder
from bitsr.training.degradation import degraded, jpeg
from bitsr.training.evaluate import evaluate
from bitsr.training.recipe import Degradation, find_recipe, load_recipe
from bitsr.training.resize import imresize

MILD = Degradation(share=1, blur=0, noise=0, quality=(100, 100), twice=0)


def scene(height: int, width: int, *, seed: int) -> np.ndarray:
    """Smooth grey shapes: what survives JPEG, which keeps colour at half resolution."""
    rng = np.random.default_rng(seed)
    picture = Image.fromarray(rng.integers(0, 256, (height // 8 + 2, width // 8 + 2), dtype=np.uint8))
    return np.stack([np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))] * 3, axis=2)


def error(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.sqrt(np.mean((a.astype(float) - b.astype(float)) ** 2)))


def test_jpeg_loses_more_at_lower_qualities() -> None:
    picture = scene(48, 40, seed=1)
    losses = [error(jpeg(picture, quality=quality), picture) for quality in (95, 80, 60, 40, 20)]
    assert losses == sorted(losses)
    assert 0 < losses[0] < losses[-1]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_the_mildest_is_a_reduction(scale: int) -> None:
    """Without blur, noise and JPEG's losses every filter gives nearly what bicubic gives: nothing is shifted."""
    high = scene(scale * 33, scale * 29, seed=scale)
    clean = imresize(high, scale=1 / scale)
    for seed in range(8):
        low = degraded(high, scale=scale, settings=MILD, rng=np.random.default_rng(seed))
        assert low.shape == (33, 29, 3)
        assert low.dtype == np.uint8
        here = error(low[2:-2, 2:-2], clean[2:-2, 2:-2])
        moved = min(
            error(low[2:-2, 2:-2], np.roll(clean, step, axis)[2:-2, 2:-2]) for step in (-1, 1) for axis in (0, 1)
        )
        assert here < moved / 3, f"seed {seed}: {here:.2f} in place, {moved:.2f} a pixel aside"


@pytest.mark.parametrize(
    "worse", [{"blur": 1.5}, {"noise": 30.0}, {"quality": (5, 5)}, {"twice": 1.0, "quality": (30, 30)}]
)
def test_each_setting_does_harm(worse: dict[str, Any]) -> None:
    high = scene(96, 96, seed=4)
    clean = imresize(high, scale=0.5)

    def mean_error(settings: Degradation) -> float:
        lows = (degraded(high, scale=2, settings=settings, rng=np.random.default_rng(seed)) for seed in range(6))
        return float(np.mean([error(low, clean) for low in lows]))

    assert mean_error(MILD.model_copy(update=worse)) > 1.5 * mean_error(MILD)


def test_share_of_the_crops(pictures: Path) -> None:
    clean = PairFolder([pictures], scale=2, patch=12)
    none = PairFolder([pictures], scale=2, patch=12, degradation=Degradation(share=0))
    some = PairFolder([pictures], scale=2, patch=12, degradation=Degradation(share=1))
    key = {"size": 8, "seed": 1, "step": 5}
    assert all(torch.equal(a, b) for a, b in zip(clean.batch(**key), none.batch(**key), strict=True))
    low, high = some.batch(**key)
    assert low.shape == (8, 3, 12, 12)
    again = some.batch(**key)
    assert torch.equal(low, again[0])
    assert torch.equal(high, again[1])
    for small, large in zip(low, high, strict=True):  # of the same place, and not what the reduction alone gives
        reduced = imresize(large.permute(1, 2, 0).double().numpy(), scale=0.5)
        difference = error(small.permute(1, 2, 0).numpy(), reduced)
        assert 0.5 / 255 < difference < 40 / 255


def test_measured_after_jpeg(pictures: Path) -> None:
    def same(low: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.interpolate(low, scale_factor=2, mode="nearest")

    clean = evaluate(same, folder=pictures, scale=2)
    saved = evaluate(same, folder=pictures, scale=2, jpeg_quality=30)
    assert saved.folder == f"{clean.folder}, JPEG 30"
    assert saved.psnr < clean.psnr - 0.2
    assert saved.bicubic_psnr < clean.bicubic_psnr - 0.2


def test_settings_are_checked() -> None:
    recipe = find_recipe("ebsr_light_plus_fast_photo_x4")
    assert load_recipe(recipe).data.degradation.share == 0.5
    for wrong in ("data.degradation.quality=[95, 30]", "data.degradation.share=2", "data.validation_jpeg=0"):
        with pytest.raises(UsageError, match=wrong.partition("=")[0].rpartition(".")[2]):
            load_recipe(recipe, [wrong])
