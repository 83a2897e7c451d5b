"""Runs a trained network on photos, and looks at what goes into and comes out of its parts."""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.training.models import SuperResolutionModel
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.validation.figures.reduced import ReducedPhoto

# (name of the part, the part, its inputs, its output)
Look = Callable[[str, nn.Module, tuple[Tensor, ...], object], None]


def reduced_input(photo: Path, *, scale: int) -> Tensor:
    """A photo as the network would be given it: reduced by the scale, RGB (1, 3, H, W) in [0, 1].

    Raises:
        UsageError, PictureError: see :meth:`ReducedPhoto.read`.
    """
    low = np.ascontiguousarray(ReducedPhoto.read(photo, scale=scale).low.transpose(2, 0, 1)[None])
    return torch.from_numpy(low).float() / 255


def observe(model: SuperResolutionModel, x: Tensor, kinds: Sequence[type[nn.Module]], look: Look) -> None:
    """One evaluation of the whole picture; ``look`` is called for each part of ``kinds`` in the order they run.

    Raises:
        UsageError: the model samples in many evaluations, or has no such part.
    """
    if isinstance(model, DiffusionModel):
        raise UsageError(f"{model.name} samples in many steps; this figure is of networks of one evaluation")
    parts = [(name, part) for name, part in model.named_modules() if type(part) in kinds]
    if not parts:
        wanted = ", ".join(kind.__name__ for kind in kinds)
        raise UsageError(f"{model.name} has none of the parts that this figure shows ({wanted}); name another model")
    with ExitStack() as hooks, torch.no_grad():
        for name, part in parts:

            def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: object, *, name: str = name) -> None:
                look(name, module, inputs, output)

            hooks.callback(part.register_forward_hook(hook).remove)
        model.eval()(x)
