"""Pictures, files and folders through a session; what can go wrong, and what is left behind then."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from bitsr.common import memory
from bitsr.common.errors import BitsrError, PictureError, UsageError
from bitsr.common.pictures import Metadata, Picture, read_picture, write_picture
from bitsr.inference import upscale
from bitsr.inference.plan import default_target, plan_file, plan_folder
from bitsr.inference.session_info import SessionInfo
from bitsr.inference.tiled import to_8bit, upscale_pixels
from bitsr.inference.upscale import upscale_file, upscale_rows


class LocalSession:
    """Nearest-neighbour enlargement after a blur over 5x5 pixels: a local network of radius 2."""

    def __init__(self, *, scale: int = 2, max_pixels: int | None = None) -> None:
        self.info = SessionInfo("local", scale, "eager", max_pixels, 2, False)
        self.calls: list[tuple[int, int]] = []

    def run(self, x: np.ndarray) -> np.ndarray:
        self.calls.append(x.shape[2:])
        blurred = F.avg_pool2d(torch.from_numpy(x), 5, stride=1, padding=2)
        return F.interpolate(blurred, scale_factor=self.info.scale).numpy()


class Seen:
    """Progress that remembers what it was told."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float]] = []

    def advance(self, done: float, total: float, text: str = "") -> None:
        self.told.append((done, total))


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 40), (40, 1), (7, 5), (33, 64)])
def test_tiled_equals_whole(height: int, width: int) -> None:
    rgb = noise(height, width)
    seen = Seen()
    whole = upscale_pixels(LocalSession(), rgb)
    tiled = upscale_pixels(LocalSession(max_pixels=100), rgb, progress=seen)
    assert whole.shape == (2 * height, 2 * width, 3)
    # Sums of 25 float32 values in another order may fall on the other side of a rounding limit.
    assert np.abs(tiled.astype(int) - whole).max() <= 1
    assert seen.told == sorted(seen.told)
    assert seen.told[-1] == (height * width, height * width)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (3, 8), (5, 13)])
def test_sizes_that_the_network_does_not_take_are_filled_and_cut_off(height: int, width: int) -> None:
    session = LocalSession()
    session.info = replace(session.info, min_side=6, multiple=4)
    assert upscale_pixels(session, noise(height, width)).shape == (2 * height, 2 * width, 3)
    assert session.calls == [(-(-max(height, 6) // 4) * 4, -(-max(width, 6) // 4) * 4)]


@pytest.mark.parametrize(("height", "width"), [(1, 1), (16, 16), (9, 70), (33, 20)])
def test_a_network_of_one_size_gets_no_other(height: int, width: int) -> None:
    session = LocalSession(max_pixels=256)
    session.info = replace(session.info, min_side=16, multiple=16, fixed_side=16)
    assert upscale_pixels(session, noise(height, width)).shape == (2 * height, 2 * width, 3)
    assert set(session.calls) == {(16, 16)}


def test_the_session_limit_holds() -> None:
    session = LocalSession(max_pixels=64)
    upscale_pixels(session, noise(50, 50))
    assert max(height * width for height, width in session.calls) <= 64


def test_rounding_is_that_of_the_evaluation() -> None:
    from bitsr.training.metrics import to_8bit as reference

    values = np.linspace(-0.2, 1.2, 3 * 2001, dtype=np.float32).reshape(3, 1, 2001)
    expected = reference(torch.from_numpy(values)).numpy().transpose(1, 2, 0)
    assert np.array_equal(to_8bit(values), expected)


def test_a_file_keeps_alpha_grey_and_metadata(tmp_path: Path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    rgb = np.repeat(noise(6, 9)[..., :1], 3, axis=2)
    alpha = np.full((6, 9), 255, np.uint8)
    alpha[:, :4] = 0
    metadata = Metadata(dpi=(300.0, 300.0))
    write_picture(source, Picture(rgb, alpha, grey=True, metadata=metadata))
    result = upscale_file(LocalSession(scale=3), plan_file(source, target).jobs[0])
    assert (result.size, result.result_size) == ((9, 6), (27, 18))
    back = read_picture(target)
    assert (back.width, back.height, back.grey, back.metadata) == (27, 18, True, metadata)
    assert back.alpha is not None
    assert (back.alpha[:, 0] == 0).all()
    assert (back.alpha[:, -1] == 255).all()


def test_transparency_into_jpeg_is_refused_and_nothing_is_left(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", Picture(noise(4, 4), np.zeros((4, 4), np.uint8)))
    session = LocalSession()
    with pytest.raises(UsageError, match="transparency"):
        upscale_file(session, plan_file(tmp_path / "a.png", tmp_path / "b.jpg").jobs[0])
    assert session.calls == []
    assert os.listdir(tmp_path) == ["a.png"]


def test_an_existing_output_stays_unless_asked(tmp_path: Path) -> None:
    source, target = tmp_path / "a.png", tmp_path / "b.png"
    write_picture(source, Picture(noise(4, 4)))
    target.write_bytes(b"precious")
    with pytest.raises(UsageError, match=r"b\.png exists.*--overwrite"):
        plan_file(source, target)
    assert plan_file(source, target, existing="skip").skipped == [target]
    assert target.read_bytes() == b"precious"
    upscale_file(LocalSession(), plan_file(source, target, existing="overwrite").jobs[0])
    assert read_picture(target).width == 8


def test_the_input_is_never_the_output(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", Picture(noise(4, 4)))
    with pytest.raises(UsageError, match="is the input"):
        plan_file(tmp_path / "a.png", tmp_path / "." / "a.png", existing="overwrite")


def test_outputs_that_cannot_be_written_are_refused_first(tmp_path: Path) -> None:
    write_picture(tmp_path / "a.png", Picture(noise(4, 4)))
    with pytest.raises(UsageError, match="does not exist"):
        plan_file(tmp_path / "a.png", tmp_path / "none" / "b.png")
    with pytest.raises(UsageError, match="is a folder"):
        plan_file(tmp_path / "a.png", tmp_path)
    with pytest.raises(UsageError, match=r"\.xyz"):
        plan_file(tmp_path / "a.png", tmp_path / "b.xyz")


def test_an_interruption_leaves_no_half_file(tmp_path: Path) -> None:
    class Interrupted(LocalSession):
        def run(self, x: np.ndarray) -> np.ndarray:
            if len(self.calls) == 2:
                raise KeyboardInterrupt
            return super().run(x)

    write_picture(tmp_path / "a.png", Picture(noise(40, 40)))
    (tmp_path / "b.png").write_bytes(b"old")
    (job,) = plan_file(tmp_path / "a.png", tmp_path / "b.png", existing="overwrite").jobs
    with pytest.raises(KeyboardInterrupt):
        upscale_file(Interrupted(max_pixels=100), job)
    assert (tmp_path / "b.png").read_bytes() == b"old"
    assert sorted(os.listdir(tmp_path)) == ["a.png", "b.png"]


def test_a_picture_larger_than_memory_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_picture(tmp_path / "a.png", Picture(noise(400, 300)))
    monkeypatch.setattr(upscale, "available_memory", lambda: 2**20)
    (job,) = plan_file(tmp_path / "a.png", tmp_path / "b.png").jobs
    session = LocalSession()
    with pytest.raises(BitsrError, match=r"300x400.*GiB are free; use a smaller --tile"):
        upscale_file(session, job)
    assert session.calls == []
    assert os.listdir(tmp_path) == ["a.png"]


def needed_memory(tmp_path: Path, name: str, *, tile_pixels: int, **facts: int) -> float:
    """What the refusal says, in GiB, for 4000x3000 pixels enlarged by 2."""
    if not (tmp_path / "a.png").exists():
        Image.new("L", (4000, 3000)).save(tmp_path / "a.png")
    session = LocalSession()
    session.info = replace(session.info, **facts)
    (job,) = plan_file(tmp_path / "a.png", tmp_path / name).jobs
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(upscale, "available_memory", lambda: 0)
        with pytest.raises(BitsrError) as caught:
            upscale_file(session, job, tile_pixels=tile_pixels)
    return float(str(caught.value).split("needs about ")[1].split()[0])


def test_needed_memory_follows_tile_width_and_format(tmp_path: Path) -> None:
    # 16 KiB for each pixel of a tile of 1024x1024, 512x512; what the picture itself takes is far less.
    assert needed_memory(tmp_path, "b.png", tile_pixels=1024**2, bytes_per_pixel=16384) == pytest.approx(16, abs=0.5)
    assert needed_memory(tmp_path, "b.png", tile_pixels=512**2, bytes_per_pixel=16384) == pytest.approx(4, abs=0.5)
    assert needed_memory(tmp_path, "b.png", tile_pixels=512**2, bytes_per_pixel=1024) < 1
    # 48 million pixels of 4 bytes where the format needs the whole enlargement.
    assert needed_memory(tmp_path, "b.tif", tile_pixels=128**2) == pytest.approx(
        0.18 + needed_memory(tmp_path, "b.png", tile_pixels=128**2), abs=0.1
    )


def test_rows_are_those_of_the_whole(tmp_path: Path) -> None:
    """Grey, transparency and tiles: the parts put together are the enlargement of the whole."""
    alpha = noise(50, 30, seed=1)[..., 0]
    picture = Picture(noise(50, 30), alpha)
    session = LocalSession(scale=3, max_pixels=200)
    parts = list(upscale_rows(session, picture))
    assert len(parts) > 3
    whole = np.concatenate(parts)
    assert np.array_equal(whole[..., :3], upscale_pixels(session, picture.rgb))
    assert np.array_equal(whole[..., 3], np.asarray(Image.fromarray(alpha).resize((90, 150), Image.Resampling.BICUBIC)))
    grey = np.concatenate(list(upscale_rows(session, replace(picture, alpha=None, grey=True))))
    assert np.array_equal(grey[..., 0], np.asarray(Image.fromarray(whole[..., :3]).convert("L")))


def test_values_that_are_no_numbers_are_refused(tmp_path: Path) -> None:
    class Broken(LocalSession):
        def run(self, x: np.ndarray) -> np.ndarray:
            return super().run(x) * np.float32("nan")

    write_picture(tmp_path / "a.png", Picture(noise(4, 4)))
    (job,) = plan_file(tmp_path / "a.png", tmp_path / "b.png").jobs
    with pytest.raises(BitsrError, match="not numbers"):
        upscale_file(Broken(), job)
    assert os.listdir(tmp_path) == ["a.png"]


def test_available_memory_heeds_the_control_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = memory.available_memory()
    assert 2**20 < free < 2**50
    monkeypatch.setattr(memory, "_CONTROL_GROUP", tmp_path)
    (tmp_path / "memory.max").write_text("5000\n")
    (tmp_path / "memory.current").write_text("4500\n")
    (tmp_path / "memory.stat").write_text("anon 4000\ninactive_file 300\nactive_file 100\n")
    assert memory.available_memory() == 900
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.available_memory() > 2**20


def test_a_folder_names_the_broken_picture_and_does_the_others(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    write_picture(source / "a.jpg", Picture(noise(4, 4)))
    write_picture(source / "b.png", Picture(noise(5, 4)))
    (source / "c.png").write_bytes(b"")
    (source / "notes.txt").write_text("no picture")
    plan = plan_folder(source, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    (tmp_path / "out").mkdir()
    assert [job.target.name for job in plan.jobs] == ["a.png", "b.png"]
    assert plan.pixels == 36
    ((broken, error),) = plan.failures
    assert broken.name == "c.png"
    assert isinstance(error, PictureError)
    for job in plan.jobs:
        upscale_file(LocalSession(), job)
    assert sorted(os.listdir(tmp_path / "out")) == ["a.png", "b.png"]
    assert plan_folder(source, tmp_path / "out", existing="skip").jobs == []


def test_folders_that_make_no_sense(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    with pytest.raises(UsageError, match="no picture"):
        plan_folder(source, tmp_path / "out")
    write_picture(source / "a.png", Picture(noise(4, 4)))
    with pytest.raises(UsageError, match="names no format"):
        plan_folder(source, tmp_path / "out", extension=".gif")
    (tmp_path / "file").touch()
    with pytest.raises(UsageError, match="is a file"):
        plan_folder(source, tmp_path / "file")


def targets(source: Path, target: Path, **options: object) -> dict[str, str]:
    """Names of pictures and of their results."""
    return {job.source.name: job.target.name for job in plan_folder(source, target, **options).jobs}


def test_results_have_names_of_their_own(tmp_path: Path) -> None:
    source = tmp_path / "in"
    source.mkdir()
    for name in ("a.png", "a.bmp", "B.jpg", "b.png", "c.jpg"):
        write_picture(source / name, Picture(noise(4, 4)))
    expected = {
        "a.png": "a.png.png",
        "a.bmp": "a.bmp.png",
        "B.jpg": "B.jpg.png",
        "b.png": "b.png.png",
        "c.jpg": "c.png",
    }
    assert targets(source, tmp_path / "out", scale=4) == expected
    # In the folder of the pictures none of them is replaced, and their results are no pictures to upscale.
    for _ in range(2):
        found = targets(source, source, scale=2, existing="overwrite")
        assert set(found) == {"a.png", "a.bmp", "B.jpg", "b.png", "c.jpg"}
        assert not set(found.values()) & set(found)
        for job in plan_folder(source, source, scale=2, existing="overwrite").jobs:
            upscale_file(LocalSession(), job)
    assert len(os.listdir(source)) == 10


def test_default_names(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    assert default_target(tmp_path / "a.b.jpg", scale=3) == tmp_path / "a.b_x3.png"
    assert default_target(tmp_path / "a.jpg", scale=None, extension=".webp") == tmp_path / "a_upscaled.webp"
    assert default_target(tmp_path / "photos", scale=4) == tmp_path / "photos_x4"
    assert len(default_target(tmp_path / ("ü" * 125 + ".jpg"), scale=4).name.encode()) <= 255
