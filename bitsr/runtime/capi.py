"""The C ABI of the native library (``bitsr/capi.h``), as far as Python uses it. Needs neither torch nor ExecuTorch."""

import ctypes
from collections.abc import Callable
from functools import cache

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import BitsrError
from bitsr.common.installation import how_to_rebuild
from bitsr.runtime import RuntimeLibraryError, find_library

CAPI_LIBRARY = "libbitsr.so"
# More it refuses (runtime/runner/session.cpp).
MAX_THREADS = 256
NCHW, NHWC = 0, 1
_FLOAT32 = 1
_NEEDS_FRAMEWORK = 9
Shape = ctypes.c_int64 * 4


class NativeError(BitsrError):
    """What the native library refuses; its text says what was expected, what came, and what to do."""


class NeedsFrameworkError(NativeError):
    """An artifact with ops that are not ours was to run in the core alone."""


class Options(ctypes.Structure):
    """``bitsr_options``."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("threads", ctypes.c_int32),
        ("isa", ctypes.c_char_p),
        ("litert_library", ctypes.c_char_p),
        ("delegate_library", ctypes.c_char_p),
        ("pte_library", ctypes.c_char_p),
        ("runtime", ctypes.c_char_p),
        ("name", ctypes.c_char_p),
    )


class Info(ctypes.Structure):
    """``bitsr_info``."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        *((name, ctypes.c_char_p) for name in ("format", "runtime", "runtime_version", "isa", "metadata")),
        ("artifact_bytes", ctypes.c_int64),
        *((name, ctypes.c_int32) for name in ("threads", "scale", "in_channels", "out_channels")),
        *((name, ctypes.c_int64) for name in ("min_side", "multiple", "max_pixels", "receptive_field_radius")),
        ("low", ctypes.c_float),
        ("high", ctypes.c_float),
        ("input_shape", Shape),
        ("other_inputs", ctypes.c_int32),
    )


class Tensor(ctypes.Structure):
    """``bitsr_tensor``."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("dtype", ctypes.c_int32),
        ("layout", ctypes.c_int32),
        ("rank", ctypes.c_int32),
        ("shape", Shape),
    )


def tensor(values: NDArray[np.float32], shape: tuple[int, ...], *, layout: int = NCHW) -> Tensor:
    """The memory of a dense array as a tensor of ``shape`` (N, C, H, W) or (N, C), whatever the layout.

    The array has to live as long as the tensor is used.
    """
    sides = Shape(*shape, *[0] * (4 - len(shape)))
    return Tensor(values.ctypes.data, values.nbytes, _FLOAT32, layout, len(shape), sides)


@cache
def library() -> ctypes.CDLL:
    """The loaded library, its functions declared.

    Raises:
        RuntimeLibraryError: it is missing or does not load.
    """
    path = find_library(CAPI_LIBRARY)
    try:
        loaded = ctypes.CDLL(str(path))
    except OSError as error:
        raise RuntimeLibraryError(f"the native library {path} does not load ({error}); {how_to_rebuild()}") from error
    for name in ("version", "last_error"):
        getattr(loaded, f"bitsr_{name}").restype = ctypes.c_char_p
    handle, number, side = ctypes.c_void_p, ctypes.c_int32, ctypes.c_int64
    tensors = ctypes.POINTER(Tensor)
    shape = (handle, number, side, side, side, ctypes.POINTER(ctypes.c_int64))
    arguments: dict[str, tuple[type, ...]] = {
        "load": (ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.POINTER(handle)),
        "destroy": (handle,),
        "input_count": (handle,),
        "output_count": (handle,),
        "input_shape": shape,
        "output_shape": shape,
        "run": (handle, tensors, number, tensors, number),
    }
    for name, types in arguments.items():
        getattr(loaded, f"bitsr_program_{name}").argtypes = types
    loaded.bitsr_program_destroy.restype = None
    options, sessions = ctypes.POINTER(Options), ctypes.POINTER(handle)
    loaded.bitsr_open_memory.argtypes = (
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_char_p,
        options,
        sessions,
    )
    loaded.bitsr_get_info.argtypes = (handle, ctypes.POINTER(Info))
    loaded.bitsr_output_shape.argtypes = (handle, ctypes.POINTER(Shape), ctypes.POINTER(Shape))
    loaded.bitsr_run.argtypes = (handle, tensors, number, tensors)
    loaded.bitsr_close.argtypes = (handle,)
    loaded.bitsr_close.restype = None
    return loaded


def check(status: int) -> None:
    """Raise :class:`NativeError`, or its kind, with the library's own text for a status that is not 0."""
    if status != 0:
        kind = NeedsFrameworkError if status == _NEEDS_FRAMEWORK else NativeError
        raise kind(_text(library().bitsr_last_error))


def version() -> str:
    """The version of the native library."""
    return _text(library().bitsr_version)


def _text(function: Callable[[], bytes]) -> str:
    return function().decode(errors="replace")
