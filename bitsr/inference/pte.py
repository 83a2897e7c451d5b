"""A .pte in ExecuTorch's Python runtime, its body in our kernels."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitsr.inference.artifact import PictureArtifact
from bitsr.runtime.pte import PteNetwork


class PteSession:
    """Run a .pte; scale, value range and sizes come from its sidecar.

    Raises:
        ArtifactError, UsageError: see :class:`PictureArtifact`.
        BitsrError: ExecuTorch or the native library is missing, or refuses the program.
    """

    def __init__(self, path: Path | str, *, scale: int | None = None) -> None:
        self._artifact = PictureArtifact(path, runtime="pte", scale=scale)
        self.info = self._artifact.info
        self._network = PteNetwork(path)

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        y = self._network.run(self._artifact.to_network(x))
        return self._artifact.from_network(y, height=x.shape[2], width=x.shape[3])
