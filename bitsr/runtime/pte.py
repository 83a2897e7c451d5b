"""A .pte in ExecuTorch's Python runtime, with the checks that the runtime leaves out."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import BitsrError
from bitsr.runtime import load_executorch_backend
from bitsr.runtime.network import Map, Turns, from_levels, to_levels

# Its number in ExecuTorch's metadata of tensors.
_SCALAR_TYPE_BYTE = 0


class PteError(BitsrError):
    """A .pte that ExecuTorch does not load or run."""


class PteNetwork:
    """One loaded network with an input and an output map, float32 or the levels of pixels (uint8).

    ``channels`` and ``max_pixels`` (H * W) are what its input takes. Threads that share it take turns.
    """

    runtime = "pte"

    def __init__(self, source: Path | str | bytes, *, name: str = "the .pte", inputs: int = 1) -> None:
        """Load a .pte from a path or from its bytes (``name`` then names it in errors).

        ``inputs`` is how many it has: the map, and the timestep of a step of a diffusion model.

        Raises:
            PteError: ExecuTorch refuses it.
            RuntimeLibraryError, MissingExtraError, UsageError: see :func:`bitsr.runtime.load_executorch_backend`.
        """
        load_executorch_backend()
        from executorch.extension.pybindings import _C

        self._name = name if isinstance(source, bytes) else str(source)
        content = source if isinstance(source, bytes) else self._read(Path(source))
        try:
            # From bytes: a file that is replaced while the network lives must not change under it.
            program = _C._load_program_from_buffer(content)
            names = [program.get_method_name(index) for index in range(program.num_methods())]
            method = program.load_method("forward") if "forward" in names else None
        except (RuntimeError, ValueError) as error:
            raise PteError(
                f"ExecuTorch can not load {self._name} ({_first_line(error)}); the lines above say why; "
                "export the model again"
            ) from error
        if method is None:
            raise PteError(f"{self._name} has no method 'forward'; export the model again")
        metadata = method.method_meta()
        found, outputs = metadata.num_inputs(), metadata.num_outputs()
        if (found, outputs) != (inputs, 1):
            raise PteError(f"{self._name} has {found} inputs and {outputs} outputs, expected {inputs} and 1")
        largest = tuple(metadata.input_tensor_meta(0).sizes())
        if len(largest) != 4:
            raise PteError(f"{self._name} takes an input of {len(largest)} dimensions, expected 4")
        self._takes_levels = metadata.input_tensor_meta(0).dtype() == _SCALAR_TYPE_BYTE
        self.channels = int(largest[1])
        self.max_pixels = int(largest[2] * largest[3])
        self._content = content  # the program reads it as long as it lives
        self._program = program
        self._turns = Turns()
        self._method = method

    def run(self, x: Map, *others: NDArray[Any]) -> Map:
        """Run on a float32 map (1, channels, H, W); the result is a new contiguous array.

        ``others`` are the other inputs, if there are any.

        Raises:
            PteError: the array has another type or shape, is too large, or the network fails on it.
        """
        if x.dtype != np.float32 or x.ndim != 4 or x.shape[:2] != (1, self.channels) or min(x.shape) < 1:
            raise PteError(
                f"{self._name} takes a float32 (1, {self.channels}, H, W) array, got {x.dtype} of shape {x.shape}"
            )
        height, width = x.shape[2:]
        if height * width > self.max_pixels:
            raise PteError(
                f"{self._name} takes at most {self.max_pixels} pixels, got {width} x {height}; use tiles, or export "
                "with a larger pixel budget"
            )
        import torch

        # ExecuTorch's Python runtime reads the memory as it lies, whatever the strides say.
        given = to_levels(x) if self._takes_levels else x
        inputs = [torch.from_numpy(np.ascontiguousarray(value)) for value in (given, *others)]
        with self._turns:
            try:
                (y,) = self._method(inputs)
            except RuntimeError as error:
                raise PteError(
                    f"{self._name} failed on an input of shape {x.shape} ({_first_line(error)}); the lines above say "
                    "why"
                ) from error
            result = np.array(y.numpy(), order="C")
            return from_levels(result) if result.dtype == np.uint8 else result

    def _read(self, path: Path) -> bytes:
        try:
            return path.read_bytes()
        except OSError as error:
            raise PteError(f"cannot read {path}: {error.strerror or error}; write one with: bitsr export") from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
