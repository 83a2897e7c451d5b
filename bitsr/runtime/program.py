"""Runs a program blob, what one delegate partition executes, in the native library: for tests and tools."""

import ctypes
import weakref
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from bitsr.runtime.capi import NCHW, NHWC, NativeError, Tensor, check, library, tensor

Map = NDArray[np.float32]


class NativeProgram:
    """A loaded program. Maps are float32 (N, C, H, W), planes (N, 1, H, W), vectors (N, C, 1, 1) or (N, C).

    It may be used by several threads; its runs take turns.

    Example:
        >>> NativeProgram(path.read_bytes()).run(x)[0].shape  # doctest: +SKIP
        (1, 64, 32, 32)
    """

    def __init__(self, blob: bytes, *, isa: str = "auto") -> None:
        """Check and load a blob (``bitsr.artifact.program.write_program``).

        Raises:
            NativeError: it is no valid program, or this machine lacks the instruction set.
            RuntimeLibraryError: the native library is missing.
        """
        self._library = library()
        handle = ctypes.c_void_p()
        check(self._library.bitsr_program_load(blob, len(blob), isa.encode(), ctypes.byref(handle)))
        self._handle = handle
        weakref.finalize(self, self._library.bitsr_program_destroy, handle)
        self.input_count = int(self._library.bitsr_program_input_count(handle))
        self.output_count = int(self._library.bitsr_program_output_count(handle))

    def input_shape(self, number: int, *, height: int, width: int, batch: int = 1) -> tuple[int, ...]:
        """(N, C, H, W) of an input where the first one is (batch, ?, height, width)."""
        return self._shape(self._library.bitsr_program_input_shape, number, (batch, height, width))

    def run(self, *inputs: Map, channels_last: bool = False) -> list[Map]:
        """All outputs, (N, C, H, W), from all inputs.

        With ``channels_last`` the maps are handed over in that order of the memory, as LiteRT does; the values are the
        same.

        Raises:
            NativeError: number, type or shape of the inputs does not fit the program.
        """
        for number, values in enumerate(inputs):
            if values.dtype != np.float32 or values.ndim not in (2, 4):
                raise NativeError(
                    f"input {number} is {values.dtype} of {values.ndim} dimensions, expected float32 of 4 (N, C, H, W) "
                    "or 2 (N, C)"
                )
        if not inputs or inputs[0].ndim != 4:
            raise NativeError("the first input is no map, expected (N, C, H, W), which gives all others their size")
        batch, _, *sides = inputs[0].shape
        layout = NHWC if channels_last else NCHW
        shapes = [
            self._shape(self._library.bitsr_program_output_shape, number, (batch, sides[0], sides[1]))
            for number in range(self.output_count)
        ]
        given = [_dense(values, layout) for values in inputs]
        results = [np.empty(_stored(shape, layout), np.float32) for shape in shapes]
        sources = _tensors(given, [values.shape for values in inputs], layout)
        targets = _tensors(results, shapes, layout)
        check(self._library.bitsr_program_run(self._handle, sources, len(given), targets, len(results)))
        return [np.ascontiguousarray(y.transpose(0, 3, 1, 2)) if channels_last else y for y in results]

    def _shape(self, ask: Callable[..., int], number: int, size: tuple[int, int, int]) -> tuple[int, ...]:
        found = (ctypes.c_int64 * 4)()
        check(ask(self._handle, number, *size, found))
        return tuple(found)


def _dense(values: Map, layout: int) -> Map:
    return np.ascontiguousarray(values.transpose(0, 2, 3, 1) if layout == NHWC and values.ndim == 4 else values)


def _stored(shape: tuple[int, ...], layout: int) -> tuple[int, ...]:
    n, c, h, w = shape
    return (n, h, w, c) if layout == NHWC else shape


def _tensors(arrays: Sequence[Map], shapes: Sequence[tuple[int, ...]], layout: int) -> ctypes.Array[Tensor]:
    found = [tensor(values, shape, layout=layout) for values, shape in zip(arrays, shapes, strict=True)]
    return (Tensor * len(found))(*found)
