"""Builds of the C++ runner: where they are, and the libraries that they need on another machine."""

import os
from pathlib import Path

from bitsr.common.installation import checkout, how_to_rebuild, top_folder
from bitsr.runtime.bitsr_run import PACKAGED
from bitsr.validation.errors import EnvironmentMissingError

BUILD_VARIABLE = "BITSR_BUILD_DIR"
RUNNER = "bitsr-run"
LITERT = "libLiteRt.so"
DELEGATE = "libbitsr_tflite.so"
# Targets of the Makefile that make a build; who has an NDK makes the other one so.
_TARGETS = {"native": "build", "arm64": "arm64"}
_COMMANDS = {
    "android-arm64": (
        "cmake -S runtime -B build/android-arm64 -DANDROID_ABI=arm64-v8a -DANDROID_PLATFORM=android-26 "
        "-DCMAKE_TOOLCHAIN_FILE=$ANDROID_NDK/build/cmake/android.toolchain.cmake && cmake --build build/android-arm64"
    ),
}
_EXECUTORCH_LIBRARIES = ("", "_threadpool", "_kernels_optimized", "_backend_xnnpack")


def build_folder(name: str) -> Path:
    """The build "native", "arm64" or "android-arm64": below ``BITSR_BUILD_DIR``, else below build/ of the checkout.

    Raises:
        EnvironmentMissingError: it has no runner.
    """
    root = os.environ.get(BUILD_VARIABLE)
    base = Path(root) if root else top_folder() / "build"
    folder = base / name
    if not (folder / "runner" / RUNNER).is_file():
        command = how_to_rebuild(_TARGETS[name]) if name in _TARGETS else f"build it with: {_COMMANDS[name]}"
        raise EnvironmentMissingError(
            f"the runner {folder / 'runner' / RUNNER} is missing; {command} "
            f"(or set {BUILD_VARIABLE} to the folder of the builds)"
        )
    return folder


def runner(name: str) -> Path:
    """The runner of a build, or for "native" the one of an installed wheel; errors as :func:`build_folder`."""
    if name == "native" and not os.environ.get(BUILD_VARIABLE) and checkout() is None and PACKAGED.is_file():
        return PACKAGED
    return build_folder(name) / "runner" / RUNNER


def executorch_libraries(folder: Path) -> list[Path]:
    """Libraries that the runner of a build opens for a .pte, as far as the build has them."""
    lib = _cached_path(folder, "BITSR_EXECUTORCH_DIR") / "lib"
    found = [folder / "runner" / "libbitsr_pte.so", folder / "executorch" / "libbitsr_executorch.so"]
    found += [lib / f"libexecutorch{part}.so" for part in _EXECUTORCH_LIBRARIES]
    return [path for path in found if path.is_file()]


def litert_libraries(folder: Path) -> list[Path]:
    """LiteRT and our delegate, which the runner opens for a .tflite."""
    found = [_cached_path(folder, "BITSR_LITERT_DIR") / LITERT, folder / "tflite" / DELEGATE]
    return [path for path in found if path.is_file()]


def _cached_path(folder: Path, variable: str) -> Path:
    """A path that CMake was configured with."""
    try:
        lines = (folder / "CMakeCache.txt").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    values = [line.partition("=")[2] for line in lines if line.partition(":")[0] == variable]
    return Path(values[0]) if values and values[0] else folder
