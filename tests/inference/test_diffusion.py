"""The sampling loop over a step network: tiles without seams, seeds, steps, progress. The networks are stand-ins."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bitsr.common.errors import UsageError
from bitsr.inference.diffusion import DiffusionSession, tile_starts
from bitsr.inference.open import open_session
from bitsr.inference.session import Sampling, SamplingSession, SessionInfo
from bitsr.training.diffusion.process import DiffusionProcess, enlarge
from bitsr.training.models import create_model
from bitsr.training.models.diffusion import DiffusionModel, pad_to_multiple
from bitsr.training.weights import WeightsInfo, save_weights

pytest.importorskip("diffusers", reason="needs bitsr[diffusion]")
PROCESS = DiffusionProcess()


def pointwise(x: Tensor, timestep: Tensor) -> Tensor:
    """Noise that depends on a pixel and the timestep alone, so tiles must not change it."""
    return x[:, 3:] * 0.9 - x[:, :3] * (0.1 + timestep.float() / 4000)


def session(*, tile: int | None, steps: int = 4, seed: int = 0) -> DiffusionSession:
    info = SessionInfo("stand-in", 2, "eager", None, 0, True)
    sampling = Sampling(steps, seed)
    return DiffusionSession(pointwise, info, process=PROCESS, tile=tile, multiple=8, sampling=sampling)


def picture(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(5).random((1, 3, height, width), np.float32)


@given(length=st.integers(8, 300), tile=st.integers(8, 64))
def test_tiles_cover_every_pixel_and_share_a_part(length: int, tile: int) -> None:
    length = max(length, tile)
    starts = tile_starts(length, tile=tile)
    assert (starts[0], starts[-1] + tile) == (0, length)
    assert all(0 < b - a <= tile - tile // 4 + 1 for a, b in pairwise(starts))


@pytest.mark.parametrize("size", [(8, 8), (9, 13), (20, 8), (5, 3)])
def test_tiled_sampling_is_the_whole_one(size: tuple[int, int]) -> None:
    """Blending divides by the sum of the weights: a rounding in each step, below 1e-5 after four."""
    x = picture(*size)
    tiled = session(tile=16).run(x)
    assert tiled.shape == (1, 3, 2 * size[0], 2 * size[1])
    padded = [-(-2 * side // 8) * 8 for side in size]
    if [max(2 * side, 16) for side in size] == padded:  # the same padding, so the same noise
        np.testing.assert_allclose(tiled, session(tile=None).run(x), atol=1e-5)


def test_seed_and_steps_decide_the_picture() -> None:
    x = picture(8, 8)
    first = session(tile=16).run(x)
    np.testing.assert_array_equal(first, session(tile=16).run(x))
    assert np.abs(first - session(tile=16, seed=1).run(x)).max() > 0.01
    assert np.abs(first - session(tile=16, steps=5).run(x)).max() > 1e-4


def test_progress_and_impossible_steps() -> None:
    sampler = session(tile=16, steps=3)
    assert isinstance(sampler, SamplingSession)
    seen: list[tuple[int, int]] = []
    sampler.on_step = lambda done, total: seen.append((done, total))
    sampler.run(picture(8, 8))
    assert seen == [(1, 3), (2, 3), (3, 3)]
    with pytest.raises(UsageError, match="2001 sampling steps were asked for; the model has 1 to 2000"):
        session(tile=16, steps=2001)


def test_a_perfect_denoiser_gives_back_the_picture() -> None:
    """With the exact noise of x_t every step keeps the clean picture, in whatever number of steps."""
    clean = torch.rand(1, 3, 16, 16)

    def exact(x: Tensor, timestep: Tensor) -> Tensor:
        share = PROCESS.signal_share(timestep)
        return (x[:, 3:] - share.sqrt() * clean) / (1 - share).sqrt()

    info = SessionInfo("stand-in", 2, "eager", None, 0, True)
    for steps in (1, 7, 50):
        sampler = DiffusionSession(exact, info, process=PROCESS, tile=16, multiple=8, sampling=Sampling(steps, 3))
        # At t = 0 the noise is 0.1 % of x_t, which multiplies the rounding by 1000.
        np.testing.assert_allclose(sampler.run(picture(8, 8)), clean.numpy(), atol=1e-3)


def test_padding_reflects_even_tiny_pictures() -> None:
    x = torch.arange(3.0).reshape(1, 1, 1, 3)
    padded = pad_to_multiple(x, multiple=8)
    assert padded.shape == (1, 1, 8, 8)
    assert padded[0, 0, 5].tolist() == [0, 1, 2, 1, 0, 1, 2, 1]
    assert torch.equal(pad_to_multiple(padded, multiple=4), padded)


def test_the_condition_has_the_kernel_of_opencv() -> None:
    """Cubic with a = -0.75 at a quarter of a pixel: -27, 225, 67 and -9 parts of 256, and mirrored."""
    row = torch.zeros(1, 3, 8, 8)
    row[..., 4] = 1
    taps = enlarge(row, scale=2)[0, 0, 4] * 256
    expected = torch.tensor([0, 0, 0, 0, 0, -9, -27, 67, 225, 225, 67, -27, -9, 0, 0, 0.0])
    torch.testing.assert_close(taps, expected, atol=1e-3, rtol=0)


def test_sessions_of_a_weights_file(tmp_path: Path) -> None:
    torch.manual_seed(2)
    model = create_model("test_bidiffsr_x2").eval()
    assert isinstance(model, DiffusionModel)
    path = tmp_path / "weights.safetensors"
    save_weights(path, model.state_dict(), WeightsInfo(model="test_bidiffsr_x2"))
    opened = open_session(path, runtime="eager", sampling=Sampling(3, 1))
    assert opened.info.global_pooling
    x = picture(9, 8)
    with torch.no_grad():
        expected = model.upscale(torch.from_numpy(x), steps=3, seed=1)
    # The deploy form rounds otherwise; a flipped sign would be 1e-3 and more.
    np.testing.assert_allclose(opened.run(x), expected.numpy(), atol=1e-3)
    other = create_model("test_e2fif_x2")
    save_weights(path, other.state_dict(), WeightsInfo(model="test_e2fif_x2"))
    with pytest.raises(UsageError, match="no diffusion model, so it has no steps and no seed"):
        open_session(path, runtime="eager", sampling=Sampling(3, 1))
