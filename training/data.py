"""Training pairs from folders of pictures: low resolution made on the fly, random crops, flips and rotations.

The batch of a step depends on (seed, step, rank) alone, so a resumed training sees exactly the data that an
uninterrupted one would have seen.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitsr.common.errors import PictureError, UsageError
from bitsr.common.pictures import list_pictures, picture_size, read_picture
from bitsr.training.resize import imresize

log = logging.getLogger(__name__)

Rgb = NDArray[np.uint8]

# Broken pictures that an error names before it only counts them.
NAMED = 5
# Seconds between two looks at whether a training that waits for its pictures has been asked to stop.
PATIENCE = 0.2


@dataclass(frozen=True)
class Pair:
    """One picture: ``low`` (h, w, 3) and ``high`` (scale*h, scale*w, 3), both uint8."""

    low: Rgb
    high: Rgb

    @property
    def nbytes(self) -> int:
        return self.low.nbytes + self.high.nbytes


def crop_to_multiple(picture: Rgb, *, scale: int) -> Rgb:
    """Cut the right and lower border so that both sides are multiples of ``scale``."""
    height, width = picture.shape[:2]
    return picture[: height - height % scale, : width - width % scale]


def make_pair(picture: Rgb, *, scale: int) -> Pair:
    """Low resolution by MATLAB's bicubic of the whole picture, rounded to 8 bit."""
    high = crop_to_multiple(picture, scale=scale)
    low = imresize(high, scale=1 / scale)
    return Pair(low=low.astype(np.uint8, copy=False), high=high)


class PairFolder:
    """Pairs of all pictures in some folders, decoded when first used and kept in memory up to a limit.

    Pictures that are smaller than the crop are left out. A broken picture is named in the log and skipped, or refused
    with ``on_broken="refuse"``.

    Args:
        patch: side of the low-resolution crop in pixels.
        cache_bytes: limit of the decoded pictures kept in memory; pictures beyond it are decoded again.

    Raises:
        UsageError: a folder is missing, or no picture is large enough.
        PictureError: a broken picture, with ``on_broken="refuse"``.
    """

    def __init__(
        self, folders: Sequence[Path | str], *, scale: int, patch: int, cache_bytes: int, on_broken: str = "skip"
    ) -> None:
        self.scale = scale
        self.patch = patch
        self.cache_bytes = cache_bytes
        self.on_broken = on_broken
        self.paths: list[Path] = []
        self.too_small = 0
        self._cache: dict[int, Pair] = {}
        self._cached_bytes = 0
        self._broken: dict[int, str] = {}  # what is wrong with each
        self._lock = threading.Lock()
        side = patch * scale
        for path in (path for folder in folders for path in list_pictures(folder)):
            try:
                shorter = min(picture_size(path))
            except PictureError as error:
                if on_broken == "refuse":
                    raise
                log.warning("skipped: %s", error)
                continue
            if shorter < side:
                self.too_small += 1
            else:
                self.paths.append(path)
        if not self.paths:
            raise UsageError(
                f"no picture in {', '.join(map(str, folders))} is at least {side}x{side}, the crop of {patch}x{patch} "
                f"at scale {scale}; give larger pictures or a smaller patch"
            )

    def __len__(self) -> int:
        return len(self.paths)

    def get(self, index: int) -> Pair | None:
        """The pair of a picture, or None where it is broken and broken pictures are skipped.

        Raises:
            UsageError: every picture is broken; the first of them are named.
            PictureError: this one is broken, with ``on_broken="refuse"``.
        """
        pair = self._cache.get(index)
        if pair is not None:
            return pair
        if index not in self._broken:
            try:
                pair = make_pair(read_picture(self.paths[index]).rgb, scale=self.scale)
            except PictureError as error:
                if self.on_broken == "refuse":
                    raise
                with self._lock:
                    if index not in self._broken:
                        log.warning("skipped: %s", error)
                    self._broken[index] = str(error)
        if pair is None:
            # Asked at every miss and not only at the last discovery: each of the threads has to find an end.
            if len(self._broken) == len(self.paths):
                raise UsageError(self._none_is_whole())
            return None
        with self._lock:
            if index not in self._cache and self._cached_bytes + pair.nbytes <= self.cache_bytes:
                self._cache[index] = pair
                self._cached_bytes += pair.nbytes
        return pair

    def _none_is_whole(self) -> str:
        names = [path.name for path in self.paths]
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        return (
            f"none of the {len(names)} training pictures can be decoded, at least one has to be: "
            f"{', '.join(names[:NAMED])}{more}; the first reason: {self._broken[0]}; give whole pictures"
        )

    def batch(self, *, size: int, seed: int, step: int, rank: int = 0) -> tuple[Tensor, Tensor]:
        """Random crops of step ``step``: low (N, 3, p, p) and high (N, 3, s*p, s*p), float32 in [0, 1].

        The result is channels-last in memory and depends on the arguments and the pictures alone.
        """
        rng = np.random.default_rng((seed, step, rank))
        p, s = self.patch, self.scale
        low = np.empty((size, p, p, 3), np.uint8)
        high = np.empty((size, s * p, s * p, 3), np.uint8)
        for i in range(size):
            pair = None
            while pair is None:
                pair = self.get(int(rng.integers(len(self.paths))))
            top = int(rng.integers(pair.low.shape[0] - p + 1))
            left = int(rng.integers(pair.low.shape[1] - p + 1))
            symmetry = int(rng.integers(8))
            low[i] = _turn(pair.low[top : top + p, left : left + p], symmetry)
            high[i] = _turn(pair.high[s * top : s * (top + p), s * left : s * (left + p)], symmetry)
        return _to_tensor(low), _to_tensor(high)


def _turn(picture: Rgb, symmetry: int) -> Rgb:
    """One of the 8 symmetries of the square: ``symmetry // 2`` quarter turns, mirrored when odd."""
    turned = np.rot90(picture, symmetry // 2)
    return turned[:, ::-1] if symmetry % 2 else turned


def _to_tensor(pictures: Rgb) -> Tensor:
    """(N, H, W, 3) uint8 -> (N, 3, H, W) float32 in [0, 1]; the permutation leaves it channels-last in memory."""
    return torch.from_numpy(pictures).float().div_(255.0).permute(0, 3, 1, 2)


def batches(
    data: PairFolder,
    *,
    size: int,
    seed: int,
    first_step: int,
    last_step: int,
    rank: int = 0,
    workers: int = 1,
    stopped: Callable[[], bool] = lambda: False,
) -> Iterator[tuple[Tensor, Tensor]]:
    """The batches of steps ``first_step`` (inclusive) to ``last_step`` (exclusive), prepared ahead by threads.

    They end early where ``stopped`` becomes true while one has to be waited for.
    """
    pool = ThreadPoolExecutor(max_workers=workers, thread_name_prefix="data")
    queue: list[Future[tuple[Tensor, Tensor]]] = []
    upcoming = iter(range(first_step, last_step))
    try:
        for _ in range(first_step, last_step):
            while len(queue) < 2 * workers and (step := next(upcoming, None)) is not None:
                queue.append(pool.submit(data.batch, size=size, seed=seed, step=step, rank=rank))
            while not wait(queue[:1], timeout=PATIENCE).done:
                if stopped():
                    return
            yield queue.pop(0).result()
    finally:
        # What is being decoded now is left to end by itself: nobody waits for it any more.
        pool.shutdown(wait=False, cancel_futures=True)
