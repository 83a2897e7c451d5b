"""A chart's frame: scales with round numbers, grid, titles; what stands in it is added by who draws."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bitsr.validation.figures.drawing import Box, Drawing, Line, Text

# Colours that are told apart without colour vision: Okabe and Ito, 2008.
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#56b4e9", "#cc79a7")
_GRID, _AXIS = "#dddddd", "#444444"


def round_numbers(low: float, high: float, *, count: int = 6) -> list[float]:
    """About ``count`` round numbers (1, 2 or 5 times a power of ten apart) within a range."""
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    return [number * step for number in range(first, math.floor(high / step + 1e-9) + 1)]


@dataclass(frozen=True)
class Frame:
    """Where values lie: x from ``low_x`` to ``high_x`` over ``left`` to ``right`` pixels, y upwards likewise."""

    left: float
    top: float
    right: float
    bottom: float
    low_x: float
    high_x: float
    low_y: float
    high_y: float

    def x(self, value: float) -> float:
        return self.left + (self.right - self.left) * (value - self.low_x) / (self.high_x - self.low_x)

    def y(self, value: float) -> float:
        share = (value - self.low_y) / (self.high_y - self.low_y)
        return self.bottom - (self.bottom - self.top) * min(1.0, max(0.0, share))

    def draw(
        self,
        drawing: Drawing,
        *,
        title: str = "",
        x_title: str = "",
        y_title: str = "",
        x_ticks: Sequence[tuple[float, str]] = (),
    ) -> None:
        """Grid, numbers and titles; the numbers of y are round ones."""
        for value in round_numbers(self.low_y, self.high_y):
            y = self.y(value)
            drawing.add(Line(((self.left, y), (self.right, y)), _GRID))
            drawing.add(Text(self.left - 6, y + 4, f"{value:g}", anchor="end"))
        for value, label in x_ticks:
            x = self.x(value)
            drawing.add(Line(((x, self.bottom), (x, self.bottom + 4)), _AXIS))
            drawing.add(Text(x, self.bottom + 18, label, anchor="middle"))
        drawing.add(Line(((self.left, self.bottom), (self.right, self.bottom)), _AXIS))
        middle = (self.left + self.right) / 2
        if title:
            drawing.add(Text(middle, self.top - 8, title, size=13, anchor="middle"))
        if x_title:
            drawing.add(Text(middle, self.bottom + 36, x_title, anchor="middle"))
        if y_title:
            height = (self.top + self.bottom) / 2
            drawing.add(Text(self.left - 44, height, y_title, anchor="middle", upright=True))


def legend(drawing: Drawing, names: Sequence[str], *, x: float, y: float) -> None:
    """Names with their colours, from left to right."""
    for name, colour in zip(names, COLOURS, strict=False):
        drawing.add(Box(x, y - 10, 12, 12, colour), Text(x + 16, y, name))
        x += 16 + 7.5 * len(name) + 18
