"""``bitsr export --android``: the assets that `make android-host` wrote, and what is refused."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitsr.artifact.artifact import read_artifact
from bitsr.artifact.weights import embedded_weights
from bitsr.common.errors import UsageError
from bitsr.inference.load import load
from bitsr.runtime.program import NativeProgram
from bitsr.validation.app_assets import write_app_assets

MODELS = ("ebsr_light_plus_tiny_x2", "ebsr_light_plus_tiny_x3", "ebsr_light_plus_tiny_x4")


@pytest.fixture(scope="module")
def assets(repository: Path) -> Path:
    folder = repository / "build" / "android" / "test-assets"
    if not folder.is_dir():
        pytest.skip("needs the app's assets: make android-host")
    return folder


@pytest.mark.parametrize("model", MODELS)
def test_both_formats_and_their_golden_pictures(assets: Path, model: str) -> None:
    golden = json.loads((assets / "golden" / model / "golden.json").read_text(encoding="utf-8"))
    assert "min_psnr_db" not in golden["picture"], "integers decide: every pixel is to be the same"
    rgb = np.asarray(Image.open(assets / "golden" / model / golden["picture"]["file"]))
    for form in ("tflite", "pte"):
        path = assets / "models" / f"{model}.{form}"
        assert read_artifact(path).model == golden["model"] == model
        expected = np.asarray(Image.open(assets / "golden" / model / golden["picture"]["results"][form]))
        with load(path) as session:
            np.testing.assert_array_equal(session.upscale(rgb), expected)


@pytest.mark.parametrize("model", MODELS)
def test_golden_ops_cover_the_kinds_and_are_what_the_kernels_compute(assets: Path, model: str) -> None:
    folder = assets / "golden" / model
    ops = json.loads((folder / "golden.json").read_text(encoding="utf-8"))["ops"]
    assert {op["kind"] for op in ops} >= {"binary_conv2d", "channel_gate", "spatial_gate"}
    assert {op["check"] for op in ops if op["kind"] == "binary_conv2d"} >= {"packed bits", "values"}
    for op in ops:
        values = np.frombuffer((folder / op["values"]).read_bytes(), "<f4")
        tensors = []
        for shape in (*op["inputs"], *op["outputs"]):
            count = int(np.prod(shape))
            tensors.append(values[:count].reshape(shape))
            values = values[count:]
        assert values.size == 0
        inputs, outputs = tensors[: len(op["inputs"])], tensors[len(op["inputs"]) :]
        got = NativeProgram((folder / op["program"]).read_bytes(), isa="portable").run(*inputs)
        for expected, one in zip(outputs, got, strict=True):
            assert one.reshape(expected.shape).tobytes() == expected.tobytes()


def test_existing_assets_are_not_replaced_unasked(assets: Path, tmp_path: Path) -> None:
    (tmp_path / "golden" / MODELS[0]).mkdir(parents=True)
    with pytest.raises(UsageError, match="--overwrite"):
        write_app_assets(MODELS[0], weights=embedded_weights(MODELS[0]), folder=tmp_path)
    assert not (tmp_path / "models").exists()
