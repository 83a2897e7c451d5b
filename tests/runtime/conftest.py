"""Builds of the native code for its own tests."""

import fcntl
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
GOOGLETEST = Path("/usr/src/googletest")  # Debian's libgtest-dev


class Native:
    """Runs the build tools; a failure shows their output."""

    root = ROOT
    toolchain = ROOT / "runtime" / "cmake" / "aarch64-linux-gnu.cmake"
    emulator = "qemu-aarch64-static"
    # cmake and ninja of the virtual environment come first.
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}  # noqa: RUF012

    def need(self, *tools: str) -> None:
        """Skip the test unless all programs are there."""
        missing = [tool for tool in tools if shutil.which(tool, path=self.environment["PATH"]) is None]
        if missing:
            pytest.skip(f"not installed: {', '.join(missing)}")
        if not GOOGLETEST.exists():
            pytest.skip("not installed: libgtest-dev")

    def run(self, *command: str | Path, **variables: str) -> str:
        """Run a command; its output, which is also the failure's message."""
        done = subprocess.run(
            [str(part) for part in command],
            env={**self.environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-8000:]}"
        return done.stdout

    def build(self, folder: str, *options: str, target: str = "all") -> Path:
        """Configure and build the runtime in build/<folder>, which is returned; one build of a folder at a time."""
        path = ROOT / "build" / folder
        path.mkdir(parents=True, exist_ok=True)
        with (path / ".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self.run("cmake", "-S", ROOT / "runtime", "-B", path, "-G", "Ninja", *options)
            self.run("cmake", "--build", path, "--target", target)
        return path

    def build_core(self, folder: str, *options: str) -> Path:
        """The core and its tests, without a framework; the folder of the test programs."""
        switches = ("-DBITSR_TESTS=ON", "-DBITSR_EXECUTORCH=OFF", "-DBITSR_TFLITE=OFF", "-DBITSR_RUNNER=OFF")
        return self.build(folder, *switches, *options) / "tests"


@pytest.fixture(scope="session")
def native() -> Native:
    return Native()


@pytest.fixture(scope="session")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same small x2 network in each format that can be exported and run here: "pte", "tflite"."""
    needed = {"pte": ("executorch",), "tflite": ("ai_edge_litert", "onnx2tf", "tensorflow")}
    formats = tuple(kind for kind, packages in needed.items() if all(map(find_spec, packages)))
    if not formats or find_spec("torch") is None:
        pytest.skip("needs bitsr[export] and a runtime")
    import torch

    from bitsr.export.export import export_model
    from bitsr.training.models import create_model

    torch.manual_seed(7)
    model = create_model("test_ebsr_plus_x2").eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.rand_like(parameter) - 0.1)
    exported = export_model(model, output=tmp_path_factory.mktemp("artifacts"), formats=formats)
    return {kind: exported.files[kind].path for kind in formats}


@pytest.fixture(scope="session")
def alone_artifacts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A small x2 network that is wholly made of our ops, so that the core alone runs it: "pte", "tflite"."""
    if not all(map(find_spec, ("torch", "executorch", "ai_edge_litert", "onnx2tf", "tensorflow"))):
        pytest.skip("needs bitsr[export] and both runtimes")
    from bitsr.export.export import export_model

    files = export_model(
        our_network(), output=tmp_path_factory.mktemp("alone"), name="alone", formats=("pte", "tflite"), max_pixels=4096
    ).files
    return {kind: file.path for kind, file in files.items()}


def our_network() -> Any:
    """Its deploy form: three binary layers, one with two weight planes, an addition and a shuffle."""
    import torch
    from torch import Tensor

    from bitsr.export.deploy.layers import FusedBinaryConv2d, PixelShuffle
    from bitsr.training.models.network import SuperResolutionModel

    generator = torch.Generator().manual_seed(1)

    def some(*shape: int) -> Tensor:
        return torch.empty(*shape).uniform_(-1, 1, generator=generator)

    def layer(inputs: int, outputs: int, planes: int = 1) -> FusedBinaryConv2d:
        signs = torch.where(some(planes, outputs, inputs, 3, 3) >= 0, 1.0, -1.0)
        scale, shift = 0.02 * some(planes, outputs), 0.1 * some(outputs)
        return FusedBinaryConv2d(signs, scale, threshold=some(inputs).abs(), shift=shift, slope=some(outputs))

    class Ours(SuperResolutionModel):
        def __init__(self) -> None:
            super().__init__(scale=2, channels=3, receptive_field_radius=3)
            self.head, self.body, self.tail = layer(3, 70), layer(70, 70, planes=2), layer(70, 12)
            self.shuffle = PixelShuffle(2)

        def forward(self, x: Tensor) -> Tensor:
            h = self.head(x)
            h = self.body(h, residual=h) + h
            return self.shuffle(self.tail(h), x)

    return Ours().eval()
