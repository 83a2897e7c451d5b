"""bitsr-run on an artifact with several inputs: each has a file of its own, and what does not fit is refused."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bitsr.export.executorch.lower import lower
from bitsr.validation.timing.pattern import photo_pattern

from .test_runner import Runner, native_runner  # noqa: F401 (a fixture)

SIDE = 8
SHAPE = ("--shape", f"1,4,{SIDE},{SIDE}")


class Mixed(torch.nn.Module):
    """A map (1, 4, H, W) shuffled, times a float32 vector (3,), whose sum counts, plus an int64 number (1,)."""

    def forward(self, x: Tensor, weights: Tensor, number: Tensor) -> Tensor:
        return torch.nn.functional.pixel_shuffle(x, 2) * weights.sum() + number.float()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A .pte of three inputs."""
    example = (torch.zeros(1, 4, SIDE, SIDE), torch.zeros(3), torch.zeros(1, dtype=torch.int64))
    path: Path = tmp_path_factory.mktemp("inputs") / "mixed.pte"
    path.write_bytes(lower(Mixed().eval(), channels=4, max_pixels=SIDE * SIDE, example_inputs=example).content)
    return path


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Inputs that fit, and some that do not."""
    x = np.random.default_rng(2).random((1, 4, SIDE, SIDE), np.float32)
    contents = {
        "map.f32": x,
        "weights.f32": np.array([0.5, 1.0, 2.0], np.float32),
        "number.i64": np.array([-(2**33)], np.int64),
        "long.i64": np.zeros(2, np.int64),
        "short.f32": np.zeros(2, np.float32),
    }
    for name, values in contents.items():
        (tmp_path / name).write_bytes(values.tobytes())
    return {name: tmp_path / name for name in contents}


def given(files: dict[str, Path], *names: str) -> list[object]:
    return [word for name in names for word in ("--input", files[name])]


def test_every_input_arrives(native_runner: Runner, model: Path, files: dict[str, Path], tmp_path: Path) -> None:  # noqa: F811
    words = given(files, "map.f32", "weights.f32", "number.i64")
    # The second run finds the inputs as the first one did, though ExecuTorch may use their memory meanwhile.
    facts = native_runner.report(model, *words, *SHAPE, "--output", tmp_path / "y.f32", "--runs", 2)
    assert facts["other_inputs"] == [{"dtype": "float32", "values": 3}, {"dtype": "int64", "values": 1}]
    y = np.fromfile(tmp_path / "y.f32", np.float32).reshape(facts["output_shape"])
    x = torch.from_numpy(np.fromfile(files["map.f32"], np.float32).reshape(1, 4, SIDE, SIDE))
    expected = Mixed()(x, torch.tensor([0.5, 1.0, 2.0]), torch.tensor([-(2**33)]))
    assert np.array_equal(y, expected.numpy())


def test_without_files_there_is_a_pattern(native_runner: Runner, model: Path) -> None:  # noqa: F811
    assert len(native_runner.report(model, *SHAPE, "--runs", 3)["samples_ms"]) == 3
    assert native_runner.report(model, "--info")["input_shape"] == [1, 4, 0, 0]


def test_the_pattern_is_that_of_this_python(native_runner: Runner, tmp_path: Path) -> None:  # noqa: F811
    """Else its times and those of `bitsr-run` would be of different pictures."""
    x = photo_pattern((1, 4, 37, 50))
    assert x.min() >= 0
    assert x.max() <= 1
    assert x.std() > 0.1
    path = tmp_path / "shuffle.pte"
    path.write_bytes(lower(torch.nn.PixelShuffle(2), channels=4, max_pixels=37 * 50, example_inputs=(x,)).content)
    native_runner.report(path, "--shape", "1,4,37,50", "--output", tmp_path / "y.f32")
    expected = torch.nn.functional.pixel_shuffle(x, 2)
    assert np.array_equal(np.fromfile(tmp_path / "y.f32", np.float32), expected.numpy().ravel())


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (("map.f32",), "takes 3 inputs, got 1"),
        (("map.f32", "weights.f32"), "takes 3 inputs, got 2"),
        (("map.f32", "weights.f32", "number.i64", "number.i64"), "takes 3 inputs, got 4"),
        (("map.f32", "short.f32", "number.i64"), "8 bytes, expected 12: 3 values of float32"),
        (("map.f32", "weights.f32", "long.i64"), "16 bytes, expected 8: 1 values of int64"),
        (("map.f32", "weights.f32", "short.f32"), "takes int64 there"),
        (("map.f32", "number.i64", "weights.f32"), "takes float32 there"),
    ],
)
def test_what_does_not_fit_is_refused(
    native_runner: Runner,  # noqa: F811
    model: Path,
    files: dict[str, Path],
    names: tuple[str, ...],
    reason: str,
) -> None:
    done = native_runner(model, *given(files, *names), *SHAPE)
    assert done.returncode == 1
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_other_files_are_wrong_usage(native_runner: Runner, model: Path, files: dict[str, Path]) -> None:  # noqa: F811
    done = native_runner(model, *given(files, "map.f32"), "--input", "number.ppm", *SHAPE)
    assert done.returncode == 2
    assert "inputs beside the map are .f32 or .i64" in done.stderr
