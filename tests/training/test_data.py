"""Folders of any pictures, crops that fit together, and an order that depends on (seed, step, rank) alone."""

import logging
import re
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from bitsr.common.errors import PictureError, UsageError
from bitsr.common.pictures import list_pictures, read_picture
from bitsr.training.data import PairFolder, batches
from bitsr.training.resize import imresize

MANY = 1 << 30


def folder_of(pictures: Path, *, cache_bytes: int = MANY, **options: str) -> PairFolder:
    return PairFolder([pictures], scale=2, patch=12, cache_bytes=cache_bytes, **options)


def test_batch_shapes_and_range(pictures: Path) -> None:
    low, high = folder_of(pictures).batch(size=5, seed=1, step=0)
    assert low.shape == (5, 3, 12, 12)
    assert high.shape == (5, 3, 24, 24)
    assert low.dtype == high.dtype == torch.float32
    assert 0 <= float(high.min()) <= float(high.max()) <= 1
    assert low.is_contiguous(memory_format=torch.channels_last)


def test_crops_show_the_same_place(pictures: Path) -> None:
    """Reducing the high crop gives the low crop, but for the crop's borders and 8-bit rounding."""
    low, high = folder_of(pictures).batch(size=16, seed=2, step=3)
    for small, large in zip(low, high, strict=True):
        reduced = np.clip(imresize(large.permute(1, 2, 0).double().numpy(), scale=0.5), 0, 1)
        error = np.abs(reduced - small.permute(1, 2, 0).numpy())[3:-3, 3:-3]
        assert error.max() < 0.51 / 255


def test_order_depends_on_seed_step_and_rank_alone(pictures: Path) -> None:
    data, cold = folder_of(pictures), folder_of(pictures, cache_bytes=0)
    expected = data.batch(size=4, seed=3, step=7, rank=1)
    for other in (data, cold):
        assert all(
            torch.equal(a, b) for a, b in zip(expected, other.batch(size=4, seed=3, step=7, rank=1), strict=True)
        )
    for key in (
        {"seed": 4, "step": 7, "rank": 1},
        {"seed": 3, "step": 8, "rank": 1},
        {"seed": 3, "step": 7, "rank": 0},
    ):
        assert not torch.equal(expected[0], data.batch(size=4, **key)[0])


def test_prepared_ahead_by_threads_in_order(pictures: Path) -> None:
    data = folder_of(pictures)
    feed = batches(data, size=2, seed=5, first_step=3, last_step=9, workers=3)
    got = list(feed)
    assert len(got) == 6
    for step, (low, _) in enumerate(got, start=3):
        assert torch.equal(low, data.batch(size=2, seed=5, step=step)[0])


def test_all_eight_symmetries_occur(tmp_path: Path) -> None:
    picture = np.random.default_rng(51).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(picture).save(tmp_path / "one.png")
    _, high = PairFolder([tmp_path], scale=2, patch=12, cache_bytes=MANY).batch(size=100, seed=6, step=0)
    assert len({crop.numpy().tobytes() for crop in high.contiguous()}) == 8


def test_cache_stays_below_its_limit(pictures: Path) -> None:
    one = folder_of(pictures).get(0)
    assert one is not None
    limited = folder_of(pictures, cache_bytes=one.nbytes)
    for index in range(len(limited)):
        limited.get(index)
    assert limited._cached_bytes <= one.nbytes
    assert len(limited._cache) == 1


def test_grey_transparent_palette_16_bit_and_turned_pictures(tmp_path: Path) -> None:
    ramp = np.linspace(0, 255, 30 * 40).reshape(30, 40).astype(np.uint8)
    Image.fromarray(ramp).save(tmp_path / "grey.png")
    Image.fromarray(ramp.astype(np.uint16) * 257).save(tmp_path / "grey16.png")
    Image.fromarray(np.dstack([ramp, ramp, ramp, np.maximum(255 - ramp, 1)])).save(tmp_path / "rgba.png")
    Image.fromarray(ramp).convert("P").save(tmp_path / "palette.gif")
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(ramp).convert("RGB").rotate(90, expand=True).save(
        tmp_path / "turned.webp", lossless=True, exif=exif
    )
    expected = np.repeat(ramp[..., None], 3, axis=2)
    found = list_pictures(tmp_path)
    assert len(found) == 5
    for path in found:
        assert np.array_equal(read_picture(path).rgb, expected), path.name


def test_broken_picture_is_named_and_skipped_or_refused(
    pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for path in pictures.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    whole = (tmp_path / "5.png").read_bytes()
    (tmp_path / "truncated.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.jpg").write_text("no picture")
    with caplog.at_level(logging.WARNING):
        data = PairFolder([tmp_path], scale=2, patch=12, cache_bytes=MANY)
        for step in range(20):
            data.batch(size=4, seed=7, step=step)
    named = [record.getMessage() for record in caplog.records]
    assert len(named) == 2
    assert "text.jpg" in named[0]
    assert "truncated.png" in named[1]
    with pytest.raises(PictureError, match=r"text\.jpg"):
        PairFolder([tmp_path], scale=2, patch=12, cache_bytes=MANY, on_broken="refuse")
    (tmp_path / "text.jpg").unlink()
    refusing = PairFolder([tmp_path], scale=2, patch=12, cache_bytes=MANY, on_broken="refuse")
    with pytest.raises(PictureError, match=r"truncated\.png"):
        refusing.batch(size=80, seed=7, step=0)


def test_missing_empty_and_too_small_folders(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no picture folder"):
        list_pictures(tmp_path / "missing")
    with pytest.raises(UsageError, match="there is no picture in"):
        list_pictures(tmp_path)
    with pytest.raises(UsageError, match="at least 200x200"):
        PairFolder([pictures], scale=2, patch=100, cache_bytes=0)
    assert PairFolder([pictures], scale=2, patch=22, cache_bytes=0).too_small > 0


@pytest.fixture
def cut_bodies(pictures: Path, tmp_path: Path) -> Path:
    """Pictures with a good header and half a body."""
    folder = tmp_path / "cut"
    folder.mkdir()
    for path in pictures.iterdir():
        whole = path.read_bytes()
        (folder / path.name).write_bytes(whole[: len(whole) // 2])
    return folder


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_folder_of_cut_bodies_is_one_error_that_names_them(cut_bodies: Path, workers: int) -> None:
    """Each thread that prepares a batch finds the end, not only the one that met the last whole-looking picture.

    In a process of its own, which a loop without an end would not leave.
    """
    program = f"""
from bitsr.common.errors import UsageError
from bitsr.training.data import PairFolder, batches

data = PairFolder([{str(cut_bodies)!r}], scale=2, patch=12, cache_bytes=0)
for _ in range(2):  # also when all of them are known to be broken
    try:
        list(batches(data, size=2, seed=0, first_step=0, last_step=5, workers={workers}))
    except UsageError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    lines = done.stdout.splitlines()
    assert len(lines) == 2
    for line in lines:
        assert re.search(r"none of the \d+ training pictures can be decoded.*0\.png.*give whole pictures", line)


def test_waiting_for_pictures_ends_when_asked(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, release = folder_of(pictures), threading.Event()
    monkeypatch.setattr(data, "get", lambda index: release.wait(30) and None)
    try:
        assert list(batches(data, size=1, seed=0, first_step=0, last_step=9, workers=2, stopped=lambda: True)) == []
    finally:
        monkeypatch.undo()
        release.set()
