"""Finds and loads the native libraries of bitsr."""

import ctypes
import functools
import os
import threading
from pathlib import Path

from bitsr.common.errors import BitsrError, MissingExtraError, UsageError
from bitsr.common.installation import how_to_rebuild
from bitsr.common.quiet import quiet, silent_stderr

DIRECTORY_VARIABLE = "BITSR_RUNTIME_DIR"
KERNEL_VARIABLE = "BITSR_KERNEL"
EXECUTORCH_LIBRARY = "libbitsr_executorch.so"
TFLITE_LIBRARY = "libbitsr_tflite.so"
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
        for path in (folder / name, *(folder / part / name for part in ("executorch", "tflite", "runner", "capi"))):
            if path.is_file():
                return path
    searched = ", ".join(str(folder) for folder in folders)
    raise RuntimeLibraryError(
        f"the native library {name} was not found in {searched}; {how_to_rebuild()}, "
        f"or set {DIRECTORY_VARIABLE} to its folder"
    )


def _load(path: Path) -> ctypes.CDLL:
    try:
        return ctypes.CDLL(str(path))
    except OSError as error:
        raise RuntimeLibraryError(f"the native library {path} does not load ({error}); {how_to_rebuild()}") from error


@functools.cache
def isa_names() -> tuple[str, ...]:
    """Instruction sets that the library has kernels for and this processor can run, the fastest first.

    The last one is "portable"; the first one runs where none is asked for.

    Raises:
        RuntimeLibraryError: the library is missing or does not load.
    """
    names = _load(find_library(TFLITE_LIBRARY)).bitsr_isa_names
    names.restype = ctypes.c_char_p
    text: bytes = names()
    return tuple(text.decode("ascii").split(","))


def wanted_kernel() -> str:
    """What ``BITSR_KERNEL`` says: "" for nothing, "auto", or one of :func:`isa_names`.

    Raises:
        UsageError: it is none of these.
        RuntimeLibraryError: the library that knows is missing or does not load.
    """
    kernel = os.environ.get(KERNEL_VARIABLE, "")
    if kernel and kernel not in ("auto", *isa_names()):
        raise UsageError(f"{KERNEL_VARIABLE} is '{kernel}'; expected one of auto, {', '.join(isa_names())}")
    return kernel


def load_executorch_backend() -> Path:
    """Register ``BitsrBackend`` with ExecuTorch's Python runtime, once in a process; the path of the library.

    The kernel is chosen when a model is loaded: the fastest of this processor, or what ``BITSR_KERNEL`` says.

    Raises:
        MissingExtraError: executorch is not installed.
        RuntimeLibraryError: the library is missing, does not load, or did not register its backend.
        UsageError: ``BITSR_KERNEL`` is no kernel that runs here.
    """
    global _loaded
    wanted_kernel()
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
        _load(path)
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
