"""Details of pictures beside each other, where they differ most, as small as a page shows them."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
# A page shows a picture at most this wide without making its letters smaller.
WIDTH = 800
_GAP = 4
_LINE = 20


def side_by_side(panels: dict[str, Pixels], *, zoom: int = 2) -> Image.Image:
    """The same detail of every picture, enlarged ``zoom`` times, under its title of one or more lines.

    ``panels`` maps titles to RGB pictures (H, W, 3), uint8, of one size. The detail is the square (or what the picture
    has of it) where the first two differ most; together the panels are at most :data:`WIDTH` pixels wide.
    """
    pictures = list(panels.values())
    side = ((WIDTH + _GAP) // len(panels) - _GAP) // zoom
    height, width = (min(side, limit) for limit in pictures[0].shape[:2])
    top, left = _most_different(pictures[0], pictures[1], height, width)
    lines = max(title.count("\n") + 1 for title in panels)
    bar = lines * _LINE + 6
    canvas = Image.new("RGB", (len(panels) * (width * zoom + _GAP) - _GAP, bar + height * zoom), (255, 255, 255))
    draw = ImageDraw.Draw(canvas)
    for number, (title, pixels) in enumerate(panels.items()):
        x = number * (width * zoom + _GAP)
        for line, text in enumerate(title.split("\n")):
            draw.text((x + 2, 2 + line * _LINE), text, fill=(0, 0, 0), font=ImageFont.load_default(size=15))
        detail = Image.fromarray(np.ascontiguousarray(pixels[top : top + height, left : left + width]))
        canvas.paste(detail.resize((width * zoom, height * zoom), Image.Resampling.NEAREST), (x, bar))
    return canvas


def _most_different(first: Pixels, second: Pixels, height: int, width: int) -> tuple[int, int]:
    """Upper left corner of the window with the largest squared difference."""
    error = np.square(first.astype(np.int64) - second.astype(np.int64)).sum(axis=-1)
    total = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    window = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(int(window.argmax()), window.shape)
    return int(top), int(left)
