"""Training pairs from folders of pictures: low resolution made here or published, random crops, flips and rotations.

The batch of a step depends on (seed, step, rank) alone, so a resumed training sees exactly the data that an
uninterrupted one would have seen.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitsr.common.errors import PictureError, UsageError
from bitsr.common.files import cache_folder
from bitsr.common.pictures import list_pictures, picture_size, read_picture
from bitsr.common.progress import Progress
from bitsr.training.degradation import MARGIN, degraded
from bitsr.training.picture_cache import Pair, PictureCache
from bitsr.training.published import originals, reduced_beside, reduced_pictures
from bitsr.training.recipe import Degradation
from bitsr.training.resize import imresize

log = logging.getLogger(__name__)

Rgb = NDArray[np.uint8]

# Broken pictures that an error names before it only counts them.
NAMED = 5
# Seconds between two looks at whether a training that waits for its pictures has been asked to stop.
PATIENCE = 0.2


def crop_to_multiple(picture: Rgb, *, scale: int) -> Rgb:
    """Cut the right and lower border so that both sides are multiples of ``scale``."""
    height, width = picture.shape[:2]
    return picture[: height - height % scale, : width - width % scale]


def make_pair(picture: Rgb, *, scale: int) -> Pair:
    """Low resolution by MATLAB's bicubic of the whole picture, rounded to 8 bit."""
    high = crop_to_multiple(picture, scale=scale)
    low = imresize(high, scale=1 / scale)
    return Pair(low=low.astype(np.uint8, copy=False), high=high)


def published_pair(high: Rgb, low: Rgb, *, scale: int, name: str) -> Pair:
    """An original and its published reduction, cut to what both show.

    Raises:
        PictureError: the sizes do not belong together.
    """
    height, width = high.shape[0] // scale, high.shape[1] // scale
    if low.shape[0] - height not in (0, 1) or low.shape[1] - width not in (0, 1):
        raise PictureError(
            f"{name} has {low.shape[1]}x{low.shape[0]} pixels, expected {width}x{height}, the original's "
            f"{high.shape[1]}x{high.shape[0]} at scale {scale}; give the set as it is published, or data.low=made"
        )
    return Pair(low=low[:height, :width], high=crop_to_multiple(high, scale=scale))


class PairFolder:
    """Pairs of all pictures in some folders, decoded once and mapped from a cache on disk from then on.

    Pictures that are smaller than the crop are left out. A broken picture is named in the log and skipped, or refused
    with ``on_broken="refuse"``. A folder may be one of a published set, see :mod:`bitsr.training.published`; its
    reduced pictures are used where they lie beside it, unless ``low`` is "made".

    Args:
        patch: side of the low-resolution crop in pixels.
        cache: folder of the decoded pictures, by default ``pictures`` in the user's cache folder; see
            :class:`~bitsr.training.picture_cache.PictureCache`.
        degradation: what a share of the low-resolution crops suffers; none: all are clean.

    Raises:
        UsageError: a folder is missing, no picture is large enough, or a published set is not complete.
        PictureError: a broken picture, with ``on_broken="refuse"``.
    """

    def __init__(
        self,
        folders: Sequence[Path | str],
        *,
        scale: int,
        patch: int,
        cache: Path | None = None,
        on_broken: str = "skip",
        low: str = "beside",
        degradation: Degradation | None = None,
    ) -> None:
        self.scale = scale
        self.degradation = degradation or Degradation()
        self.patch = patch
        self.on_broken = on_broken
        self.paths: list[Path] = []
        self.too_small = 0
        self._reduced: dict[Path, Path] = {}  # the published reduction of an original, where there is one
        self._cache = PictureCache(cache or cache_folder() / "pictures", scale=scale)
        self._broken: dict[int, str] = {}  # what is wrong with each
        self._lock = threading.Lock()
        side = patch * scale
        for path in (path for folder in folders for path in self._pictures(folder, low=low)):
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

    def _pictures(self, folder: Path | str, *, low: str) -> list[Path]:
        """The originals of a folder; their published reductions are noted."""
        folder = originals(folder)
        pictures = list_pictures(folder)
        beside = reduced_beside(folder, scale=self.scale) if low == "beside" else None
        if beside is not None:
            self._reduced |= zip(pictures, reduced_pictures(pictures, beside, scale=self.scale), strict=True)
            log.info("low resolution of %s: %s", folder, beside)
        return pictures

    def prepare(
        self,
        *,
        workers: int = 1,
        share: tuple[int, int] = (0, 1),
        progress: Progress | None = None,
        stopped: Callable[[], bool] = lambda: False,
    ) -> None:
        """Decode what the cache lacks, so that no step waits for it; the part ``share[0]`` of ``share[1]``.

        Errors as :meth:`get`. It ends early where ``stopped`` becomes true.
        """
        indices = range(share[0], len(self.paths), share[1])
        with ThreadPoolExecutor(max_workers=workers, thread_name_prefix="cache") as pool:
            waiting = [pool.submit(self._decode, index) for index in indices]
            try:
                for done, future in enumerate(waiting, start=1):
                    while not wait([future], timeout=PATIENCE).done:
                        if stopped():
                            return
                    future.result()
                    if progress is not None:
                        progress.advance(done, len(waiting))
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def _decode(self, index: int) -> None:
        """As :meth:`get`, but keeps no map: a process may have only so many."""
        self.get(index)

    def get(self, index: int) -> Pair | None:
        """The pair of a picture, or None where it is broken and broken pictures are skipped.

        Raises:
            UsageError: every picture is broken; the first of them are named.
            PictureError: this one is broken, with ``on_broken="refuse"``.
        """
        if index not in self._broken:
            try:
                return self._cache.get(self._sources(index), lambda: self._make(index))
            except PictureError as error:
                if self.on_broken == "refuse":
                    raise
                with self._lock:
                    if index not in self._broken:
                        log.warning("skipped: %s", error)
                    self._broken[index] = str(error)
        # Asked at every miss and not only at the last discovery: each of the threads has to find an end.
        if len(self._broken) == len(self.paths):
            raise UsageError(self._none_is_whole())
        return None

    def _sources(self, index: int) -> list[Path]:
        path = self.paths[index]
        return [path, self._reduced[path]] if path in self._reduced else [path]

    def _make(self, index: int) -> Pair:
        pictures = [read_picture(source).rgb for source in self._sources(index)]
        if len(pictures) == 1:
            return make_pair(pictures[0], scale=self.scale)
        return published_pair(*pictures, scale=self.scale, name=str(self._reduced[self.paths[index]]))

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
            low[i] = _turn(self._low_crop(pair, top=top, left=left, rng=rng), symmetry)
            high[i] = _turn(pair.high[s * top : s * (top + p), s * left : s * (left + p)], symmetry)
        return _to_tensor(low), _to_tensor(high)

    def _low_crop(self, pair: Pair, *, top: int, left: int, rng: np.random.Generator) -> Rgb:
        """The crop at (top, left) of the low resolution, clean or degraded together with what surrounds it."""
        p, s, settings = self.patch, self.scale, self.degradation
        if not settings.share or rng.random() >= settings.share:
            return pair.low[top : top + p, left : left + p]
        # How a crop's edge is filtered and where it lies in the blocks of JPEG shall be as in a whole picture.
        first_row = max(top - int(rng.integers(1, MARGIN + 1)), 0)
        first_column = max(left - int(rng.integers(1, MARGIN + 1)), 0)
        rows, columns = slice(s * first_row, s * (top + p + MARGIN)), slice(s * first_column, s * (left + p + MARGIN))
        low = degraded(pair.high[rows, columns], scale=s, settings=settings, rng=rng)
        return low[top - first_row :, left - first_column :][:p, :p]


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
