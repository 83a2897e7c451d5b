"""A .tflite in LiteRT, its body in our kernels."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from bitsr.common.errors import UsageError
from bitsr.export.artifact import ArtifactInfo, read_artifact
from bitsr.export.tflite.container import graph_ops
from bitsr.inference.session import SessionInfo
from bitsr.runtime.litert import TfliteNetwork


class TfliteSession:
    """Run a .tflite or its float twin; scale, value range and sizes come from the metadata in the file.

    Raises:
        ArtifactError: the file is missing, broken, of another version or has no metadata of ours.
        UsageError: ``scale`` contradicts the artefact.
        BitsrError: LiteRT or the delegate's library is missing, or refuses the model.
    """

    def __init__(self, path: Path | str, *, scale: int | None = None, threads: int | None = None) -> None:
        self.artifact: ArtifactInfo = read_artifact(path)
        if scale is not None and scale != self.artifact.scale:
            raise UsageError(
                f"{path} is a x{self.artifact.scale} model, but scale {scale} was asked for; "
                f"leave the scale out, or use a x{scale} artefact"
            )
        if (self.artifact.in_channels, self.artifact.out_channels) != (3, 3):
            raise UsageError(
                f"{path} maps {self.artifact.in_channels} channels to {self.artifact.out_channels}; "
                "pictures need a network from RGB to RGB"
            )
        content = Path(path).read_bytes()
        needs_delegate = any(op.custom for op in graph_ops(content, name=str(path)))
        self._network = TfliteNetwork(content, name=str(path), threads=threads, delegate=needs_delegate)
        sizes = self.artifact.sizes
        self.info = SessionInfo(
            model=self.artifact.model,
            scale=self.artifact.scale,
            runtime="tflite",
            max_pixels=sizes.max_pixels,
            receptive_field_radius=self.artifact.receptive_field_radius,
            global_pooling=self.artifact.global_pooling,
            min_side=sizes.min_side,
            multiple=sizes.multiple,
        )

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        self.artifact.sizes.check(height=x.shape[2], width=x.shape[3])
        low, high = (np.float32(limit) for limit in self.artifact.value_range)
        y = self._network.run(torch.from_numpy(x * (high - low) + low))
        return np.asarray((y.numpy() - low) / (high - low), dtype=np.float32)
