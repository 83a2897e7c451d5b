"""A .tflite in LiteRT, its body in our kernels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitsr.artifact.flatbuffer import graph_ops
from bitsr.inference.artifact import PictureArtifact
from bitsr.runtime.litert import TfliteNetwork


class TfliteSession:
    """Run a .tflite or the same in stock ops; scale, value range and sizes come from the metadata in the file.

    Raises:
        ArtifactError, UsageError: see :class:`PictureArtifact`.
        BitsrError: LiteRT or the delegate's library is missing, or refuses the model.
    """

    def __init__(self, path: Path | str, *, scale: int | None = None, threads: int | None = None) -> None:
        self._artifact = PictureArtifact(path, runtime="tflite", scale=scale)
        self.info = self._artifact.info
        content = Path(path).read_bytes()
        needs_delegate = any(op.custom for op in graph_ops(content, name=str(path)))
        self._network = TfliteNetwork(content, name=str(path), threads=threads, delegate=needs_delegate)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        y = self._network.run(self._artifact.to_network(x))
        return self._artifact.from_network(y, height=x.shape[2], width=x.shape[3])
