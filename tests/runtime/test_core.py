"""The C++ core by its own tests (runtime/tests): natively, under the sanitizers, and for arm64 under an emulator."""

from pathlib import Path
from typing import Any

import pytest

TESTS = "bitsr_core_tests"


def test_native(native: Any) -> None:
    native.need("cmake", "ninja", "c++")
    native.run(native.build_core("core-tests", "-DCMAKE_BUILD_TYPE=Release") / TESTS)


def test_sanitizers(native: Any) -> None:
    native.need("cmake", "ninja", "c++")
    # -O1: the same accesses are checked, and compiling does not take minutes.
    options = ("-DCMAKE_BUILD_TYPE=Debug", "-DCMAKE_CXX_FLAGS_DEBUG=-O1", "-DBITSR_SANITIZE=ON")
    native.run(native.build_core("core-sanitize", *options) / TESTS)


def test_clang(native: Any) -> None:
    native.need("cmake", "ninja", "clang++")
    # Another compiler must warn of nothing and give the same bits.
    folder = native.build_core("core-clang", "-DCMAKE_BUILD_TYPE=Release", "-DCMAKE_CXX_COMPILER=clang++")
    assert "[  PASSED  ] 2 tests" in native.run(folder / TESTS, "--gtest_filter=Golden.*")


@pytest.fixture(scope="module")
def arm64_program(native: Any) -> Path:
    native.need("cmake", "ninja", "aarch64-linux-gnu-g++", native.emulator)
    options = ("-DCMAKE_BUILD_TYPE=Release", f"-DCMAKE_TOOLCHAIN_FILE={native.toolchain}")
    return Path(native.build_core("core-arm64", *options) / TESTS)


# The parser has nothing of the processor in it; its longest tests would only be slow here.
@pytest.mark.parametrize(
    ("processor", "kernels"), [("cortex-a53", "neon portable"), ("cortex-a76", "dotprod neon portable")]
)
def test_arm64(native: Any, arm64_program: Path, processor: str, kernels: str) -> None:
    command = (native.emulator, "-L", "/usr/aarch64-linux-gnu", arm64_program, "--gtest_filter=-Blob.Every*")
    assert f"kernels: {kernels}\n" in native.run(*command, QEMU_CPU=processor)


def test_arm64_with_matrix_products(native: Any, arm64_program: Path) -> None:
    command = (native.emulator, "-L", "/usr/aarch64-linux-gnu", arm64_program, "--gtest_filter=QuantizedConv.*")
    assert "[  PASSED  ]" in native.run(*command, QEMU_CPU="max")
