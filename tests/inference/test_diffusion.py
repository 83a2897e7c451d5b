"""The sampling loop over a step network: tiles without seams, seeds, steps, progress. The networks are stand-ins."""

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bitsr.artifact.fields import ProblemError
from bitsr.artifact.formats import FORMATS
from bitsr.artifact.info import ArtifactFacts, DiffusionFacts, SizeRules
from bitsr.artifact.weights import WeightsInfo
from bitsr.common.errors import UsageError
from bitsr.inference.diffusion import DiffusionSession
from bitsr.inference.load import load
from bitsr.inference.session import SamplingSession
from bitsr.inference.session_info import Sampling, SessionInfo
from bitsr.training.diffusion.noise_schedule import NoiseSchedule, upsample_bicubic
from bitsr.training.diffusion.tiled import reflect_to, sample_picture, tile_starts
from bitsr.training.models import create_model
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.training.weights import save_weights

pytest.importorskip("diffusers", reason="needs bitsr[diffusion]")
SCHEDULE = NoiseSchedule()


def pointwise(x: Tensor, timestep: Tensor) -> Tensor:
    """Noise that depends on a pixel and the timestep alone, so tiles must not change it."""
    return x[:, 3:] * 0.9 - x[:, :3] * (0.1 + timestep.float() / 4000)


def session(*, tile: int, steps: int = 4, seed: int = 0) -> DiffusionSession:
    info = SessionInfo("stand-in", 2, "eager", None, 0, True)
    return DiffusionSession(pointwise, info, noise_schedule=SCHEDULE, tile=tile, sampling=Sampling(steps, seed))


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(5).random((1, 3, height, width), np.float32)


@given(length=st.integers(8, 300), tile=st.integers(8, 64))
def test_tiles_cover_every_pixel_and_share_a_part(length: int, tile: int) -> None:
    length = max(length, tile)
    starts = tile_starts(length, tile=tile)
    assert (starts[0], starts[-1] + tile) == (0, length)
    assert all(0 < b - a <= tile - tile // 4 + 1 for a, b in pairwise(starts))


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (20, 8), (5, 3)])
def test_the_picture_does_not_depend_on_the_tiles(size: tuple[int, int]) -> None:
    """Neither on their size nor on what is filled up: the noise is the picture's.

    Blending divides by the sum of the weights: a rounding in each step, below 1e-5 after four.
    """
    x = picture(*size)
    whole = session(tile=64).run(x)  # larger than any of them
    assert whole.shape == (1, 3, 2 * size[0], 2 * size[1])
    for tile in (6, 16, 40):
        np.testing.assert_allclose(session(tile=tile).run(x), whole, atol=1e-5)


def test_seed_and_steps_decide_the_picture() -> None:
    x = picture(8, 8)
    first = session(tile=16).run(x)
    np.testing.assert_array_equal(first, session(tile=16).run(x))
    assert np.abs(first - session(tile=16, seed=1).run(x)).max() > 0.01
    assert np.abs(first - session(tile=16, steps=5).run(x)).max() > 1e-4


def test_progress_and_impossible_steps() -> None:
    sampler = session(tile=16, steps=3)
    assert isinstance(sampler, SamplingSession)
    seen: list[tuple[float, float]] = []

    class Steps:
        def advance(self, done: float, total: float, text: str = "") -> None:
            seen.append((done, total))

    sampler.on_step = Steps()
    sampler.run(picture(8, 8))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(UsageError, match="2001 sampling steps were asked for; the model has 1 to 2000"):
        session(tile=16, steps=2001)


def test_a_perfect_denoiser_gives_back_the_picture() -> None:
    """With the exact noise of x_t every step keeps the clean picture, in whatever number of steps."""
    clean = torch.rand(1, 3, 16, 16)

    def exact(x: Tensor, timestep: Tensor) -> Tensor:
        share = SCHEDULE.alphas_cumprod(timestep)
        return (x[:, 3:] - share.sqrt() * clean) / (1 - share).sqrt()

    info = SessionInfo("stand-in", 2, "eager", None, 0, True)
    for steps in (1, 7, 50):
        sampling = Sampling(steps, 3)
        sampler = DiffusionSession(exact, info, noise_schedule=SCHEDULE, tile=16, sampling=sampling)
        # At t = 0 the noise is 0.1 % of x_t, which multiplies the rounding by 1000.
        np.testing.assert_allclose(sampler.run(picture(8, 8)), clean.numpy(), atol=1e-3)


def test_padding_reflects_even_tiny_pictures() -> None:
    x = torch.arange(3.0).reshape(1, 1, 1, 3)
    padded = reflect_to(x, least=8)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 5].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert torch.equal(reflect_to(padded, least=4), padded)


def test_the_condition_has_the_kernel_of_opencv() -> None:
    """Cubic with a = -0.75 at a quarter of a pixel: -27, 225, 67 and -9 parts of 256, and mirrored."""
    row = torch.zeros(1, 3, 8, 8)
    row[..., 4] = 1
    taps = upsample_bicubic(row, scale=2)[0, 0, 4] * 256
    expected = torch.tensor([0, 0, 0, 0, 0, -9, -27, 67, 225, 225, 67, -27, -9, 0, 0, 0.0])
    torch.testing.assert_close(taps, expected, atol=1e-3, rtol=0)


def test_sessions_of_a_weights_file(tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = create_model("test_bidiffsr_x2").eval()
    assert isinstance(model, DiffusionModel)
    path = tmp_path / "weights.safetensors"
    save_weights(path, model.state_dict(), WeightsInfo(model="test_bidiffsr_x2"))
    opened = load(path, runtime="eager", sampling=Sampling(3, 1))
    assert opened.info.global_pooling
    x = picture(9, 8)
    with torch.no_grad():
        expected = model.upscale(torch.from_numpy(x), steps=3, seed=1)
    # The deploy form rounds otherwise; a flipped sign would be 1e-3 and more.
    np.testing.assert_allclose(opened.run(x), expected.numpy(), atol=1e-3)
    # The evaluation of the training form and every session run the same tiles: one size, and its noise.
    tile = model.sizes.min_side * model.scale
    seen: set[tuple[int, ...]] = set()

    def look(y: Tensor, timestep: Tensor) -> Tensor:
        seen.add(tuple(y.shape))
        return model(y, timestep)

    again = sample_picture(
        look, torch.from_numpy(x), scale=2, tile=tile, noise_schedule=model.noise_schedule, steps=3, seed=1
    )
    assert torch.equal(again, expected)
    assert seen == {(1, 6, tile, tile)}
    other = create_model("test_e2fif_x2")
    save_weights(path, other.state_dict(), WeightsInfo(model="test_e2fif_x2"))
    with pytest.raises(UsageError, match="no diffusion model, so it has no steps and no seed"):
        load(path, runtime="eager", sampling=Sampling(3, 1))


def test_no_tile_of_the_eager_session_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Attention takes the square of a tile: a picture of 65 x 200 pixels is sampled in tiles of 64 x 64."""
    torch.manual_seed(2)
    model = create_model("test_bidiffsr_x2").eval()
    assert isinstance(model, DiffusionModel)
    shapes: set[tuple[int, ...]] = set()

    def look(self: DiffusionSession, x: Tensor, timestep: Tensor) -> Tensor:
        shapes.add(tuple(x.shape))
        return pointwise(x, timestep)

    opened = DiffusionSession.of_model(model, sampling=Sampling(2, 1))
    monkeypatch.setattr(opened, "_network", look.__get__(opened))
    assert opened.run(picture(65, 200)).shape == (1, 3, 130, 400)
    assert shapes == {(1, 6, 128, 128)}
    # What the network itself takes does not grow with the picture.
    assert opened.info.fixed_bytes >= 64 * 64 * 4 * model.info.channels


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"value_range": (-1.0, 1.0)}, "values: -1 to 1"),
        ({"in_channels": 3}, "maps 3 channels to 3"),
        ({"out_channels": 6}, "maps 6 channels to 6"),
        ({"channel_order": "any"}, "order: any"),
    ],
    ids=["range", "in", "out", "order"],
)
def test_a_step_of_another_form_is_refused(change: dict[str, Any], words: str, tmp_path: Path) -> None:
    facts: dict[str, Any] = {
        "model": "toy_x2",
        "scale": 2,
        "in_channels": 6,
        "out_channels": 3,
        "sizes": SizeRules(min_side=8, max_pixels=64, multiple=8),
        "bytes_per_pixel": 0,
        "receptive_field_radius": 4,
        "global_pooling": True,
        "diffusion": DiffusionFacts(timesteps=2000, beta_start=1e-6, beta_end=1e-2),
        "weights_sha256": "0" * 64,
        "blob_version": 1,
        "versions": {},
    }
    path = tmp_path / "toy.pte"
    FORMATS["pte"].write(b"never loaded", path, ArtifactFacts(**{**facts, **change}))
    with pytest.raises(UsageError, match=words):
        load(path)


def test_a_process_has_a_limit_of_timesteps() -> None:
    facts = {"beta_start": 1e-6, "beta_end": 1e-2}
    assert DiffusionFacts(timesteps=100_000, **facts).timesteps == 100_000
    with pytest.raises(ProblemError, match="timesteps is 100001, expected a whole number from 1 to 100000"):
        DiffusionFacts(timesteps=100_001, **facts)
