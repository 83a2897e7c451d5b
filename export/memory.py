"""How much memory a deploy form takes while it runs, for each pixel of its picture."""

import copy

import torch
from torch import Tensor, nn

from bitsr.export.deploy import fold
from bitsr.training.models import SuperResolutionModel

# Peaks measured over the families, in float32 maps: PyTorch's deploy form computes the end of a binary layer in
# float64 and in steps, an artifact's body in our kernels; the float rest holds up to four of its largest maps.
_EAGER_BODY_MAPS = 14
_ARTIFACT_BODY_MAPS = 4
_LARGEST_MAPS = 4
# Side of the picture that memory is estimated with, where a network takes any: a multiple of every network's windows.
_SIDE = 64


def bytes_per_pixel(deployed: nn.Module, inputs: tuple[Tensor, ...], *, pixels: int, eager: bool = False) -> int:
    """An upper bound of the memory that a run takes for each pixel of its picture, in bytes.

    ``inputs`` are those of one run, the first of them a map (1, C, H, W), for a picture of ``pixels`` pixels; their
    values do not count. ``eager`` is for the deploy form in PyTorch, otherwise for its artifact.
    """
    widest = largest = 0
    side = inputs[0].shape[2]

    def look(module: nn.Module, _: object, output: object) -> None:
        nonlocal widest, largest
        for y in output if isinstance(output, tuple) else (output,):
            if isinstance(y, Tensor) and y.dim() == 4:
                largest = max(largest, y.numel())
                if y.shape[2] == side:
                    widest = max(widest, y.numel())

    shapes = copy.deepcopy(deployed).to("meta")
    for module in shapes.modules():
        module.register_forward_hook(look)
    with torch.no_grad(), torch.device("meta"):
        shapes(*(value.to("meta") for value in inputs))
    body = (_EAGER_BODY_MAPS if eager else _ARTIFACT_BODY_MAPS) * widest
    return 4 * max(body, _LARGEST_MAPS * largest) // pixels


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
    per_pixel = bytes_per_pixel(fold(model), model.example_inputs((1, 3, side, side)), pixels=side**2)
    return per_pixel * (side**2 if model.sizes.only_side else min(height * width, model.sizes.max_pixels))
