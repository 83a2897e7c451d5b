"""An artifact of any format as a session."""

import numpy as np
from numpy.typing import NDArray

from bitsr.artifact.artifact import Artifact
from bitsr.common.errors import ArtifactError, UsageError
from bitsr.inference.session import Session
from bitsr.inference.session_info import SessionInfo
from bitsr.runtime.network import Network


class ArtifactSession(Session):
    """Run an artifact that enlarges RGB pictures; scale, value range and sizes come from its metadata.

    Raises:
        UsageError: ``scale`` contradicts the artifact, or the artifact is not from RGB to RGB.
        BitsrError: see :meth:`bitsr.artifact.artifact.Artifact.load`.
    """

    def __init__(
        self,
        artifact: Artifact,
        *,
        scale: int | None = None,
        threads: int | None = None,
        runtime: str | None = None,
    ) -> None:
        facts = artifact.info
        check_scale(artifact, scale)
        if (facts.in_channels, facts.out_channels, facts.channel_order) != (3, 3, "RGB"):
            raise UsageError(
                f"{artifact.path} maps {facts.in_channels} channels to {facts.out_channels} (order: "
                f"{facts.channel_order}); pictures need a registered model from RGB to RGB, whose receptive field the "
                "tiler knows"
            )
        network = artifact.load(threads=threads, runtime=runtime)
        self._artifact = artifact
        self._low, self._high = (np.float32(limit) for limit in facts.value_range)
        info = SessionInfo(
            model=facts.model,
            scale=facts.scale,
            runtime=network.runtime,
            max_pixels=facts.sizes.max_pixels,
            receptive_field_radius=facts.receptive_field_radius,
            global_pooling=facts.global_pooling,
            min_side=facts.sizes.min_side,
            multiple=facts.sizes.multiple,
            fixed_side=facts.sizes.only_side,
            bytes_per_pixel=facts.bytes_per_pixel,
        )
        super().__init__(info)
        self._network: Network | None = network

    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self._artifact.info.sizes.check(height=x.shape[2], width=x.shape[3])
        assert self._network is not None  # a closed session does not run
        pixels = self._low == 0 and self._high == 1  # as the network takes them: not a copy more than it needs
        scaled = x if pixels else x * (self._high - self._low) + self._low
        pictures = [self._network.run(np.ascontiguousarray(picture[None])) for picture in scaled]
        y = pictures[0] if len(pictures) == 1 else np.concatenate(pictures)
        expected = (len(x), 3, x.shape[2] * self.info.scale, x.shape[3] * self.info.scale)
        if y.shape != expected:
            raise ArtifactError(
                f"{self._artifact.path} says x{self.info.scale}, so {expected} was expected from "
                f"{x.shape[3]}x{x.shape[2]} pixels, but it gave {y.shape}; export it again"
            )
        return np.asarray(y if pixels else (y - self._low) / (self._high - self._low), dtype=np.float32)

    def close(self) -> None:
        """Refuse to run from now on, and let go of the network's memory."""
        super().close()
        with self._turn:
            self._network = None


def check_scale(artifact: Artifact, scale: int | None) -> None:
    """Refuse a scale that contradicts an artifact.

    Raises:
        UsageError: as said.
    """
    if scale is not None and scale != artifact.info.scale:
        raise UsageError(
            f"{artifact.path} is a x{artifact.info.scale} model, but scale {scale} was asked for; leave the scale out, "
            f"or use a x{scale} artifact"
        )
