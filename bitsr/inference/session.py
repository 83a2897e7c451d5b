"""What runs a network: one interface over PyTorch and the runtimes of the artifacts."""

import threading
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import UsageError
from bitsr.common.progress import Progress
from bitsr.common.tiler import DEFAULT_TILE_PIXELS
from bitsr.inference.checks import check_map
from bitsr.inference.session_info import SessionInfo
from bitsr.inference.tiled import upscale_pixels


class Session(ABC):
    """A network that is ready to run: :meth:`upscale` for pictures of any size, :meth:`run` for the bare network.

    Several threads may use one session; their calls run one after the other. It is a context manager, and closed it
    refuses to run.
    """

    def __init__(self, info: SessionInfo) -> None:
        self.info = info
        self._closed = False
        self._turn = threading.Lock()

    def run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """RGB (N, 3, H, W) float32 in [0, 1] -> (N, 3, scale * H, scale * W), float32, not clamped.

        Raises:
            UsageError: another type or shape, or the session is closed.
            ArtifactError: a size that the artifact does not take.
        """
        check_map(x)
        with self._turn:
            if self._closed:
                raise UsageError(f"the session of {self.info.model} is closed; open it again")
            return self._run(x)

    @abstractmethod
    def _run(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """:meth:`run` for an input that was checked, one call at a time."""

    def upscale(
        self, rgb: NDArray[np.uint8], *, tile_pixels: int | None = None, progress: Progress | None = None
    ) -> NDArray[np.uint8]:
        """RGB (H, W, 3) uint8 in [0, 255] -> (scale * H, scale * W, 3) uint8, by tiles where it is large.

        Args:
            tile_pixels: most pixels of one tile, beside the limit of the network.
            progress: told of input pixels that became final, of H * W.

        Raises:
            UsageError: ``rgb`` is no such array, or a tile has no room for the network's receptive field.

        >>> import bitsr, numpy as np
        >>> with bitsr.load(scale=2) as session:
        ...     session.upscale(np.zeros((5, 7, 3), np.uint8)).shape
        (10, 14, 3)
        """
        return upscale_pixels(self, rgb, tile_pixels=tile_pixels or DEFAULT_TILE_PIXELS, progress=progress)

    def close(self) -> None:
        """Refuse to run from now on; a second call does nothing."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class SamplingSession(Session):
    """A session that evaluates its network many times for a result.

    ``on_step``, if set, is told of the steps done during :meth:`run`.
    """

    on_step: Progress | None
