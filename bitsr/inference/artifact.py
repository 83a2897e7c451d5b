"""What the sessions of all artefact formats share: the facts of the artefact, and its value range."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitsr.artifact.info import ArtifactInfo, read_artifact
from bitsr.common.errors import ArtifactError, UsageError
from bitsr.inference.footprint import bytes_per_pixel
from bitsr.inference.session import SessionInfo


class PictureArtifact:
    """An artefact that enlarges RGB pictures.

    Raises:
        ArtifactError: the file or its metadata is missing, broken or of another version.
        UsageError: ``scale`` contradicts the artefact, or the artefact is not from RGB to RGB.
    """

    def __init__(self, path: Path | str, *, runtime: str, scale: int | None) -> None:
        facts = read_artifact(path)
        if scale is not None and scale != facts.scale:
            raise UsageError(
                f"{path} is a x{facts.scale} model, but scale {scale} was asked for; "
                f"leave the scale out, or use a x{scale} artefact"
            )
        if (facts.in_channels, facts.out_channels, facts.channel_order) != (3, 3, "RGB"):
            raise UsageError(
                f"{path} maps {facts.in_channels} channels to {facts.out_channels} (order: {facts.channel_order}); "
                "pictures need a registered model from RGB to RGB, whose receptive field the tiler knows"
            )
        self._path = path
        self.facts: ArtifactInfo = facts
        self.info = SessionInfo(
            model=facts.model,
            scale=facts.scale,
            runtime=runtime,
            max_pixels=facts.sizes.max_pixels,
            receptive_field_radius=facts.receptive_field_radius,
            global_pooling=facts.global_pooling,
            min_side=facts.sizes.min_side,
            multiple=facts.sizes.multiple,
            fixed_side=facts.sizes.only_side,
            bytes_per_pixel=bytes_per_pixel(facts.model, runtime=runtime),
        )

    def to_network(self, x: NDArray[np.float32]) -> Tensor:
        """(1, 3, H, W) in [0, 1] -> contiguous tensor in the artefact's value range; refuses sizes it does not take."""
        self.facts.sizes.check(height=x.shape[2], width=x.shape[3])
        low, high = (np.float32(limit) for limit in self.facts.value_range)
        return torch.from_numpy(np.ascontiguousarray(x * (high - low) + low))

    def from_network(self, y: Tensor, *, height: int, width: int) -> NDArray[np.float32]:
        """The output for an input of that size -> [0, 1], not clamped.

        Raises:
            ArtifactError: its size is not the input's times the scale that the artefact states.
        """
        expected = (1, 3, height * self.info.scale, width * self.info.scale)
        if tuple(y.shape) != expected:
            raise ArtifactError(
                f"{self._path} says x{self.info.scale}, so {expected} was expected from {width}x{height} pixels, "
                f"but it gave {tuple(y.shape)}; its metadata was changed, export it again"
            )
        low, high = (np.float32(limit) for limit in self.facts.value_range)
        return np.asarray((y.numpy() - low) / (high - low), dtype=np.float32)
