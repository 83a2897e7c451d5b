"""Decoded training pairs on disk, mapped into memory: made once, so that a step never waits for decoding.

A file holds one pair: height and width of the low-resolution picture (two little-endian uint32), its pixels, then those
of the high-resolution one. Its name says which pictures it is of and how they were on disk, so a picture that changes
gets a new file and its old one is removed. Files are written under a temporary name and renamed; several trainings may
share a folder.
"""

import hashlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import BitsrError, PictureError
from bitsr.common.files import atomic_write, make_folder

log = logging.getLogger(__name__)
Rgb = NDArray[np.uint8]
# Raised when what a file holds changes: its layout, or the reduction.
_VERSION = 1
_HEADER = 8


@dataclass(frozen=True)
class Pair:
    """One picture: ``low`` (h, w, 3) and ``high`` (scale*h, scale*w, 3), both uint8."""

    low: Rgb
    high: Rgb


class PictureCache:
    """Pairs of one scale in a folder, which is created when the first is written."""

    def __init__(self, folder: Path, *, scale: int) -> None:
        self.folder = folder
        self.scale = scale
        self._warned = False

    def get(self, sources: Sequence[Path], make: Callable[[], Pair]) -> Pair:
        """The pair of ``sources`` (the high-resolution file, and the low-resolution one where there is one).

        It is mapped from its file, which is made by ``make`` where there is none for these files as they are now.

        Where the folder cannot be written, a warning says so once, and every call decodes.

        Raises:
            PictureError: a source is gone.
        """
        path = self._path(sources)
        pair = self._read(path)
        if pair is not None:
            return pair
        made = make()
        try:
            self._write(path, made)
        except (BitsrError, OSError) as error:
            if not self._warned:
                log.warning("pictures are decoded anew each time: %s; free space, or name a folder: data.cache", error)
            self._warned = True
            return made
        return self._read(path) or made

    def _path(self, sources: Sequence[Path]) -> Path:
        name, state = hashlib.sha256(), hashlib.sha256(f"{_VERSION}".encode())
        name.update(f"x{self.scale}".encode())
        for source in sources:
            try:
                status = source.stat()
            except OSError as error:
                raise PictureError(f"cannot read {source}: {error.strerror or error}") from error
            name.update(f"\0{source.resolve()}".encode())
            state.update(f"\0{status.st_size} {status.st_mtime_ns}".encode())
        return self.folder / f"{name.hexdigest()[:24]}-{state.hexdigest()[:16]}.pair"

    def _read(self, path: Path) -> Pair | None:
        """Mapped, or None where there is no whole file."""
        try:
            content = np.memmap(path, np.uint8, mode="r")
        except (OSError, ValueError):  # no file, or an empty one
            return None
        if len(content) < _HEADER:
            return None
        height, width = (int(side) for side in content[:_HEADER].view("<u4"))
        middle = _HEADER + 3 * height * width
        if len(content) != middle + 3 * height * width * self.scale**2:
            return None
        low = content[_HEADER:middle].reshape(height, width, 3)
        return Pair(low, content[middle:].reshape(height * self.scale, width * self.scale, 3))

    def _write(self, path: Path, pair: Pair) -> None:
        make_folder(self.folder)
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            file.write(np.array(pair.low.shape[:2], "<u4").tobytes())
            for pixels in (pair.low, pair.high):
                file.write(np.ascontiguousarray(pixels).data)
        for other in self.folder.glob(f"{path.name.partition('-')[0]}-*.pair"):
            if other != path:
                other.unlink(missing_ok=True)
