"""Details of pictures beside each other, where they differ most, as small as a page shows them."""

import numpy as np
from numpy.typing import NDArray

from bitsr.common.errors import UsageError
from bitsr.validation.figures.drawing import Drawing, Raster, Text

Pixels = NDArray[np.uint8]
# A page shows a picture at most this wide without making its letters smaller.
WIDTH = 800
_GAP = 4
_LINE = 20


def side_by_side(panels: dict[str, Pixels], *, zoom: int = 2, corner: tuple[int, int] | None = None) -> Drawing:
    """The same detail of every picture, enlarged ``zoom`` times, under its title of one or more lines.

    ``panels`` maps titles to RGB pictures (H, W, 3), uint8, of one size. The detail is the square (or what the picture
    has of it) with its upper left ``corner`` (x, y) in pixels, by default where the first two differ most; together the
    panels are at most :data:`WIDTH` pixels wide.

    Raises:
        UsageError: the corner leaves no room for the detail.
    """
    pictures = list(panels.values())
    side = ((WIDTH + _GAP) // len(panels) - _GAP) // zoom
    height, width = (min(side, limit) for limit in pictures[0].shape[:2])
    if corner is None:
        top, left = _most_different(pictures[0], pictures[1], height, width)
    else:
        left, top = corner
        most = (pictures[0].shape[1] - width, pictures[0].shape[0] - height)
        if not (0 <= left <= most[0] and 0 <= top <= most[1]):
            raise UsageError(
                f"the detail of {width}x{height} pixels begins at {left},{top}; expected 0,0 to {most[0]},{most[1]} in "
                f"a picture of {pictures[0].shape[1]}x{pictures[0].shape[0]}"
            )
    lines = max(title.count("\n") + 1 for title in panels)
    bar = lines * _LINE + 6
    drawing = Drawing(len(panels) * (width * zoom + _GAP) - _GAP, bar + height * zoom)
    for number, (title, pixels) in enumerate(panels.items()):
        x = number * (width * zoom + _GAP)
        for line, text in enumerate(title.split("\n")):
            drawing.add(Text(x + 2, 16 + line * _LINE, text, size=15))
        drawing.add(Raster(x, bar, pixels[top : top + height, left : left + width], zoom))
    return drawing


def _most_different(first: Pixels, second: Pixels, height: int, width: int) -> tuple[int, int]:
    """Upper left corner of the window with the largest squared difference."""
    error = np.square(first.astype(np.int64) - second.astype(np.int64)).sum(axis=-1)
    total = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    window = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(int(window.argmax()), window.shape)
    return int(top), int(left)
