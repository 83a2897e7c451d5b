"""Pictures beside each other, with the detail where they differ most."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]


def side_by_side(panels: dict[str, Pixels], *, zoom: int = 3) -> Image.Image:
    """The pictures beside each other under their titles; below, the detail where the first two differ most.

    ``panels`` maps titles to RGB pictures (H, W, 3), uint8, of one size.
    """
    pictures = list(panels.values())
    height, width = pictures[0].shape[:2]
    detail_height, detail_width = max(1, height // zoom), max(1, width // zoom)
    top, left = _most_different(pictures[0], pictures[1], detail_height, detail_width)
    bar, gap = 24, 4
    canvas = Image.new(
        "RGB", (len(panels) * (width + gap) - gap, bar + height + gap + detail_height * zoom), (255, 255, 255)
    )
    draw = ImageDraw.Draw(canvas)
    for number, (title, pixels) in enumerate(panels.items()):
        x = number * (width + gap)
        draw.text((x + 4, 3), title, fill=(0, 0, 0), font=ImageFont.load_default(size=15))
        canvas.paste(Image.fromarray(pixels), (x, bar))
        detail = Image.fromarray(np.ascontiguousarray(pixels[top : top + detail_height, left : left + detail_width]))
        canvas.paste(
            detail.resize((detail_width * zoom, detail_height * zoom), Image.Resampling.NEAREST),
            (x, bar + height + gap),
        )
    return canvas


def _most_different(first: Pixels, second: Pixels, height: int, width: int) -> tuple[int, int]:
    """Upper left corner of the window with the largest squared difference."""
    error = np.square(first.astype(np.int64) - second.astype(np.int64)).sum(axis=-1)
    total = np.pad(error.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    window = total[height:, width:] - total[:-height, width:] - total[height:, :-width] + total[:-height, :-width]
    top, left = np.unravel_index(int(window.argmax()), window.shape)
    return int(top), int(left)
