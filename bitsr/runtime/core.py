"""An artifact in the core alone: our own library runs its whole network, and no framework is there."""

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsr.runtime import wanted_kernel
from bitsr.runtime.capi import MAX_THREADS, Info, NativeError, Options, Shape, check, library, tensor
from bitsr.runtime.network import CORE, Map, Turns


class CoreNetwork:
    """One loaded network from a map to a map that is made of our ops, of either format.

    ``channels`` is what its input takes, ``size`` its height and width, 0 where any will do. Threads that share it take
    turns in :meth:`run`. In a child of ``os.fork()`` it is loaded again: another thread may have been in a run.
    """

    runtime = CORE

    def __init__(
        self,
        source: Path | str | bytes,
        *,
        name: str = "the artifact",
        threads: int | None = None,
        kernel: str | None = None,
    ) -> None:
        """Load a .tflite or .pte from a path or from its bytes (``name`` then names it in errors).

        The metadata of a .tflite are checked once more, those of a .pte, which lie beside it, are not read.

        Args:
            threads: of its own; ``None`` is all processors that the process may use.
            kernel: "auto" or an instruction set; by default what ``BITSR_KERNEL`` says.

        Raises:
            NeedsFrameworkError: it has ops that are not ours.
            NativeError: it is damaged, of another version, or can not be read.
            RuntimeLibraryError: the native library is missing.
            UsageError: ``BITSR_KERNEL`` is no kernel that runs here.
        """
        self._name = name if isinstance(source, bytes) else str(source)
        self._content = source if isinstance(source, bytes) else self._read(Path(source))
        self._threads = min(len(os.sched_getaffinity(0)), MAX_THREADS) if threads is None else threads
        self._kernel = kernel or wanted_kernel() or "auto"
        self._library = library()
        self._turns = Turns()
        self._handle: ctypes.c_void_p | None = None
        self._start()
        info = Info(size=ctypes.sizeof(Info))
        check(self._library.bitsr_get_info(self._handle, info))
        _, self.channels, height, width = (int(side) for side in info.input_shape)
        self.size = (height, width)

    def _start(self) -> None:
        # A child lets go of the parent's session without ending it.
        self._handle, self._process = None, os.getpid()
        options = Options(
            size=ctypes.sizeof(Options),
            threads=self._threads,
            isa=self._kernel.encode(),
            runtime=CORE.encode(),
            name=self._name.encode(errors="replace"),
        )
        handle = ctypes.c_void_p()
        content = self._content
        check(self._library.bitsr_open_memory(content, len(content), None, options, ctypes.byref(handle)))
        self._handle = handle

    def __del__(self) -> None:
        if getattr(self, "_handle", None) is not None and self._process == os.getpid():
            self._library.bitsr_close(self._handle)

    def run(self, x: Map, *others: NDArray[Any]) -> Map:
        """Run on a float32 map (1, channels, H, W); the result is a new contiguous array.

        Raises:
            NativeError: the array has another type or shape, there are other inputs, or memory ends.
        """
        if x.dtype != np.float32 or x.ndim != 4 or x.shape[:2] != (1, self.channels) or min(x.shape) < 1:
            raise NativeError(
                f"{self._name} takes a float32 (1, {self.channels}, H, W) array, got {x.dtype} of shape {x.shape}"
            )
        if others:
            raise NativeError(f"{self._name} takes one input, got {1 + len(others)}")
        given = np.ascontiguousarray(x)
        with self._turns:
            if os.getpid() != self._process:
                self._start()
            found = Shape()
            check(self._library.bitsr_output_shape(self._handle, Shape(*given.shape), found))
            result = np.empty(tuple(found), np.float32)
            output = tensor(result, result.shape)
            check(self._library.bitsr_run(self._handle, tensor(given, given.shape), 1, output))
        return result

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise NativeError(f"cannot read {path}: {error.strerror or error}; write one with: bitsr export") from error
