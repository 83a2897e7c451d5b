"""Cut a picture into overlapping tiles so that every kept pixel is computed from all the pixels it depends on.

One policy for all that runs a network, the trained form in PyTorch included: measuring sees a phone's tiles.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from bitsr.common.errors import UsageError

# Pixels of a network's input where nobody says how many, in artifacts and in PyTorch alike: networks with means over
# the picture see the same part of it everywhere.
DEFAULT_TILE_PIXELS = 512 * 512


@dataclass(frozen=True)
class Tile:
    """One call of the network. All numbers are pixels of the low-resolution picture, ends exclusive.

    The network reads rows ``top:bottom`` and columns ``left:right``; of its output only the part that belongs to rows
    ``keep_top:keep_bottom`` and columns ``keep_left:keep_right`` is kept. The kept parts of all tiles cover the picture
    exactly once.
    """

    top: int
    bottom: int
    left: int
    right: int
    keep_top: int
    keep_bottom: int
    keep_left: int
    keep_right: int

    @property
    def pixels(self) -> int:
        return (self.bottom - self.top) * (self.right - self.left)


def tiles_within(
    height: int, width: int, *, overlap: int, max_pixels: int, min_side: int = 1, only_side: int | None = None
) -> list[Tile]:
    """The tiles of a picture for a network whose input has at most ``max_pixels``, and sides of at least ``min_side``.

    ``only_side`` is the side of the square that is its only input, None where there is a choice. Smaller parts are
    filled up (:func:`filled`). Errors as :func:`plan_tiles`.
    """
    longest = only_side
    if longest is None and min_side > 1:
        longest = max_pixels // min_side  # a longer tile of few rows would be filled beyond the limit
    return plan_tiles(height, width, overlap=overlap, max_pixels=max_pixels, max_side=longest)


def filled(side: int, *, min_side: int, multiple: int) -> int:
    """The least side of a network's input that has room for ``side`` pixels."""
    side = max(side, min_side)
    return side + -side % multiple


def plan_tiles(height: int, width: int, *, overlap: int, max_pixels: int, max_side: int | None = None) -> list[Tile]:
    """Tiles of at most ``max_pixels`` read pixels each, row by row, with the least pixels read in total.

    With ``max_side`` no side of what a tile reads is longer, for networks that take one square size alone.

    A tile reads ``overlap`` pixels beyond its kept part, except at the border of the picture, where the network pads as
    it does for the whole picture. With ``overlap`` at least the radius of the receptive field, the tiled result equals
    the whole one.

    Raises:
        UsageError: ``max_pixels`` has no room for one pixel and its overlap.
    """
    best: tuple[int, int, int] | None = None
    longest = max(height, width) if max_side is None else max_side
    rows = 1
    while rows <= height:
        read_height = min(height, -(-height // rows) + 2 * overlap)
        columns = _fewest_parts(width, overlap=overlap, max_length=min(longest, max_pixels // read_height))
        if columns is not None and read_height <= longest:
            read_width = min(width, -(-width // columns) + 2 * overlap)
            total = rows * columns * read_height * read_width
            if best is None or total < best[0]:
                best = (total, rows, columns)
            if columns == 1:
                break  # more rows only add overlap
        rows += 1
    if best is None:
        side = 2 * overlap + 1
        raise UsageError(
            f"a tile of {max_pixels} pixels is too small: this network looks {overlap} pixels around each pixel, "
            f"so a tile needs at least {min(side, height)}x{min(side, width)} pixels; allow larger tiles"
        )
    _, rows, columns = best
    return [
        Tile(top, bottom, left, right, *keep_rows, *keep_columns)
        for top, bottom, keep_rows in _spans(height, rows, overlap)
        for left, right, keep_columns in _spans(width, columns, overlap)
    ]


def _fewest_parts(length: int, *, overlap: int, max_length: int) -> int | None:
    """The fewest equal parts of ``length`` that read at most ``max_length`` each, or None if there are none."""
    if length <= max_length:
        return 1
    room = max_length - 2 * overlap
    return -(-length // room) if room >= 1 else None


def _spans(length: int, parts: int, overlap: int) -> Iterator[tuple[int, int, tuple[int, int]]]:
    step = -(-length // parts)
    for start in range(0, length, step):
        end = min(start + step, length)
        yield max(0, start - overlap), min(length, end + overlap), (start, end)
