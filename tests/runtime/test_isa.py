"""The table of instruction sets as Python sees it: the native libraries answer."""

import subprocess
import sys

import pytest

from bitsr.common.errors import UsageError
from bitsr.runtime import (
    EXECUTORCH_LIBRARY,
    KERNEL_VARIABLE,
    TFLITE_LIBRARY,
    find_library,
    isa_names,
    wanted_kernel,
)
from bitsr.runtime.machine import processor

ASK = """
import ctypes, sys
library = ctypes.CDLL(sys.argv[1])
for name in ("bitsr_isa_names", "bitsr_best_isa"):
    function = getattr(library, name)
    function.restype = ctypes.c_char_p
    print(function().decode())
"""


def test_portable_is_the_last_and_every_name_stands_once() -> None:
    assert isa_names()[-1] == "portable"
    assert len(set(isa_names())) == len(isa_names())
    assert processor()


@pytest.mark.parametrize("name", [TFLITE_LIBRARY, EXECUTORCH_LIBRARY])
def test_both_libraries_have_one_table(name: str) -> None:
    library = str(find_library(name))
    done = subprocess.run([sys.executable, "-c", ASK, library], capture_output=True, text=True, check=False)
    assert done.stdout.split() == [",".join(isa_names()), isa_names()[0]], done.stderr


def test_asking_imports_nothing_heavy() -> None:
    code = (
        "import sys; from bitsr.runtime import isa_names; isa_names(); print({'torch', 'executorch'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_the_variable_takes_what_runs_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(KERNEL_VARIABLE, raising=False)
    assert wanted_kernel() == ""
    for name in ("auto", *isa_names()):
        monkeypatch.setenv(KERNEL_VARIABLE, name)
        assert wanted_kernel() == name


def test_the_variable_is_refused_with_what_would_do(monkeypatch: pytest.MonkeyPatch) -> None:
    (foreign,) = {"avx2", "neon"} - {*isa_names()} or {"neon"}
    for name in (foreign, "AVX2", "sse"):
        monkeypatch.setenv(KERNEL_VARIABLE, name)
        with pytest.raises(UsageError, match=f"{KERNEL_VARIABLE} is '{name}'; expected one of auto, .*portable"):
            wanted_kernel()
