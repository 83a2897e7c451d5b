"""The ExecuTorch shim by its own tests (runtime/executorch/backend_test.cpp), against the installed ExecuTorch."""

import sys
from typing import Any

TARGET = "bitsr_executorch_tests"


def test_backend(native: Any) -> None:
    native.need("cmake", "ninja", "c++")
    options = ("-DCMAKE_BUILD_TYPE=Release", f"-DPython_EXECUTABLE={sys.executable}", "-DBITSR_TESTS=ON")
    switches = ("-DBITSR_EXECUTORCH=ON", "-DBITSR_TFLITE=OFF", "-DBITSR_RUNNER=ON")
    folder = native.build("executorch-tests", *options, *switches, target=TARGET)
    assert "[  PASSED  ] 7 tests" in native.run(folder / "executorch" / TARGET)
