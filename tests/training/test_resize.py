"""MATLAB's imresize: known values, properties, and the published bicubic figures."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from bitsr.common.pictures import list_pictures, read_picture
from bitsr.training.data import crop_to_multiple
from bitsr.training.resize import imresize


def test_known_weights() -> None:
    """An impulse reduced by 2 shows the stretched kernel, cubic(d / 2) / 2, at the distances 2.5, 0.5, 1.5, 3.5."""
    picture = np.zeros((24, 32))
    picture[:, 15] = 256.0
    expected = np.zeros(16)
    expected[6:10] = [-9, 111, 29, -3]
    assert np.allclose(imresize(picture, scale=0.5)[6], expected, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from([0.25, 1 / 3, 0.5, 2.0, 3.0, 4.0]))
def test_a_flat_picture_stays_flat(height: int, width: int, scale: float) -> None:
    flat = np.full((height, width, 3), 200, np.uint8)
    resized = imresize(flat, scale=scale)
    assert resized.dtype == np.uint8
    assert resized.shape == (int(np.ceil(scale * height - 1e-9)), int(np.ceil(scale * width - 1e-9)), 3)
    assert (resized == 200).all()


def test_enlarging_agrees_with_an_independent_bicubic_inside() -> None:
    """Keys' kernel with a = -0.5 is what torch's antialiased bicubic uses; borders are handled differently."""
    picture = np.random.default_rng(32).random((20, 24))
    for scale in (2, 3, 4):
        ours = imresize(picture, scale=scale)
        other = F.interpolate(
            torch.from_numpy(picture)[None, None], scale_factor=scale, mode="bicubic", antialias=True
        )[0, 0].numpy()
        inside = np.s_[3 * scale : -3 * scale, 3 * scale : -3 * scale]
        assert np.allclose(ours[inside], other[inside], atol=1e-6)


def test_reducing_agrees_with_an_independent_antialiased_bicubic_inside() -> None:
    picture = np.random.default_rng(33).random((60, 72))
    for scale in (2, 3, 4):
        ours = imresize(picture, scale=1 / scale)
        other = F.interpolate(torch.from_numpy(picture)[None, None], size=ours.shape, mode="bicubic", antialias=True)
        inside = np.s_[3:-3, 3:-3]
        assert np.allclose(ours[inside], other[0, 0].numpy()[inside], atol=1e-6)


def test_mirrored_borders_keep_symmetry() -> None:
    picture = np.random.default_rng(34).random((12, 18))
    for scale in (0.5, 1 / 3, 2.0):
        assert np.allclose(imresize(picture[::-1, ::-1], scale=scale), imresize(picture, scale=scale)[::-1, ::-1])


PUBLISHED = {"Set5": (33.66, 30.39, 28.42), "Set14": (30.24, 27.55, 26.00), "B100": (29.56, 27.21, 25.96)}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_bicubic_psnr(benchmarks: Path, name: str) -> None:
    """Every scale within 0.02 dB, by the original protocol: Y in 8 bit, reduced, enlarged, 8 bit again.

    "bridge" is a grey picture in Set14 and is its own luminance there.
    """
    weights = np.array([65.481, 128.553, 24.966]) / 255
    measured = []
    for scale in (2, 3, 4):
        values = []
        for path in list_pictures(benchmarks / name):
            rgb = crop_to_multiple(read_picture(path).rgb, scale=scale)
            luma = rgb[..., 1] if path.stem == "bridge" else np.floor(rgb @ weights + 16.5).astype(np.uint8)
            enlarged = imresize(imresize(luma, scale=1 / scale), scale=scale)
            error = (enlarged.astype(float) - luma)[scale:-scale, scale:-scale]
            values.append(10 * np.log10(255**2 / np.mean(error**2)))
        measured.append(float(np.mean(values)))
    assert measured == pytest.approx(PUBLISHED[name], abs=0.02)
