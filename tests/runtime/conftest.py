"""Builds of the native code for its own tests."""

import fcntl
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

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
