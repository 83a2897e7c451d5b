"""`bitsr demo` in a process of its own: both runtimes, and not a word of the frameworks."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from bitsr.artifact.weights import WeightsInfo
from bitsr.training.models import create_model
from bitsr.training.weights import save_weights

MODEL = "test_ebsr_plus_x2"


@pytest.mark.skipif(find_spec("onnx2tf") is None, reason="needs bitsr[export]")
def test_demo_shows_both_runtimes(photo: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    weights, folder = tmp_path / f"{MODEL}.safetensors", tmp_path / "demo"
    save_weights(weights, create_model(MODEL).state_dict(), WeightsInfo(model=MODEL))
    command = ["-m", "bitsr", "demo", "-i", photo, "-o", folder, "-m", weights]

    def demo() -> subprocess.CompletedProcess[str]:
        arguments = [sys.executable, *map(str, command)]
        return subprocess.run(arguments, capture_output=True, text=True, check=False, timeout=600)

    done = demo()
    assert done.returncode == 0, done.stderr
    # Progress alone: TensorFlow, onnx2tf, XNNPACK and ExecuTorch are silent.
    assert [line[:3] for line in done.stderr.splitlines()] == ["1. ", "2. ", "3. ", "4. "], done.stderr
    pictures = ["low", "bicubic", "upscaled_pte", "upscaled_tflite", "side_by_side"]
    for name in (*(f"{picture}.png" for picture in pictures), "report.json", f"{MODEL}.pte", f"{MODEL}.tflite"):
        assert (folder / name).is_file()
        assert name in done.stdout
    report = json.loads((folder / "report.json").read_text())
    assert report["artifacts"].keys() == {"pte", "tflite"}
    for kind, result in report["artifacts"].items():
        assert result["against_eager"]["psnr"] is None  # identical
        assert result["psnr"] == report["psnr"]["eager"]
        assert result["bytes"] == (folder / f"{MODEL}.{kind}").stat().st_size
        assert len(result["milliseconds"]) == 5
    assert report["conditions"]["versions"]["ai-edge-litert"]

    again = demo()
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
