"""Folders of any pictures, crops that fit together, and an order that depends on (seed, step, rank) alone."""

import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bitsr.common.errors import PictureError, UsageError
from bitsr.common.pictures import list_pictures, read_picture
from bitsr.training.data import PairFolder, batches, crop_to_multiple
from bitsr.training.published import originals
from bitsr.training.resize import imresize


def folder_of(pictures: Path, **options: Any) -> PairFolder:
    return PairFolder([pictures], scale=2, patch=12, **options)


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


def test_order_depends_on_seed_step_and_rank_alone(pictures: Path, tmp_path: Path) -> None:
    data, cold = folder_of(pictures), folder_of(pictures, cache=tmp_path)
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
    _, high = PairFolder([tmp_path], scale=2, patch=12).batch(size=100, seed=6, step=0)
    assert len({crop.numpy().tobytes() for crop in high.contiguous()}) == 8


def test_a_picture_is_decoded_once_and_again_when_it_changes(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bitsr.training import data as module

    own, cache = tmp_path / "own", tmp_path / "cache"
    shutil.copytree(pictures, own)
    decoded: list[str] = []
    monkeypatch.setattr(module, "read_picture", lambda path: decoded.append(path.name) or read_picture(path))
    first = folder_of(own, cache=cache)
    seen: list[tuple[float, float]] = []

    class Seen:
        def advance(self, done: float, total: float, text: str = "") -> None:
            seen.append((done, total))

    first.prepare(workers=2, progress=Seen())
    count = len(first)
    assert sorted(decoded) == sorted(path.name for path in first.paths)
    assert seen == [(done, count) for done in range(1, count + 1)]
    assert len(list(cache.iterdir())) == count
    again = folder_of(own, cache=cache)
    expected = first.batch(size=8, seed=0, step=0)
    assert all(torch.equal(a, b) for a, b in zip(expected, again.batch(size=8, seed=0, step=0), strict=True))
    assert len(decoded) == count
    assert isinstance(again.get(0).high, np.memmap)

    changed = first.paths[0]
    with Image.open(changed) as opened:
        picture = np.asarray(opened.convert("RGB"))
    Image.fromarray(255 - picture).save(changed)
    os.utime(changed, ns=(1, 1))  # a clock of coarse steps may give it the old time
    assert np.array_equal(folder_of(own, cache=cache).get(0).high, crop_to_multiple(255 - picture, scale=2))
    assert decoded[count:] == [changed.name]
    assert len(list(cache.iterdir())) == count  # the old file is gone

    entry = next(iter(cache.iterdir()))
    entry.write_bytes(entry.read_bytes()[:-1])  # as a full disk might leave it
    folder_of(own, cache=cache).prepare()
    assert len(decoded) == count + 2


def test_processes_share_the_decoding(pictures: Path, tmp_path: Path) -> None:
    data = folder_of(pictures, cache=tmp_path)
    data.prepare(share=(1, 3))
    assert len(list(tmp_path.iterdir())) == len(range(1, len(data), 3))
    data.prepare(share=(0, 1), stopped=lambda: True)  # ends at the first picture that has to be waited for


def _published(root: Path, *, scale: int = 2, name: str = "0001x2.png") -> tuple[Path, np.ndarray]:
    """A set as DIV2K's folders, of one original and a reduction that is not what we would make."""
    high = np.random.default_rng(3).integers(0, 256, (41, 60, 3), np.uint8)
    low = np.random.default_rng(4).integers(0, 256, (20, 30, 3), np.uint8)
    for folder, file, pixels in (("DIV2K_train_HR", "0001.png", high), (f"DIV2K_train_LR_bicubic/X{scale}", name, low)):
        (root / folder).mkdir(parents=True)
        Image.fromarray(pixels).save(root / folder / file)
    return root / "DIV2K_train_HR", low


@pytest.mark.parametrize("name", ["0001x2.png", "0001.png"])
def test_published_reductions_beside_the_originals_are_used(name: str, tmp_path: Path) -> None:
    folder, low = _published(tmp_path / "DIV2K", name=name)
    for given in (folder, folder.parent):
        pair = folder_of(given).get(0)
        assert np.array_equal(pair.low, low)
        assert pair.high.shape == (40, 60, 3)
    made = folder_of(folder, low="made").get(0)
    assert np.array_equal(made.low, imresize(np.asarray(pair.high), scale=0.5))
    # Of another scale nothing is published here.
    assert PairFolder([folder], scale=4, patch=5).get(0).low.shape == (10, 15, 3)


def test_incomplete_and_wrong_sets(tmp_path: Path) -> None:
    folder, _ = _published(tmp_path / "a", name="0002x2.png")
    with pytest.raises(UsageError, match=r"there is no 0001x2\.png in .*X2 for .*0001\.png; complete .*data\.low=made"):
        folder_of(folder)
    folder, _ = _published(tmp_path / "b")
    Image.new("RGB", (20, 20)).save(folder.parent / "DIV2K_train_LR_bicubic" / "X2" / "0001x2.png")
    with pytest.raises(PictureError, match="has 20x20 pixels, expected 30x20"):
        folder_of(folder, on_broken="refuse").get(0)
    (folder.parent / "DIV2K_valid_HR").mkdir()
    with pytest.raises(UsageError, match=r"several folders of originals .*DIV2K_train_HR, DIV2K_valid_HR"):
        folder_of(folder.parent)


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
        data = PairFolder([tmp_path], scale=2, patch=12)
        for step in range(20):
            data.batch(size=4, seed=7, step=step)
    named = [record.getMessage() for record in caplog.records]
    assert len(named) == 2
    assert "text.jpg" in named[0]
    assert "truncated.png" in named[1]
    with pytest.raises(PictureError, match=r"text\.jpg"):
        PairFolder([tmp_path], scale=2, patch=12, on_broken="refuse")
    (tmp_path / "text.jpg").unlink()
    refusing = PairFolder([tmp_path], scale=2, patch=12, on_broken="refuse")
    with pytest.raises(PictureError, match=r"truncated\.png"):
        refusing.batch(size=80, seed=7, step=0)


def test_missing_empty_and_too_small_folders(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no picture folder"):
        list_pictures(tmp_path / "missing")
    with pytest.raises(UsageError, match="there is no picture in"):
        list_pictures(tmp_path)
    with pytest.raises(UsageError, match="at least 200x200"):
        PairFolder([pictures], scale=2, patch=100)
    assert PairFolder([pictures], scale=2, patch=22).too_small > 0


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
from bitsr.training.data import PairFolder, batches, crop_to_multiple

data = PairFolder([{str(cut_bodies)!r}], scale=2, patch=12)
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


def test_a_cache_that_can_not_be_written_costs_time_alone(
    pictures: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    data = folder_of(pictures, cache=tmp_path / "file" / "cache")
    data.prepare(workers=2)
    low, _ = data.batch(size=2, seed=0, step=0)
    assert torch.equal(low, folder_of(pictures).batch(size=2, seed=0, step=0)[0])
    assert sum("are decoded anew" in record.getMessage() for record in caplog.records) == 1


def test_other_files_in_the_folder_of_a_set(tmp_path: Path) -> None:
    (tmp_path / "DIV2K" / "DIV2K_train_HR").mkdir(parents=True)
    (tmp_path / "DIV2K" / "DIV2K_train_HR.zip").write_bytes(b"")
    assert originals(tmp_path / "DIV2K") == tmp_path / "DIV2K" / "DIV2K_train_HR"
