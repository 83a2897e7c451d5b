"""Builds of the C++ runner: where they are, and the libraries that they need on another machine."""

import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from bitsr.common.files import cache_folder
from bitsr.common.installation import checkout, how_to_rebuild, top_folder
from bitsr.runtime.bitsr_run import PACKAGED
from bitsr.validation.errors import EnvironmentMissingError

BUILD_VARIABLE = "BITSR_BUILD_DIR"
RUNNER = "bitsr-run"
# What a wheel carries for Android: an archive for each ABI.
PACKAGED_ANDROID = PACKAGED.parent.parent / "android"
ANDROID_ABIS = ("arm64-v8a", "x86_64")
# The libraries that the Android runner opens, and those that they are linked with.
ANDROID_LIBRARIES = {
    ".tflite": ("libtensorflowlite_jni.so", "libbitsr_tflite.so"),
    ".pte": (
        "libbitsr_pte.so",
        "libbitsr_executorch.so",
        "libexecutorch_jni.so",
        "libfbjni.so",
        "libc++_shared.so",
    ),
}
LITERT = "libLiteRt.so"
DELEGATE = "libbitsr_tflite.so"
# Targets of the Makefile that make a build.
_TARGETS = {"native": "build", "arm64": "arm64"}
_EXECUTORCH_LIBRARIES = ("", "_threadpool", "_kernels_optimized", "_backend_xnnpack")


@dataclass(frozen=True)
class DeviceBuild:
    """What a device gets: the runner, and the libraries that it opens for a .tflite and for a .pte."""

    runner: Path
    libraries: dict[str, list[Path]]

    @property
    def folder(self) -> Path:
        return self.runner.parent


def build_folder(name: str) -> Path:
    """The build "native" or "arm64": below ``BITSR_BUILD_DIR``, else below build/ of the checkout.

    Raises:
        EnvironmentMissingError: it has no runner.
    """
    root = os.environ.get(BUILD_VARIABLE)
    base = Path(root) if root else top_folder() / "build"
    folder = base / name
    if not (folder / "runner" / RUNNER).is_file():
        raise EnvironmentMissingError(
            f"the runner {folder / 'runner' / RUNNER} is missing; {how_to_rebuild(_TARGETS[name])} "
            f"(or set {BUILD_VARIABLE} to the folder of the builds)"
        )
    return folder


def runner(name: str) -> Path:
    """The runner of a build, or for "native" the one of an installed wheel; errors as :func:`build_folder`."""
    if name == "native" and not os.environ.get(BUILD_VARIABLE) and checkout() is None and PACKAGED.is_file():
        return PACKAGED
    return build_folder(name) / "runner" / RUNNER


def linux_build() -> DeviceBuild:
    """The build for an arm64 Linux behind adb; errors as :func:`build_folder`."""
    folder = build_folder("arm64")
    libraries = {".tflite": litert_libraries(folder), ".pte": executorch_libraries(folder)}
    return DeviceBuild(folder / "runner" / RUNNER, libraries)


def android_build(abi: str) -> DeviceBuild:
    """The build for Android's ``abi``: below ``BITSR_BUILD_DIR``, of the checkout, or the one that a wheel carries.

    Raises:
        EnvironmentMissingError: there is none.
    """
    root = os.environ.get(BUILD_VARIABLE)
    folder = (Path(root) if root else top_folder() / "build") / "android" / abi
    packed = PACKAGED_ANDROID / f"{abi}.tar.xz"
    if not (folder / RUNNER).is_file() and not root and packed.is_file():
        folder = _unpacked(packed)
    if not (folder / RUNNER).is_file():
        raise EnvironmentMissingError(
            f"the runner for Android's {abi} is missing: {folder / RUNNER}; {how_to_rebuild('android-runner')} "
            f"(or set {BUILD_VARIABLE} to the folder of the builds)"
        )
    libraries = {
        suffix: [path for name in names if (path := folder / name).is_file()]
        for suffix, names in ANDROID_LIBRARIES.items()
    }
    return DeviceBuild(folder / RUNNER, libraries)


def _unpacked(packed: Path) -> Path:
    """The content of an archive of the wheel, in the user's cache under its size and time."""
    facts = packed.stat()
    folder = cache_folder() / "android" / f"{packed.name.partition('.')[0]}-{facts.st_size}-{facts.st_mtime_ns}"
    if not folder.is_dir():
        folder.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(dir=folder.parent))
        with tarfile.open(packed) as archive:
            # Python 3.11.2, Debian 12's, has no filters yet and takes no argument for one.
            archive.extraction_filter = getattr(tarfile, "data_filter", None)
            archive.extractall(made)
        try:
            made.rename(folder)
        except OSError:  # another process was first
            shutil.rmtree(made)
    return folder


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
