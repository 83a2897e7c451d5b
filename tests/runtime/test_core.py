"""The C++ core by its own tests (runtime/tests): natively, under the sanitizers, and for arm64 under an emulator."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLCHAIN = ROOT / "runtime" / "cmake" / "aarch64-linux-gnu.cmake"
GOOGLETEST = Path("/usr/src/googletest")  # Debian's libgtest-dev
EMULATOR = "qemu-aarch64-static"
# cmake and ninja of the virtual environment come first.
ENVIRONMENT = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}


def need(*tools: str) -> None:
    """Skip the test unless all programs are there."""
    missing = [tool for tool in tools if shutil.which(tool, path=ENVIRONMENT["PATH"]) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    if not GOOGLETEST.exists():
        pytest.skip("not installed: libgtest-dev")


def run(*command: str | Path, **variables: str) -> str:
    """Run a command; its output, which is also the failure's message."""
    done = subprocess.run(
        [str(part) for part in command],
        env={**ENVIRONMENT, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout[-8000:]}"
    return done.stdout


def build(folder: str, *options: str) -> Path:
    """Configure and build the core's tests in build/<folder>; the path of the test program."""
    path = ROOT / "build" / folder
    common = ("-DBITSR_TESTS=ON", "-DBITSR_EXECUTORCH=OFF", "-DBITSR_TFLITE=OFF")
    run("cmake", "-S", ROOT / "runtime", "-B", path, "-G", "Ninja", *common, *options)
    run("cmake", "--build", path)
    return path / "tests" / "bitsr_core_tests"


def test_native() -> None:
    need("cmake", "ninja", "c++")
    run(build("core-tests", "-DCMAKE_BUILD_TYPE=Release"))


def test_sanitizers() -> None:
    need("cmake", "ninja", "c++")
    # -O1: the same accesses are checked, and compiling does not take minutes.
    run(build("core-sanitize", "-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O1", "-DBITSR_SANITIZE=ON"))


def test_clang() -> None:
    need("cmake", "ninja", "clang++")
    # Another compiler must warn of nothing and give the same bits.
    program = build("core-clang", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_COMPILER=clang++")
    assert "[  PASSED  ] 2 tests" in run(program, "--gtest_filter=Golden.*")


@pytest.fixture(scope="module")
def arm64_program() -> Path:
    need("cmake", "ninja", "aarch64-linux-gnu-g++", EMULATOR)
    return build("core-arm64", "-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_TOOLCHAIN_FILE={TOOLCHAIN}")


# The parser has nothing of the processor in it; its longest tests would only be slow here.
@pytest.mark.parametrize("processor", ["cortex-a53", "cortex-a76"])
def test_arm64(arm64_program: Path, processor: str) -> None:
    command = (EMULATOR, "-L", "/usr/aarch64-linux-gnu", arm64_program, "--gtest_filter=-Blob.Every*")
    assert "kernels: portable neon" in run(*command, QEMU_CPU=processor)
