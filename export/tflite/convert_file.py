"""``bitsr convert``: rewrite a .tflite, compare it with what it was, write it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitsr.common.errors import ArtifactError, UsageError
from bitsr.common.files import atomic_write
from bitsr.common.quiet import silent_stderr
from bitsr.export.errors import ExportError
from bitsr.export.tflite.binarize_graph import Rewritten, rewrite
from bitsr.export.verification import Reference, Verification
from bitsr.runtime import TFLITE_LIBRARY, find_library

# Sides of the comparison's inputs where the model leaves them open.
_OPEN_SIDES = (1, 27, 37, 16)


@dataclass(frozen=True)
class Conversion:
    """What became of the layers, the original's bytes, and how the result agrees with it on inputs of ``shape``.

    ``shape`` is that of the input, (N, H, W, C), of a network from one map to one map, and empty for others.
    """

    rewritten: Rewritten
    bytes_before: int
    verification: Verification
    shape: tuple[int, ...]


def convert(source: Path, target: Path, *, overwrite: bool = False) -> Conversion:
    """Rewrite ``source``, of any float32 inputs and outputs, to ``target``.

    Raises:
        UsageError: ``source`` is missing, or ``target`` exists or is the source.
        ArtifactError: ``source`` is no .tflite, or broken.
        ExportError: nothing can be rewritten, or the result does not compute what the original does.
        BitsrError: the original or the result can not be run.
    """
    if not source.is_file():
        raise UsageError(f"there is no file {source}; name a .tflite")
    if target.exists() and target.samefile(source):
        raise UsageError(f"{target} is the input; choose another output")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists; choose another name, or overwrite it (--overwrite)")
    try:
        content = source.read_bytes()
    except OSError as error:
        raise ArtifactError(f"cannot read {source}: {error.strerror or error}; name a .tflite") from error
    rewritten = rewrite(content, name=str(source))
    original = _network(content, name=str(source), delegate=False)
    reference = Reference(original.run, [original.inputs(seed) for seed in range(2)])
    found = reference.compare(_network(rewritten.content, name=str(target), delegate=True).run)
    if not found.passed:
        raise ExportError(
            f"the rewritten {source} does not compute what the original does: they agree to {found.psnr:.1f} dB, "
            f"expected at least {found.least:.1f} (the original answers a change of its input's last bit with "
            f"{found.sensitivity:.1f} dB); nothing was written; SIGN of an exact 0 is +1 in our kernels, 0 in LiteRT"
        )
    with atomic_write(target) as temporary:
        temporary.write_bytes(rewritten.content)
    shapes = [tuple(x.shape) for x in (*reference.inputs[0], *reference.outputs[0])]
    one_map = len(shapes) == 2 and all(len(shape) == 4 for shape in shapes)
    return Conversion(rewritten, len(content), found, shapes[0] if one_map else ())


class _Interpreter:
    """A .tflite in LiteRT, as it is: tensors in its own layout."""

    def __init__(self, interpreter: Any, name: str) -> None:
        self._interpreter = interpreter
        self._name = name
        self._inputs = interpreter.get_input_details()
        wrong = [details["dtype"].__name__ for details in self._inputs if details["dtype"] is not np.float32]
        if wrong:
            raise ExportError(f"{name} takes {wrong[0]}, expected float32; convert the float model")

    def inputs(self, seed: int) -> tuple[Tensor, ...]:
        """Noise in [0, 1) of the sizes that it takes, or of some where it leaves them open."""
        generator = torch.Generator().manual_seed(seed)
        shapes = [
            [_OPEN_SIDES[place] if side < 1 else int(side) for place, side in enumerate(details["shape_signature"])]
            for details in self._inputs
        ]
        return tuple(torch.rand(shape, generator=generator) for shape in shapes)

    def run(self, given: tuple[Tensor, ...]) -> Sequence[Tensor]:
        try:
            for details, x in zip(self._inputs, given, strict=True):
                if tuple(details["shape"]) != tuple(x.shape):
                    self._interpreter.resize_tensor_input(details["index"], list(x.shape), strict=True)
            with silent_stderr():
                self._interpreter.allocate_tensors()
            for details, x in zip(self._inputs, given, strict=True):
                self._interpreter.set_tensor(details["index"], x.numpy())
            self._interpreter.invoke()
            outputs = self._interpreter.get_output_details()
            return [torch.from_numpy(self._interpreter.get_tensor(item["index"])) for item in outputs]
        except (RuntimeError, ValueError) as error:
            raise _failure(self._name, error) from error


def _network(content: bytes, *, name: str, delegate: bool) -> _Interpreter:
    make, load = _litert()
    delegates = [load(str(find_library(TFLITE_LIBRARY)))] if delegate else []
    try:
        with silent_stderr():
            return _Interpreter(make(model_content=content, experimental_delegates=delegates), name)
    except (RuntimeError, ValueError) as error:
        raise _failure(name, error) from error


def _litert() -> tuple[Callable[..., Any], Callable[..., Any]]:
    from ai_edge_litert.interpreter import Interpreter, load_delegate

    return Interpreter, load_delegate


def _failure(name: str, error: Exception) -> ExportError:
    return ExportError(f"LiteRT does not run {name} ({' '.join(str(error).split())}); convert a model that it runs")
