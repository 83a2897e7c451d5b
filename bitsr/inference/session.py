"""What runs a network: one interface over PyTorch and the runtimes of the artifacts."""

import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bitsr.artifact.info import DEFAULT_STEPS
from bitsr.common.errors import UsageError
from bitsr.common.progress import Progress


@dataclass(frozen=True)
class SessionInfo:
    """Facts of a session's network.

    Attributes:
        model: model id.
        scale: enlargement factor.
        runtime: "eager" or an artifact's format, "pte" or "tflite".
        max_pixels: most pixels (H * W) of one input, or None where only the memory limits it.
        min_side: shortest side of an input in pixels.
        multiple: both sides of an input are multiples of this.
        fixed_side: side of the square that is the only input, or None where there is a choice.
        bytes_per_pixel: an upper bound of the memory that a run takes for each pixel of its input.
        fixed_bytes: an upper bound of what it takes beside that, whatever the size of its input.
        receptive_field_radius: pixels of the input that an output pixel depends on, to each side, without global
            pooling.
        global_pooling: an output pixel depends on means over the whole input as well, so that tiles approximate.
    """

    model: str
    scale: int
    runtime: str
    max_pixels: int | None
    receptive_field_radius: int
    global_pooling: bool
    min_side: int = 1
    multiple: int = 1
    fixed_side: int | None = None
    bytes_per_pixel: int = 0
    fixed_bytes: int = 0


@dataclass(frozen=True)
class Sampling:
    """How a diffusion model samples a picture: the same numbers give the same picture in the same runtime."""

    steps: int = DEFAULT_STEPS
    seed: int = 0


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
        from bitsr.inference.upscale import DEFAULT_TILE_PIXELS, upscale_pixels

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


def check_map(x: NDArray[np.float32]) -> None:
    """Refuse an input of :meth:`Session.run` that is no RGB map."""
    if not isinstance(x, np.ndarray) or x.dtype != np.float32 or x.ndim != 4 or x.shape[1] != 3 or min(x.shape) < 1:
        raise UsageError(
            f"a network takes float32 RGB of shape (N, 3, H, W) in [0, 1], got {describe(x)}; for a picture as bytes "
            "(H, W, 3) use upscale()"
        )


def check_rgb(rgb: NDArray[np.uint8]) -> None:
    """Refuse a picture that is no RGB in bytes."""
    if not isinstance(rgb, np.ndarray) or rgb.dtype != np.uint8 or rgb.ndim != 3 or rgb.shape[2] != 3:
        raise UsageError(f"a picture is RGB in uint8 of shape (H, W, 3), got {describe(rgb)}; {_remedy(rgb)}")
    if min(rgb.shape) < 1:
        raise UsageError(f"a picture has at least one pixel, got {describe(rgb)}; give one with pixels")


def describe(value: object) -> str:
    """Type and shape of what was given instead of an array."""
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    return f"a {type(value).__name__}" if shape is None else f"{dtype} of shape {tuple(shape)}"


def _remedy(rgb: object) -> str:
    dtype, shape = getattr(rgb, "dtype", None), getattr(rgb, "shape", ())
    if not isinstance(rgb, np.ndarray):
        return "bitsr.upscale() takes files and PIL pictures, and numpy.asarray() makes an array of most others"
    if dtype is not None and np.issubdtype(dtype, np.floating):
        return "turn [0, 1] into bytes with (x * 255).round().astype('uint8')"
    if dtype == np.uint16:
        return "turn 16 bits into 8 with (x / 257).round().astype('uint8')"
    if dtype != np.uint8:
        return "turn it into uint8"
    if len(shape) == 2 or shape[-1:] == (1,):
        return "repeat grey three times: numpy.repeat(x.reshape(*x.shape[:2], 1), 3, axis=2)"
    if shape[-1:] == (4,):
        return "leave the transparency out (x[..., :3]), or give bitsr.upscale() a PIL picture"
    if len(shape) == 4:
        return "give one picture at a time"
    return "put the channels last"
