"""The C ABI (runtime/capi): its own tests over all runtimes, also under ThreadSanitizer, and Python's client of it."""

import ctypes
import importlib.resources
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitsr.artifact.program import Op, OpKind, Program, Value, ValueKind, write_program
from bitsr.runtime import TFLITE_LIBRARY, RuntimeLibraryError, find_library, isa_names
from bitsr.runtime.capi import NativeError, library, version
from bitsr.runtime.program import NativeProgram

CASES = ("PTE", "TFLITE", "CORE_PTE", "CORE_TFLITE")


@pytest.fixture(scope="module")
def variables(artifacts: dict[str, Path], alone_artifacts: dict[str, Path]) -> dict[str, str]:
    """What the C++ tests are told: artifacts and libraries."""
    told = {f"BITSR_TEST_{kind.upper()}": str(path) for kind, path in artifacts.items()}
    told |= {f"BITSR_TEST_CORE_{kind.upper()}": str(path) for kind, path in alone_artifacts.items()}
    try:
        told["BITSR_TEST_DELEGATE"] = str(find_library(TFLITE_LIBRARY))
        told["BITSR_TEST_PTE_LIBRARY"] = str(find_library("libbitsr_pte.so"))
    except RuntimeLibraryError as error:
        pytest.skip(str(error))
    if "tflite" in artifacts:
        told["BITSR_TEST_LITERT"] = str(Path(str(importlib.resources.files("ai_edge_litert"))) / "libLiteRt.so")
    return told


def build(native: Any, folder: str, *options: str) -> Path:
    native.need("cmake", "ninja", "c++")
    switches = (
        "-DBITSR_TESTS=ON",
        "-DBITSR_EXECUTORCH=OFF",
        "-DBITSR_TFLITE=OFF",
        f"-DPython_EXECUTABLE={sys.executable}",
    )
    return Path(native.build(folder, *switches, *options, target="bitsr_capi_tests")) / "capi" / "bitsr_capi_tests"


def test_the_library(native: Any, variables: dict[str, str]) -> None:
    """By its own tests (runtime/capi/capi_test.cpp); both runtimes come from the build of `make build`."""
    program = build(native, "capi-tests", "-DCMAKE_BUILD_TYPE=Release")
    said = native.run(program, **variables)
    tested = re.search(r"\[  PASSED  \] (\d+) tests", said)
    assert tested is not None
    assert int(tested[1]) >= 3 + 12 * sum(f"BITSR_TEST_{kind}" in variables for kind in CASES)


def test_no_race_in_the_library(native: Any, variables: dict[str, str], tmp_path: Path) -> None:
    """ThreadSanitizer sees our side of a .tflite; it does not see how the threads of LiteRT wait for each other."""
    if "BITSR_TEST_TFLITE" not in variables:
        pytest.skip("needs bitsr[tflite]")
    flags = "-O1 -g -fsanitize=thread"
    program = build(native, "capi-tsan", f"-DCMAKE_CXX_FLAGS={flags}", "-DCMAKE_BUILD_TYPE=None")
    shared = ("OneSessionServesManyThreads", "SessionsOpenBesideRunningOnes", "FailuresHave", "BelongsToItsThread")
    chosen = ":".join(f"*{name}*" for name in shared)
    told = {name: value for name, value in variables.items() if name != "BITSR_TEST_PTE"}
    unseen = tmp_path / "unseen"
    unseen.write_text("called_from_lib:libLiteRt.so\ncalled_from_lib:libbitsr_tflite.so\n")
    told["TSAN_OPTIONS"] = f"suppressions={unseen}"
    said = native.run(program, f"--gtest_filter={chosen}", **told)
    assert "WARNING: ThreadSanitizer" not in said
    assert "[  PASSED  ]" in said


@pytest.fixture
def gate() -> bytes:
    """A spatial gate over 4 channels."""
    weight = np.linspace(-1, 1, 4, dtype="<f4").reshape(1, 1, 4)
    op = Op(
        OpKind.SPATIAL_GATE, inputs=(0,), outputs=(1,), constants=(weight, np.full(1, 0.25, "<f4")), attributes=(1,)
    )
    values = [Value(ValueKind.MAP, channels=4), Value(ValueKind.PLANE, channels=1)]
    return write_program(Program(values, ops=[op], inputs=[0], outputs=[1]))


@pytest.fixture(autouse=True)
def _library_is_there() -> None:
    try:
        library()
    except RuntimeLibraryError as error:
        pytest.skip(str(error))


def test_a_program_runs(gate: bytes) -> None:
    program = NativeProgram(gate)
    x = np.random.default_rng(1).standard_normal((2, 4, 5, 7)).astype(np.float32)
    (y,) = program.run(x)
    weight = np.linspace(-1, 1, 4, dtype=np.float32)
    expected = 1 / (1 + np.exp(-(np.einsum("nchw,c->nhw", x, weight)[:, None] + 0.25)))
    assert y.shape == (2, 1, 5, 7)
    assert np.allclose(y, expected, atol=1e-5)
    assert np.array_equal(y, program.run(x, channels_last=True)[0])
    for isa in isa_names():
        assert np.array_equal(y, NativeProgram(gate, isa=isa).run(x)[0])


def test_what_does_not_fit_is_refused(gate: bytes) -> None:
    program = NativeProgram(gate)
    x = np.zeros((1, 4, 5, 7), np.float32)
    for inputs, reason in (
        ((x.astype(np.float64),), "float64"),
        ((x[0],), "3 dimensions"),
        ((x[:, :3].copy(),), "expected 1x4x5x7, got 1x3x5x7"),
        ((x, x), "has 1 inputs, got 2"),
        ((), "first input"),
    ):
        with pytest.raises(NativeError, match=reason):
            program.run(*inputs)
    with pytest.raises(NativeError, match="number 1"):
        program.input_shape(1, height=5, width=7)
    with pytest.raises(NativeError, match="expected one of auto"):
        NativeProgram(gate, isa="sse2")
    for wrong in (b"", gate[:-1], b"X" + gate[1:], gate[:80] + b"\xff" + gate[81:]):
        with pytest.raises(NativeError):
            NativeProgram(wrong)


def test_the_facts() -> None:
    library().bitsr_isa_names.restype = library().bitsr_best_isa.restype = ctypes.c_char_p
    assert library().bitsr_isa_names().decode().split(",") == list(isa_names())
    assert library().bitsr_best_isa().decode() == isa_names()[0]
    assert re.fullmatch(r"\d+\.\d+\.\d+", version())
