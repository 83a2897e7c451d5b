"""`cmake --install` of runtime/ alone: a program of a stranger finds the package, compiles, and upscales a picture."""

import importlib.resources
import importlib.util
import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

# Uses nothing but the installed header and library.
PROGRAM = r"""
#include <bitsr/capi.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int count, char** words) {
  bitsr_options options = BITSR_OPTIONS_INIT;
  options.litert_library = count > 2 ? words[2] : NULL;
  bitsr_session* session = NULL;
  if (bitsr_open(words[1], &options, &session) != BITSR_OK) return puts(bitsr_last_error()), 1;
  bitsr_info info = BITSR_INFO_INIT;
  bitsr_get_info(session, &info);
  const size_t bytes = 3 * 20 * 30, area = (size_t)info.scale * (size_t)info.scale;
  uint8_t* in = (uint8_t*)malloc(bytes);
  uint8_t* out = (uint8_t*)malloc(bytes * area);
  memset(in, 128, bytes);
  memset(out, 0, bytes * area);
  const bitsr_image picture = {in, bytes, 30, 20, 0, 3};
  const bitsr_image enlarged = {out, bytes * area, 30 * info.scale, 20 * info.scale, 0, 3};
  if (bitsr_upscale(session, &picture, &enlarged, NULL) != BITSR_OK) return puts(bitsr_last_error()), 1;
  unsigned long sum = 0;
  for (size_t i = 0; i < bytes * area; ++i) sum += out[i];
  printf("bitsr %s, %s by %s: x%d, mean %lu\n", bitsr_version(), info.format, info.runtime, info.scale,
         sum / (unsigned long)(bytes * area));
  bitsr_close(session);
  return free(in), free(out), 0;
}
"""
PROJECT = """
cmake_minimum_required(VERSION 3.19)
project(stranger {language})
find_package(bitsr 0.1 REQUIRED)
add_executable(stranger stranger.{suffix})
target_compile_options(stranger PRIVATE -Wall -Wextra -Werror)
target_link_libraries(stranger PRIVATE bitsr::bitsr)
add_custom_command(TARGET stranger POST_BUILD COMMAND bitsr::runner --help)
"""


@pytest.fixture(scope="module")
def prefix(native: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """runtime/ copied away from the repository, built there, and installed."""
    native.need("cmake", "ninja", "c++")
    folder = tmp_path_factory.mktemp("install")
    shutil.copytree(native.root / "runtime", folder / "runtime")
    with_executorch = "ON" if find_spec("executorch") else "OFF"
    switches = ("-DCMAKE_BUILD_TYPE=Release", f"-DBITSR_EXECUTORCH={with_executorch}")
    where = (f"-DPython_EXECUTABLE={sys.executable}", f"-DCMAKE_INSTALL_PREFIX={folder / 'prefix'}")
    native.run("cmake", "-S", folder / "runtime", "-B", folder / "build", "-G", "Ninja", *switches, *where)
    native.run("cmake", "--build", folder / "build")
    native.run("cmake", "--install", folder / "build", "--strip")
    return folder / "prefix"


@pytest.mark.parametrize(("language", "suffix"), [("C", "c"), ("CXX", "cpp")])
def test_a_program_of_a_stranger(
    native: Any, prefix: Path, language: str, suffix: str, tmp_path: Path, artifacts: dict[str, Path]
) -> None:
    (tmp_path / f"stranger.{suffix}").write_text(PROGRAM)
    (tmp_path / "CMakeLists.txt").write_text(PROJECT.format(language=language, suffix=suffix))
    native.run("cmake", "-S", tmp_path, "-B", tmp_path / "build", "-G", "Ninja", f"-DCMAKE_PREFIX_PATH={prefix}")
    native.run("cmake", "--build", tmp_path / "build")
    litert = Path(str(importlib.resources.files("ai_edge_litert"))) / "libLiteRt.so"
    found = importlib.util.find_spec("executorch")  # a namespace package, which has no single folder of resources
    executorch = Path(found.submodule_search_locations[0]) / "lib"
    for kind, path in artifacts.items():
        variables = {"LD_LIBRARY_PATH": f"{executorch}{os.pathsep}{prefix / 'lib'}"} if kind == "pte" else {}
        said = native.run(tmp_path / "build" / "stranger", path, litert, **variables)
        assert f"{kind} by " in said
        assert "x2, mean " in said


def test_the_libraries_are_lean(prefix: Path) -> None:
    """The C ABI is linked with no framework; nothing in it is exported but its functions."""
    library = (prefix / "lib" / "libbitsr.so").read_bytes()
    assert b"libexecutorch.so" not in library
    assert b"libpython" not in library
    assert len(library) < 1 << 20
