"""How much memory a network takes while it runs, for each pixel of its input."""

import torch
from torch import Tensor, nn

from bitsr.common.errors import UnknownNameError
from bitsr.training.models import create_model

_SIDE = 16
# Peaks measured over the families, in float32 maps: PyTorch's deploy form computes the end of a binary layer in
# float64 and in steps, an artefact's body in our kernels; the float rest holds up to four of its largest maps.
_EAGER_BODY_MAPS = 14
_ARTIFACT_BODY_MAPS = 4
_LARGEST_MAPS = 4


def bytes_per_pixel(model_id: str, *, runtime: str) -> int:
    """An upper bound of the memory that a run takes for each pixel of its input, in bytes.

    0 for a model that this version does not know: an artefact may be of another one.
    """
    try:
        with torch.device("meta"):
            model = create_model(model_id).eval()
    except UnknownNameError:
        return 0
    largest = 0

    def look(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal largest
        if isinstance(output, Tensor):
            largest = max(largest, output.numel())

    for module in model.modules():
        module.register_forward_hook(look)
    with torch.no_grad(), torch.device("meta"):
        model(*model.example_inputs((1, 3, _SIDE, _SIDE)))
    body = (_EAGER_BODY_MAPS if runtime == "eager" else _ARTIFACT_BODY_MAPS) * model.info.channels
    return 4 * max(body, _LARGEST_MAPS * largest // _SIDE**2)
