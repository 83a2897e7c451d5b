"""`import bitsr`: what a user sees first."""

import doctest
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import bitsr

HEAVY = ("torch", "tensorflow", "executorch", "onnx", "pydantic", "numpy", "rich")


def test_importing_costs_nothing_and_names_are_complete() -> None:
    code = f"import sys, bitsr; print([name for name in {HEAVY} if name in sys.modules]); print(dir(bitsr))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.splitlines()
    assert said[0] == "[]"
    assert said[1] == str(bitsr.__all__)
    assert bitsr.__version__ == version("bitsr")
    for name in bitsr.__all__:
        assert getattr(bitsr, name) is not None, name
    with pytest.raises(AttributeError, match=r"has no attribute 'upscal'; it has .*upscale"):
        bitsr.upscal  # noqa: B018


@pytest.mark.parametrize(
    "module", ["bitsr", "bitsr.inference.load", "bitsr.inference.session", "bitsr.inference.upscale_any"]
)
def test_examples_in_docstrings_run(module: str) -> None:
    __import__(module)
    outcome = doctest.testmod(sys.modules[module])
    assert (outcome.failed, outcome.attempted > 0) == (0, True)


def test_the_sub_package_of_the_exporter_can_be_called(tmp_path: Path) -> None:
    with pytest.raises(bitsr.UsageError, match="the export format is 'onnx'"):
        bitsr.export("ebsr_light_plus_x2", output=tmp_path, formats=("onnx",))


def test_upscale_takes_files_folders_arrays_and_images(photo: Path, tmp_path: Path) -> None:
    small = Image.open(photo).convert("RGB").resize((40, 30))
    source = tmp_path / "a.png"
    small.save(source)
    with bitsr.load(scale=2) as session:
        written = bitsr.upscale(source, model=session)
        assert written == tmp_path / "a_x2.png"
        expected = np.asarray(Image.open(written))
        assert np.array_equal(bitsr.upscale(np.asarray(small), model=session), expected)
        assert np.array_equal(np.asarray(bitsr.upscale(small, model=session)), expected)
        folder = bitsr.upscale(tmp_path, tmp_path / "out", model=session)
        assert (folder / "a.png").is_file()
        glass = small.copy()
        glass.putalpha(Image.new("L", small.size, 128))
        assert bitsr.upscale(glass, model=session).mode == "RGBA"
        with pytest.raises(bitsr.UsageError, match=r"a_x2\.png exists"):
            bitsr.upscale(source, model=session)
        with pytest.raises(bitsr.UsageError, match="open as x2"):
            bitsr.upscale(source, model=session, scale=4)
    with pytest.raises(bitsr.UsageError, match="is closed"):
        session.upscale(np.asarray(small))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (np.zeros((4, 4, 3), np.float32), r"got float32 of shape \(4, 4, 3\); turn \[0, 1\] into bytes"),
        (np.zeros((4, 4, 3), np.uint16), "got uint16.*turn 16 bits into 8"),
        (np.zeros((4, 4, 3), np.int64), "got int64.*turn it into uint8"),
        (np.zeros((4, 4), np.uint8), r"got uint8 of shape \(4, 4\); repeat grey three times"),
        (np.zeros((4, 4, 1), np.uint8), "repeat grey three times"),
        (np.zeros((4, 4, 4), np.uint8), "leave the transparency out"),
        (np.zeros((3, 4, 4), np.uint8), "leave the transparency out|put the channels last"),
        (np.zeros((1, 4, 4, 3), np.uint8), "give one picture at a time"),
        (np.zeros((0, 4, 3), np.uint8), "at least one pixel"),
        ([[1, 2, 3]], "a source is a path, a numpy array or a PIL image, got a list"),
        ("no_such_file.png", "there is no file or folder no_such_file.png"),
    ],
)
def test_what_is_no_picture_gets_one_clear_error(wrong: object, words: str) -> None:
    with pytest.raises(bitsr.UsageError, match=words):
        bitsr.upscale(wrong, scale=2)  # type: ignore[call-overload]


def test_maps_are_checked_and_batches_work() -> None:
    with bitsr.load(scale=2) as session:
        x = np.random.default_rng(0).random((2, 3, 8, 9), np.float32)
        y = session.run(x)
        assert y.shape == (2, 3, 16, 18)
        assert np.array_equal(y[1:], session.run(x[1:]))
        for wrong in (x[0], x.astype(np.float64), x[:, :1], (x * 255).astype(np.uint8)):
            with pytest.raises(bitsr.UsageError, match=r"float32 RGB of shape \(N, 3, H, W\)"):
                session.run(wrong)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"runtime": "tensorrt"}, "the runtime is 'tensorrt'; expected one of core, tflite, pte, eager"),
        ({"threads": 0}, "expected at least 1"),
        ({"scale": 7}, "no weights of scale 7 come with bitsr; there are: x2, x3, x4"),
        ({"name_or_path": "ebsr_light_pluss_x4"}, "did you mean"),
    ],
)
def test_load_refuses_what_it_does_not_know(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(bitsr.UsageError, match=words):
        bitsr.load(**arguments)  # type: ignore[arg-type]


def test_the_example_of_the_readme_runs(
    repository: Path, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (repository / "README.md").read_text(encoding="utf-8")
    (code,) = [part.split("```")[0] for part in text.split("```python\n")[1:]]
    Image.open(photo).convert("RGB").resize((24, 16)).save(tmp_path / "photo.jpg")
    monkeypatch.chdir(tmp_path)
    exec(code, {})
    assert Image.open(tmp_path / "photo_x4.png").size == (96, 64)
