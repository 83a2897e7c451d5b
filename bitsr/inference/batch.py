"""Upscale planned pictures one after the other: one that fails does not stop the others, a full disk does."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from bitsr.common.errors import BitsrError, NoSpaceError
from bitsr.common.files import make_folder
from bitsr.common.progress import Progress
from bitsr.common.tiler import DEFAULT_TILE_PIXELS
from bitsr.inference.plan import Job
from bitsr.inference.session import Session
from bitsr.inference.upscale import Result, upscale_file


@dataclass(frozen=True)
class Failure:
    """A picture that was not upscaled, and why."""

    source: Path
    error: BitsrError


def upscale_jobs(
    session: Session,
    jobs: Sequence[Job],
    *,
    tile_pixels: int = DEFAULT_TILE_PIXELS,
    progress: Progress | None = None,
) -> Iterator[Result | Failure]:
    """Upscale the pictures; the outcome of each comes as soon as it is there.

    Folders of results are created, and removed again where nothing was written into them. After a
    :class:`NoSpaceError` no further picture is tried. ``progress`` is told of input pixels that became final, of all.
    """
    created: list[Path] = []
    total = sum(job.pixels for job in jobs)
    finished = 0
    try:
        for job in jobs:
            share = None if progress is None else _Share(progress, before=finished, total=total)
            try:
                created += _make_folders(job.target.parent)
                yield upscale_file(session, job, tile_pixels=tile_pixels, progress=share)
            except BitsrError as error:
                yield Failure(job.source, error)
                if isinstance(error, NoSpaceError):
                    return
            except MemoryError:
                yield Failure(job.source, BitsrError(f"{job.source}: out of memory; use a smaller --tile, or cut it"))
            finished += job.pixels
            if progress is not None:
                progress.advance(finished, total)
    finally:
        for folder in reversed(created):
            with suppress(OSError):  # It is not empty, as it should be.
                folder.rmdir()


@dataclass(frozen=True)
class _Share:
    """The progress of one picture as that of all."""

    whole: Progress
    before: float
    total: float

    def advance(self, done: float, total: float, text: str = "") -> None:
        self.whole.advance(self.before + done, self.total, text)


def _make_folders(folder: Path) -> list[Path]:
    """Create a folder and its parents; returns those that are new, parents first."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    make_folder(folder)
    return missing[::-1]
