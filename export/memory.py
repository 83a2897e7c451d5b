"""How much memory a deploy form takes while it runs, for each pixel of its picture."""

import copy
import math

import torch
from torch import Tensor, nn

from bitsr.export.deploy import FoldedBackbone, ends_in_our_ops, fold
from bitsr.training.models import SuperResolutionModel

# Peaks measured over the families, in float32 maps: PyTorch's deploy form computes the end of a binary layer in
# float64 and in steps, an artifact's body in our kernels; the float rest holds up to four of its largest maps.
_EAGER_BODY_MAPS = 14
_ARTIFACT_BODY_MAPS = 4
_LARGEST_MAPS = 4
# A network's end in our kernels holds a strip of its maps (runtime/core/run_strips.cpp): four rows of the picture, and
# about as many again that two strips read.
_STRIP_ROWS = 8
_VALUE_BYTES = 4
# Side of the picture that memory is estimated with, where a network takes any: a multiple of every network's windows.
_SIDE = 64


def bytes_per_pixel(
    deployed: nn.Module, inputs: tuple[Tensor, ...], *, pixels: int, largest: int | None = None, eager: bool = False
) -> int:
    """An upper bound of the memory that a run takes for each pixel of its picture, in bytes.

    ``inputs`` are those of one run, the first of them a map (1, C, H, W), for a picture of ``pixels`` pixels; their
    values do not count. ``largest`` is how many pixels the largest picture has, by default as many; strips of our
    kernels are a smaller share of a larger one. ``eager`` is for the deploy form in PyTorch, not for its artifact.
    """
    shapes = copy.deepcopy(deployed).to("meta")
    if not eager and ends_in_our_ops(shapes):
        assert isinstance(shapes, FoldedBackbone)
        body = _Maps([shapes.head, shapes.body])
        end = _Maps([part for part in (shapes.tail, shapes.shuffle, shapes.skip) if part is not None])
        result = _run_on_meta(shapes, inputs)
        most = (
            _ARTIFACT_BODY_MAPS * body.largest()
            + end.total() * _STRIP_ROWS // math.isqrt(largest or pixels)
            + result.numel()
        )
    else:
        maps = _Maps([shapes])
        _run_on_meta(shapes, inputs)
        body_maps = _EAGER_BODY_MAPS if eager else _ARTIFACT_BODY_MAPS
        most = max(body_maps * maps.largest(height=inputs[0].shape[2]), _LARGEST_MAPS * maps.largest())
    return _VALUE_BYTES * most // pixels


class _Maps:
    """Sizes of the maps (N, C, H, W) that the modules inside of some give, in numbers."""

    def __init__(self, modules: list[nn.Module]) -> None:
        self._sizes: list[tuple[int, int]] = []  # height and numbers
        self._of_leaves = 0
        for module in modules:
            for part in module.modules():
                part.register_forward_hook(self._look)

    def _look(self, module: nn.Module, _: object, output: object) -> None:
        for y in output if isinstance(output, tuple) else (output,):
            if isinstance(y, Tensor) and y.dim() == 4:
                self._sizes.append((y.shape[2], y.numel()))
                self._of_leaves += 0 if any(True for _ in module.children()) else y.numel()

    def largest(self, *, height: int | None = None) -> int:
        """Of all maps, or of those of a height."""
        return max((size for rows, size in self._sizes if height in (None, rows)), default=0)

    def total(self) -> int:
        """Of all that a layer gives, in sum."""
        return self._of_leaves


def _run_on_meta(shapes: nn.Module, inputs: tuple[Tensor, ...]) -> Tensor:
    with torch.no_grad(), torch.device("meta"):
        result: Tensor = shapes(*(value.to("meta") for value in inputs))
    return result


def example_side(model: SuperResolutionModel) -> int:
    """Side of the picture that the memory of a model's forms is estimated with."""
    return model.sizes.only_side or _SIDE


def artifact_bytes_in_use(model: SuperResolutionModel, *, height: int, width: int) -> int:
    """An upper bound of the memory that its artifact takes while it enlarges a picture, in bytes.

    A picture beyond the sizes that the artifact takes by default is tiled, so it is that of the largest tile.

    Raises:
        ExportError: the model has no deploy form.
    """
    side = example_side(model)
    largest = side**2 if model.sizes.only_side else min(height * width, model.sizes.max_pixels)
    example = model.example_inputs((1, 3, side, side))
    return largest * bytes_per_pixel(fold(model), example, pixels=side**2, largest=largest)
