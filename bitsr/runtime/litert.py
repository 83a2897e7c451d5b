"""A .tflite in LiteRT's or TensorFlow's stock interpreter, our ops in the external delegate."""

import ctypes
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import BitsrError, MissingExtraError, UsageError
from bitsr.common.installation import how_to_rebuild
from bitsr.common.quiet import quiet, silent_stderr
from bitsr.runtime import TFLITE_LIBRARY, RuntimeLibraryError, find_library, wanted_kernel
from bitsr.runtime.network import Map, Turns, from_levels, to_levels

INTERPRETERS = ("litert", "tensorflow")


class TfliteError(BitsrError):
    """A .tflite that the interpreter does not load or run."""


class TfliteNetwork:
    """One loaded network with an input and an output map: float32, the levels of pixels (uint8), or int8 with a scale.

    ``channels`` is what its input takes, ``size`` its height and width, -1 where any will do. Threads that share it
    take turns in :meth:`run`. In a child of ``os.fork()`` it is loaded again, because the threads are the parent's.
    """

    runtime = "tflite"

    def __init__(
        self,
        source: Path | str | bytes,
        *,
        name: str = "the .tflite",
        threads: int | None = None,
        delegate: bool = True,
        interpreter: str = "litert",
        options: dict[str, str] | None = None,
        inputs: int = 1,
    ) -> None:
        """Load a .tflite from a path or from its bytes (``name`` then names it in errors).

        Args:
            threads: for the float layers and our kernels; ``None`` is all processors that the process may use.
            delegate: ``False`` for a file in stock ops, which needs no library of ours.
            interpreter: of which package, of :data:`INTERPRETERS`.
            options: of the delegate: kernel, threads, verbose. The kernel is by default what ``BITSR_KERNEL`` says.
            inputs: how many it has: the map, and the timestep of a step of a diffusion model.

        Raises:
            TfliteError: the interpreter refuses the model.
            RuntimeLibraryError: the delegate's library is missing or does not load.
            UsageError: an option or ``BITSR_KERNEL`` has no such value.
            MissingExtraError: the interpreter's package is not installed.
        """
        self._name = name if isinstance(source, bytes) else str(source)
        make, load_delegate = _stock(interpreter)
        content = source if isinstance(source, bytes) else self._read(Path(source))
        count = len(os.sched_getaffinity(0)) if threads is None else threads
        # XNNPACK announces itself when it first comes into use; errors arrive as exceptions.
        self._quiet = nullcontext if "verbose" in (options or {}) else silent_stderr
        self._turns = Turns()

        def make_interpreter() -> Any:
            delegates = [_load(load_delegate, options or {})] if delegate else []
            with self._quiet():
                return make(model_content=content, experimental_delegates=delegates, num_threads=count)

        self._make_interpreter = make_interpreter
        self._inputs = inputs
        self._start()
        signature = [int(side) for side in self._input["shape_signature"]]
        if len(signature) != 4:
            raise TfliteError(f"{self._name} takes an input of {len(signature)} dimensions, expected 4")
        self.channels = signature[3]
        self.size = (signature[1], signature[2])

    def _start(self) -> None:
        self._process = os.getpid()
        try:
            self._interpreter = self._make_interpreter()
            # The converter orders them by name.
            found = sorted(self._interpreter.get_input_details(), key=lambda one: len(one["shape"]), reverse=True)
            self._input, *self._others = _expect(found, self._inputs, self._name, "inputs")
            (self._output,) = _expect(self._interpreter.get_output_details(), 1, self._name, "outputs")
            self._shape: tuple[int, ...] | None = None
        except (RuntimeError, ValueError) as error:
            raise self._failure("can not be loaded", error) from error

    def run(self, x: Map, *others: NDArray[Any]) -> Map:
        """Run on a float32 map (1, channels, H, W); the result is a new contiguous float32 array.

        ``others`` are the other inputs, if there are any.

        Raises:
            TfliteError: the array has another type or shape, or the network fails on it.
        """
        with self._turns:
            self.put(x, *others)
            self.invoke()
            y = self._interpreter.get_tensor(self._output["index"])
        if self._output["dtype"] == np.uint8:
            y = from_levels(y)
        elif self._output["dtype"] == np.int8:
            scale, zero = self._output["quantization"]
            y = (y.astype(np.float32) - zero) * np.float32(scale)
        return np.ascontiguousarray(y.transpose(0, 3, 1, 2))

    def put(self, x: Map, *others: NDArray[Any]) -> None:
        """Hand over the inputs of :meth:`invoke`; arguments and errors as :meth:`run`.

        The two are for timing, and for one thread.
        """
        if os.getpid() != self._process:
            # Its end would wait for threads that are not here.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._interpreter))
            self._start()
        if x.dtype != np.float32 or x.ndim != 4 or x.shape[:2] != (1, self.channels) or min(x.shape) < 1:
            raise TfliteError(
                f"{self._name} takes a float32 (1, {self.channels}, H, W) array, got {x.dtype} of shape {x.shape}"
            )
        pixels: NDArray[Any] = np.ascontiguousarray(x.transpose(0, 2, 3, 1))
        if self._input["dtype"] == np.uint8:
            pixels = to_levels(pixels)
        elif self._input["dtype"] == np.int8:
            scale, zero = self._input["quantization"]
            pixels = np.clip(np.round(pixels / np.float32(scale)) + zero, -128, 127).astype(np.int8)
        index = self._input["index"]
        try:
            if self._shape != pixels.shape:
                self._shape = None  # stays so if the new size is refused
                self._interpreter.resize_tensor_input(index, pixels.shape, strict=True)
                with self._quiet():
                    self._interpreter.allocate_tensors()
                self._shape = pixels.shape
            self._interpreter.set_tensor(index, pixels)
            for details, tensor in zip(self._others, others, strict=True):
                self._interpreter.set_tensor(details["index"], tensor)
        except (RuntimeError, ValueError) as error:
            raise self._failure(f"failed on an input of shape {x.shape}", error) from error

    def invoke(self) -> None:
        """Run on what was put in, and leave the output in the interpreter's memory."""
        try:
            self._interpreter.invoke()
        except (RuntimeError, ValueError) as error:
            raise self._failure(f"failed on an input of shape {self._shape}", error) from error

    def _failure(self, what: str, error: Exception) -> TfliteError:
        text = " ".join(str(error).split())
        if "unresolved custom op: Bitsr" in text:
            return TfliteError(
                f"{self._name} has ops of bitsr and was loaded without its delegate; pass {TFLITE_LIBRARY} to "
                "load_delegate() and the delegate to the interpreter, or use a file in stock ops "
                "(bitsr export --stock-ops)"
            )
        return TfliteError(f"{self._name} {what} ({text}); export the model again")

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise TfliteError(f"cannot read {path}: {error.strerror or error}; write one with: bitsr export") from error


def _stock(interpreter: str) -> tuple[Any, Any]:
    try:
        with quiet(), silent_stderr():
            if interpreter == "litert":
                from ai_edge_litert.interpreter import Interpreter, load_delegate

                return Interpreter, load_delegate
            if interpreter == "tensorflow":
                os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
                # First torch's compiler: its Triton, loaded after TensorFlow, crashes the process.
                import torch._dynamo  # noqa: F401, I001
                import tensorflow as tf

                return tf.lite.Interpreter, tf.lite.experimental.load_delegate
    except ImportError as error:
        package, extra = ("ai-edge-litert", "litert") if interpreter == "litert" else ("tensorflow", "export")
        raise MissingExtraError(package, extra=extra, purpose="Running a .tflite") from error
    raise UsageError(f"the interpreter is '{interpreter}'; expected one of {', '.join(INTERPRETERS)}")


def _load(load_delegate: Any, options: dict[str, str]) -> Any:
    kernel = wanted_kernel()
    chosen = {**({"kernel": kernel} if kernel else {}), **options}
    path = find_library(TFLITE_LIBRARY)
    try:
        return load_delegate(str(path), chosen)
    except ValueError as error:  # an option that the delegate refuses
        raise UsageError(" ".join(str(error).split())) from error
    except OSError as error:
        raise RuntimeLibraryError(f"the native library {path} does not load ({error}); {how_to_rebuild()}") from error


def _expect(details: list[dict[str, Any]], count: int, name: str, what: str) -> list[dict[str, Any]]:
    if len(details) != count:
        raise TfliteError(f"{name} has {len(details)} {what}, expected {count}")
    return details
