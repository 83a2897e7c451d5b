"""Builds of the native code for its own tests."""

import fcntl
import os
import shutil
import subprocess
import sys
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
