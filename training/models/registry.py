"""Model ids and what is known about each model without building it twice."""

import difflib
import fnmatch
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.common.errors import UnknownNameError


@dataclass(frozen=True)
class ModelInfo:
    """Facts of a model that exporters, the tiler and the command line need.

    ``receptive_field_radius`` is in pixels of the low-resolution picture, without global pooling;
    ``global_pooling`` says that an output pixel depends on the whole picture (means over it, or attention that reaches
    across it), so that tiles only approximate. With attention the radius is what tiles overlap.
    ``tile`` is the side of the square pictures that artefacts take, 0 where they take any size.
    """

    id: str
    family: str
    scale: int
    channels: int
    blocks: int
    receptive_field_radius: int
    global_pooling: bool
    paper: str
    tile: int = 0
    config: dict[str, Any] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class SuperResolutionModel(nn.Module):
    """Base of all models: RGB (N, 3, H, W) in [0, 1] -> (N, 3, scale*H, scale*W), not clamped.

    ``forward`` does that for networks of one evaluation; ``upscale`` for all, also those that are evaluated repeatedly.
    """

    info: ModelInfo

    def upscale(self, low: Tensor) -> Tensor:
        """Enlarge a batch of pictures; the model is in evaluation mode and on the device of ``low``."""
        return self(low)

    def training_loss(self, network: nn.Module, low: Tensor, high: Tensor) -> Tensor:
        """The loss of a batch, a scalar: by default the mean absolute error.

        ``network`` is this model as the trainer runs it (compiled, distributed, in mixed precision).
        """
        return F.l1_loss(network(low).float(), high)

    def example_inputs(self, size: tuple[int, int, int, int]) -> tuple[Tensor, ...]:
        """Inputs of one evaluation for a picture (N, 3, H, W), without values: what costs are counted with."""
        return (torch.empty(size),)


Builder = Callable[[str, int], SuperResolutionModel]
# Networks of one evaluation, and those that sample a picture in many (``training.models.diffusion``).
Kind = Literal["direct", "diffusion"]
_BUILDERS: dict[str, tuple[Builder, int]] = {}
_KINDS: dict[str, Kind] = {}


def register_model(
    pattern: str, *, scales: tuple[int, ...] = (2, 3, 4), kind: Kind = "direct"
) -> Callable[[Builder], Builder]:
    """Register ``builder(model_id, scale)`` under ``pattern`` with ``{scale}`` filled in, for every scale."""

    def decorate(builder: Builder) -> Builder:
        for scale in scales:
            model_id = pattern.format(scale=scale)
            if model_id in _BUILDERS:
                raise ValueError(f"the model id '{model_id}' is registered twice")
            _BUILDERS[model_id] = (builder, scale)
            _KINDS[model_id] = kind
        return builder

    return decorate


def list_models(glob: str = "*", *, kind: Kind | None = None) -> list[str]:
    """Ids that match a shell pattern, sorted; of one kind, or of all."""
    return sorted(name for name in fnmatch.filter(_BUILDERS, glob) if kind in (None, _KINDS[name]))


def create_model(model_id: str) -> SuperResolutionModel:
    """Build a model with fresh weights.

    Raises:
        UnknownNameError: no such id; the nearest one is named.
    """
    builder, scale = _lookup(model_id)
    return builder(model_id, scale)


def model_info(model_id: str) -> ModelInfo:
    """Facts of a model, without allocating its weights."""
    builder, scale = _lookup(model_id)
    with torch.device("meta"):
        return builder(model_id, scale).info


def _lookup(model_id: str) -> tuple[Builder, int]:
    try:
        return _BUILDERS[model_id]
    except KeyError:
        near = difflib.get_close_matches(model_id, _BUILDERS, n=3, cutoff=0.4)
        hint = f"did you mean {' or '.join(near)}?" if near else "`bitsr models` lists them."
        raise UnknownNameError(f"there is no model '{model_id}'; {hint}") from None
