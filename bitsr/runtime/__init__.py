"""Finds and loads the native libraries of bitsr."""

import ctypes
import os
import threading
from pathlib import Path

from bitsr.common.errors import BitsrError, MissingExtraError, UsageError
from bitsr.common.installation import how_to_rebuild
from bitsr.common.quiet import quiet, silent_stderr

DIRECTORY_VARIABLE = "BITSR_RUNTIME_DIR"
KERNEL_VARIABLE = "BITSR_KERNEL"
KERNELS = ("auto", "portable", "avx2", "avx512", "neon")
EXECUTORCH_LIBRARY = "libbitsr_executorch.so"
EXECUTORCH_BACKEND = "BitsrBackend"

_lock = threading.Lock()
_loaded: Path | None = None


class RuntimeLibraryError(BitsrError):
    """A native library that is missing or can not be loaded."""


def library_directories() -> list[Path]:
    """Folders that are searched, in this order.

    ``BITSR_RUNTIME_DIR`` alone if it is set; otherwise ``bitsr/runtime/lib`` of the installed package, then
    ``build/native`` of a checkout.
    """
    override = os.environ.get(DIRECTORY_VARIABLE)
    if override:
        return [Path(override)]
    here = Path(__file__).resolve().parent
    return [here / "lib", here.parents[1] / "build" / "native"]


def find_library(name: str) -> Path:
    """Path of a native library.

    Raises:
        RuntimeLibraryError: it is in none of :func:`library_directories`.
    """
    folders = library_directories()
    for folder in folders:
        # CMake puts a library into the sub-folder of the build tree that its CMakeLists.txt has.
        for path in (folder / name, *(folder / part / name for part in ("executorch", "tflite", "runner"))):
            if path.is_file():
                return path
    searched = ", ".join(str(folder) for folder in folders)
    raise RuntimeLibraryError(
        f"the native library {name} was not found in {searched}; {how_to_rebuild()}, "
        f"or set {DIRECTORY_VARIABLE} to its folder"
    )


def load_executorch_backend() -> Path:
    """Register ``BitsrBackend`` with ExecuTorch's Python runtime, once in a process; the path of the library.

    The kernel is chosen when a model is loaded: the fastest of this processor, or what ``BITSR_KERNEL`` says.

    Raises:
        MissingExtraError: executorch is not installed.
        RuntimeLibraryError: the library is missing, does not load, or did not register its backend.
        UsageError: ``BITSR_KERNEL`` is no kernel's name.
    """
    global _loaded
    kernel = os.environ.get(KERNEL_VARIABLE, "")
    if kernel and kernel not in KERNELS:
        raise UsageError(f"{KERNEL_VARIABLE} is '{kernel}'; expected one of {', '.join(KERNELS)}")
    with _lock:
        if _loaded is not None:
            return _loaded
        try:
            # Imported first: it loads the libraries that ours is linked with. The extension itself rather than
            # `executorch.runtime`, which imports the whole exporter: milliseconds instead of seconds.
            with quiet():
                import torch  # noqa: F401  the extension is linked with torch's libraries
                from executorch.extension.pybindings import _C
        except ImportError as error:
            raise MissingExtraError("executorch", extra="executorch", purpose="Running a .pte") from error
        path = find_library(EXECUTORCH_LIBRARY)
        try:
            ctypes.CDLL(str(path))
        except OSError as error:
            raise RuntimeLibraryError(
                f"the native library {path} does not load ({error}); {how_to_rebuild()}"
            ) from error
        if EXECUTORCH_BACKEND not in _C._get_registered_backend_names():
            raise RuntimeLibraryError(
                f"{path} was loaded but ExecuTorch does not know {EXECUTORCH_BACKEND}: it is not of the installed "
                f"executorch; {how_to_rebuild()}"
            )
        with silent_stderr():
            # The first use creates the thread pool, which reports the ARM files that it misses on other processors.
            _C._threadpool_get_thread_count()
        _loaded = path
        return path
