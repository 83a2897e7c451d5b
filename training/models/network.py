"""What all networks are: pictures in, larger pictures out, and the facts that follow from how they are built."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.artifact.info import LIMITS, SizeRules
from bitsr.common.errors import UsageError
from bitsr.common.tiler import DEFAULT_TILE_PIXELS, filled, tiles_within

# (what a network gives, what it should give), float32 of one shape -> a scalar.
Criterion = Callable[[Tensor, Tensor], Tensor]


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

    Raises:
        UsageError: no channel, or a scale that artifacts can not have.

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
        if channels < 1 or not 1 <= scale <= LIMITS["scale"]:
            raise UsageError(
                f"the network has {channels} channels and enlarges by {scale}, expected at least 1 channel and a scale "
                f"from 1 to {LIMITS['scale']}; correct its settings"
            )
        self.scale = scale
        self.channels = channels
        self.receptive_field_radius = receptive_field_radius
        self.global_pooling = global_pooling
        self.fixed_size = fixed_size

    @property
    def name(self) -> str:
        """Its id, or for a network that is built by hand the name of its class."""
        return self.info.id if hasattr(self, "info") else type(self).__name__

    @property
    def sizes(self) -> SizeRules:
        """Sizes of the pictures that one evaluation takes, in an artifact by default as in :meth:`upscale`."""
        side = self.fixed_size
        if side:
            return SizeRules(min_side=side, max_pixels=side**2, multiple=side)
        return SizeRules(min_side=1, max_pixels=DEFAULT_TILE_PIXELS, multiple=1)

    def upscale(self, low: Tensor) -> Tensor:
        """Enlarge a batch of pictures; the model is in evaluation mode and on the device of ``low``.

        The network sees the tiles that its artifact sees, so that what is measured is what a phone sees.
        """
        sizes, scale = self.sizes, self.scale
        height, width = low.shape[2:]
        tiles = tiles_within(
            height,
            width,
            overlap=self.receptive_field_radius,
            max_pixels=sizes.max_pixels,
            min_side=sizes.min_side,
            only_side=sizes.only_side,
        )
        result = low.new_empty((len(low), 3, height * scale, width * scale))
        for tile in tiles:
            part = _fill(low[:, :, tile.top : tile.bottom, tile.left : tile.right], sizes)
            top, left = tile.keep_top * scale, tile.keep_left * scale
            bottom, right = tile.keep_bottom * scale, tile.keep_right * scale
            y = self(part)[..., top - tile.top * scale : bottom - tile.top * scale, :]
            result[:, :, top:bottom, left:right] = y[..., left - tile.left * scale : right - tile.left * scale]
        return result

    def training_loss(
        self, network: nn.Module, low: Tensor, high: Tensor, *, criterion: Criterion = F.l1_loss
    ) -> Tensor:
        """The loss of a batch, a scalar: by default the mean absolute error.

        ``network`` is this model as the trainer runs it (compiled, distributed, in mixed precision), ``criterion``
        compares what it gives with what it should.
        """
        return criterion(network(low).float(), high)

    def example_inputs(self, size: tuple[int, int, int, int]) -> tuple[Tensor, ...]:
        """Inputs of one evaluation for a picture (N, 3, H, W), without values: what costs are counted with."""
        return (torch.empty(size),)


def _fill(x: Tensor, sizes: SizeRules) -> Tensor:
    """Repeat the last row and column of (N, C, H, W) until the network takes the size."""
    missing = [filled(side, min_side=sizes.min_side, multiple=sizes.multiple) - side for side in x.shape[2:]]
    return F.pad(x, (0, missing[1], 0, missing[0]), mode="replicate") if any(missing) else x
