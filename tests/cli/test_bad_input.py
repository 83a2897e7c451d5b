"""Whatever is wrong with a request: one error line, exit code 2 (usage) or 1 (failure), and nothing lost."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitsr.artifact.weights import WeightsInfo
from bitsr.inference import upscale
from bitsr.training.models import create_model
from bitsr.training.weights import save_weights

from .conftest import Outcome

Bitsr = Callable[..., Outcome]


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "picture.png"
    Image.new("RGB", (9, 7), "teal").save(path)
    return path


def eager(weights: Path, source: Path, target: Path, *more: object) -> list[object]:
    return ["upscale", "-i", source, "-o", target, "-m", weights, "--runtime", "eager", *more]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["frobnicate"], "frobnicate"),
        (["upscale", ""], "it is empty; expected a file or folder"),
        (["summary", "ebsr_light_x2", "--size", "1x3x999999999x999999999"], "is too large to be counted"),
        (["upscale"], "there is no input"),
        (["upscale", "a.png", "-i", "b.png"], "named twice"),
        (["upscale", ".", "b.png", "-o", "c.png"], "the output is named twice"),
        (["upscale", "--bogus"], "--bogus"),
        (["upscale", "-i", "none.png", "-o", "out.png"], "no file or folder none.png"),
        (["summary", "ebsr_ligth_x4"], "did you mean ebsr_light_x4"),
        (["export", "ebsr_ligth_x4", "-o", "out"], "did you mean ebsr_light_x4"),
        (["evaluate", "ebsr_ligth_x4", "--images", "."], "did you mean ebsr_light_x4"),
        (["train", "ebsr_light_x5"], "did you mean ebsr_light_x4"),
        (["train", "ebsr_light_x4", "optimiser.lr=1"], "did you mean 'optimizer'"),
        (["train", "ebsr_light_x4", "steps=many"], "steps"),
        (["models", "nothing*"], "nothing*"),
        (["bench", "--threads", "one"], "one"),
        (["bench", "--threads", "1,0"], "'1,0' has a number below 1"),
    ],
)
def test_wrong_requests(
    bitsr: Bitsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], expected: str
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = bitsr(*arguments)
    assert outcome.code == 2
    assert expected in outcome.error
    assert os.listdir(tmp_path) == []


def test_a_benchmark_refuses_its_output_before_it_measures(bitsr: Bitsr, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("kept")
    (tmp_path / "taken" / "results.json").mkdir(parents=True)
    for folder in (tmp_path / "file", tmp_path / "taken"):
        outcome = bitsr("bench", "--output", folder)
        assert outcome.code in (1, 2)
        assert str(folder) in outcome.error
        assert "thread" not in outcome.err
    assert (tmp_path / "file").read_text() == "kept"
    assert os.listdir(tmp_path / "taken") == ["results.json"]


@pytest.mark.parametrize(("content", "name"), [(b"", "empty.png"), (b"\x89PNG\r\n\x1a\n broken", "broken.png")])
def test_pictures_that_are_none(bitsr: Bitsr, tmp_path: Path, weights: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    outcome = bitsr(*eager(weights, tmp_path / name, tmp_path / "out.png"))
    assert outcome.code == 1
    assert name in outcome.error
    assert os.listdir(tmp_path) == [name]


def test_a_truncated_picture(bitsr: Bitsr, tmp_path: Path, weights: Path, photo: Path) -> None:
    (tmp_path / "cut.png").write_bytes(photo.read_bytes()[:50_000])
    outcome = bitsr(*eager(weights, tmp_path / "cut.png", tmp_path / "out.png"))
    assert outcome.code == 1
    assert "cut.png is broken" in outcome.error
    assert os.listdir(tmp_path) == ["cut.png"]


def test_a_folder_without_pictures(bitsr: Bitsr, tmp_path: Path, weights: Path) -> None:
    (tmp_path / "in").mkdir()
    outcome = bitsr(*eager(weights, tmp_path / "in", tmp_path / "out"))
    assert outcome.code == 2
    assert "no picture" in outcome.error


def test_a_recipe_with_a_wrong_key(bitsr: Bitsr, tmp_path: Path) -> None:
    (tmp_path / "recipe.yaml").write_text("model: ebsr_light_x4\nsteps: 5\nbatchsize: 3\n")
    outcome = bitsr("train", tmp_path / "recipe.yaml", "--run-dir", tmp_path / "run")
    assert outcome.code == 2
    assert "did you mean 'batch_size'" in outcome.error
    assert not (tmp_path / "run").exists()


def test_weights_of_another_scale(bitsr: Bitsr, picture: Path, tmp_path: Path, weights: Path) -> None:
    for runtime in ("eager", "pte"):
        outcome = bitsr(
            "upscale", "-i", picture, "-o", tmp_path / "o.png", "-m", weights, "--scale", 4, "--runtime", runtime
        )
        assert outcome.code == 2
        assert "x2 model" in outcome.error


def test_weights_that_do_not_fit_their_model(bitsr: Bitsr, picture: Path, tmp_path: Path) -> None:
    path = tmp_path / "mixed.safetensors"
    save_weights(path, create_model("test_ebsr_plus_x2").state_dict(), WeightsInfo(model="test_ebsr_plus_x3"))
    outcome = bitsr(*eager(path, picture, tmp_path / "out.png"))
    assert outcome.code == 1
    assert "do not fit 'test_ebsr_plus_x3'" in outcome.error


def test_broken_and_missing_weights(bitsr: Bitsr, picture: Path, tmp_path: Path, weights: Path) -> None:
    (tmp_path / "cut.safetensors").write_bytes(weights.read_bytes()[:1000])
    for name in ("cut.safetensors", "none.safetensors"):
        outcome = bitsr(*eager(tmp_path / name, picture, tmp_path / "out.png"))
        assert outcome.code == 1
        assert name in outcome.error


def test_an_output_that_exists_stays(bitsr: Bitsr, picture: Path, tmp_path: Path, weights: Path) -> None:
    (tmp_path / "out.png").write_bytes(b"precious")
    outcome = bitsr(*eager(weights, picture, tmp_path / "out.png"))
    assert outcome.code == 2
    assert "--overwrite" in outcome.error
    assert (tmp_path / "out.png").read_bytes() == b"precious"
    assert bitsr(*eager(weights, picture, tmp_path / "out.png", "--overwrite")).code == 0


def test_outputs_that_cannot_be_written(bitsr: Bitsr, picture: Path, tmp_path: Path, weights: Path) -> None:
    outcome = bitsr(*eager(weights, picture, tmp_path / "none" / "out.png"))
    assert (outcome.code, "does not exist" in outcome.error) == (2, True)
    outcome = bitsr(*eager(weights, picture, Path("/proc/out.png")))
    assert (outcome.code, "/proc/out.png" in outcome.error) == (1, True)
    outcome = bitsr(*eager(weights, picture, tmp_path / "out.docx"))
    assert (outcome.code, ".docx" in outcome.error) == (2, True)


def test_the_output_is_checked_before_a_network_is_loaded(
    bitsr: Bitsr, picture: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise AssertionError("a network was loaded")

    monkeypatch.setattr("bitsr.inference.load.load", fail)
    monkeypatch.setattr("bitsr.training.weights.load_model", fail)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(picture.read_bytes())
    (tmp_path / "old.png").touch()
    for source, target, expected in (
        (picture, tmp_path / "none" / "out.png", "does not exist"),
        (picture, tmp_path / "old.png", "--overwrite"),
        (picture, picture, "is the input"),
        (tmp_path / "in", tmp_path / "old.png" / "out", "is no folder"),
    ):
        outcome = bitsr(*eager(weights, source, target))
        assert (outcome.code, expected in outcome.error) == (2, True), outcome.err
    outcome = bitsr("evaluate", weights, "--images", tmp_path / "in", "-o", tmp_path / "none" / "figures.json")
    assert (outcome.code, "does not exist" in outcome.error) == (2, True)


def test_names_that_the_file_system_refuses(bitsr: Bitsr, picture: Path, tmp_path: Path, weights: Path) -> None:
    outcome = bitsr(*eager(weights, picture, tmp_path / f"{'x' * 300}.png"))
    assert outcome.code == 1
    assert "File name too long" in outcome.error
    assert "unexpected" not in outcome.error


def test_a_set_with_a_picture_too_small_to_measure(bitsr: Bitsr, picture: Path, tmp_path: Path, weights: Path) -> None:
    outcome = bitsr("evaluate", weights, "--images", tmp_path)
    assert outcome.code == 1
    assert "picture.png: the picture has 8x6 pixels" in outcome.error


def test_a_picture_larger_than_memory(
    bitsr: Bitsr, picture: Path, tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upscale, "available_memory", lambda: 1000)
    outcome = bitsr(*eager(weights, picture, tmp_path / "out.png"))
    assert outcome.code == 1
    assert "GiB are free" in outcome.error
    assert not (tmp_path / "out.png").exists()


def test_a_tflite_of_random_bytes(bitsr: Bitsr, tmp_path: Path) -> None:
    (tmp_path / "noise.tflite").write_bytes(b"\0\0\0\0TFL3" + np.random.default_rng(0).bytes(3000))
    outcome = bitsr("convert", tmp_path / "noise.tflite", tmp_path / "out.tflite")
    assert outcome.code == 1
    assert "noise.tflite is corrupt" in outcome.error
    assert os.listdir(tmp_path) == ["noise.tflite"]


def test_a_tile_smaller_than_the_receptive_field(bitsr: Bitsr, photo: Path, tmp_path: Path, weights: Path) -> None:
    outcome = bitsr(*eager(weights, photo, tmp_path / "out.png", "--tile", 5))
    assert outcome.code == 2
    assert "too small" in outcome.error
    assert os.listdir(tmp_path) == []


def test_contradicting_options(bitsr: Bitsr, picture: Path, tmp_path: Path, weights: Path) -> None:
    outcome = bitsr(*eager(weights, picture, tmp_path / "out.png", "--overwrite", "--skip-existing"))
    assert outcome.code == 2
    assert "exclude each other" in outcome.error


def test_debug_shows_the_traceback_and_nothing_else_does(tmp_path: Path, weights: Path) -> None:
    (tmp_path / "empty.png").touch()
    command = [sys.executable, "-m", "bitsr", *map(str, eager(weights, tmp_path / "empty.png", tmp_path / "o.png"))]
    plain = subprocess.run(command, capture_output=True, text=True, check=False)
    assert plain.returncode == 1
    assert plain.stderr.startswith("error: ")
    assert len(plain.stderr.splitlines()) == 1
    debug = subprocess.run([*command, "--debug"], capture_output=True, text=True, check=False)
    assert debug.returncode == 1
    assert "Traceback" in debug.stderr
    assert "PictureError" in debug.stderr
