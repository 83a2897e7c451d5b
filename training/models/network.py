"""What all networks are: pictures in, larger pictures out, and the facts that follow from how they are built."""

from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class ModelInfo:
    """What is known of a registered model: the facts of its network, and those of its registration.

    ``scale``, ``channels``, ``receptive_field_radius``, ``global_pooling`` and ``fixed_size`` are the network's, see
    :class:`SuperResolutionModel`; ``config`` are the fields of its configuration.
    """

    id: str
    paper: str
    scale: int
    channels: int
    receptive_field_radius: int
    global_pooling: bool
    fixed_size: int
    config: dict[str, Any] = field(default_factory=dict)


class SuperResolutionModel(nn.Module):
    """Base of all models: RGB (N, 3, H, W) in [0, 1] -> (N, 3, scale*H, scale*W), not clamped.

    ``forward`` does that for networks of one evaluation; ``upscale`` for all, also those that are evaluated repeatedly.

    Args:
        scale: how many times larger the output is on each side.
        channels: of the maps in its body.
        receptive_field_radius: in pixels of the low-resolution picture, without global pooling; with attention what
            tiles overlap.
        global_pooling: an output pixel depends on the whole picture (means over it, or attention that reaches across
            it), so that tiles only approximate.
        fixed_size: side of the square pictures that artifacts take, 0 where they take any size.

    ``info`` is set by :func:`~bitsr.training.models.create_model`; a network that is built by hand has none.
    """

    info: ModelInfo

    def __init__(
        self,
        *,
        scale: int,
        channels: int,
        receptive_field_radius: int,
        global_pooling: bool = False,
        fixed_size: int = 0,
    ) -> None:
        super().__init__()
        self.scale = scale
        self.channels = channels
        self.receptive_field_radius = receptive_field_radius
        self.global_pooling = global_pooling
        self.fixed_size = fixed_size

    @property
    def name(self) -> str:
        """Its id, or for a network that is built by hand the name of its class."""
        return self.info.id if hasattr(self, "info") else type(self).__name__

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
