"""Upscaling by an artifact needs none of the heavy stacks, and gets on with a process that has one."""

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bitsr.export.export import export_model

MODEL = "test_ebsr_plus_x2"
HEAVY = (
    "torch",
    "tensorflow",
    "executorch",
    "onnx",
    "scipy",
    "ai_edge_litert",
    "pydantic",
    "bitsr.training",
    "bitsr.export",
    "bitsr.validation",
)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bitsr.training.models import create_model

    folder = tmp_path_factory.mktemp("light")
    export_model(create_model(MODEL).eval(), output=folder, formats=("tflite",), max_pixels=64 * 64)
    return folder / f"{MODEL}.tflite"


def python(code: str, *arguments: object) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_upscaling_loads_no_heavy_stack(artifact: Path, tmp_path: Path) -> None:
    source = tmp_path / "a.png"
    Image.new("RGB", (9, 7), "teal").save(source)
    code = (
        "import sys; from bitsr.cli import main; assert main(sys.argv[1:]) == 0; "
        f"print('loaded:', [name for name in {(*HEAVY, 'rich')} if name in sys.modules])"
    )
    said = python(code, "upscale", source, tmp_path / "b.png", "-m", artifact)
    assert said.splitlines()[-1] == "loaded: []"
    assert Image.open(tmp_path / "b.png").size == (18, 14)


@pytest.mark.parametrize("command", [["--help"], ["upscale", "--help"], ["models"], ["upscale", "no_such_photo.jpg"]])
def test_commands_that_run_nothing_load_nothing(command: list[str]) -> None:
    code = (
        "import sys; from bitsr.cli import main; main(sys.argv[1:]); "
        f"print('loaded:', [name for name in {HEAVY} if name in sys.modules])"
    )
    assert python(code, *command).splitlines()[-1] == "loaded: []"


@pytest.mark.parametrize("tensorflow_first", [True, False])
def test_tensorflow_and_an_artifact_share_a_process(artifact: Path, tensorflow_first: bool) -> None:
    """What bitsr loads for running once crashed a process that had TensorFlow."""
    lines = ["import tensorflow", "session = bitsr.load(sys.argv[1])"]
    code = "\n".join(
        [
            "import sys, numpy as np, bitsr",
            *(lines if tensorflow_first else reversed(lines)),
            "print(session.upscale(np.zeros((5, 6, 3), np.uint8)).shape)",
        ]
    )
    assert python(code, artifact).splitlines()[-1] == "(10, 12, 3)"


def test_models_and_diffusion_need_no_pydantic() -> None:
    """What runs weights or a diffusion artifact comes without it (the extras of pyproject.toml)."""
    code = (
        "import sys; sys.modules['pydantic'] = None; "
        "import bitsr.inference.diffusion, bitsr.inference.eager; from bitsr.training.models import create_model; "
        "print(create_model('test_swinir_x2', window=8).info.config['window'])"
    )
    assert python(code) == "8\n"
