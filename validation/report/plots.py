"""Plots as inline SVG; colours are classes of the page's style sheet, so that they follow light and dark."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

# Widths in the units of the drawing: a desk's column, and a phone held upright, where letters keep their size.
_WIDE, _NARROW = 720, 340
_HEIGHT = 262
_LEFT, _RIGHT, _TOP, _BOTTOM = 62, 10, 12, 46
# Height of the lane of exact results below the logarithmic scale.
_LANE = 32
# Exact results of one op would hide each other.
_SHIFTS = {"integer": -8, "bits": 8}


@dataclass(frozen=True)
class Point:
    """A value at an op's index; 0 is exact, ``None`` no number. ``style`` is a class, ``title`` shows on pointing."""

    index: int
    value: float | None
    style: str
    title: str


def op_plots(points: Sequence[Point], *, low: float, high: float, label: str) -> str:
    """:func:`op_plot` twice, for a wide and a narrow page; the style sheet shows one of them."""
    return "".join(op_plot(points, low=low, high=high, label=label, width=width) for width in (_WIDE, _NARROW))


def op_plot(points: Sequence[Point], *, low: float, high: float, label: str, width: int = _WIDE) -> str:
    """Values on a logarithmic scale from ``low`` to ``high`` over the ops' indices, exact ones on a lane below it."""
    last = max((point.index for point in points), default=0) or 1
    bottom = _HEIGHT - _BOTTOM - _LANE

    def x(index: int) -> float:
        return _LEFT + 8 + (width - _LEFT - _RIGHT - 16) * index / last

    def y(value: float | None, shift: float = 0) -> float:
        if value == 0:
            return bottom + _LANE / 2 + 3 + shift
        # What is no number lies beyond the top.
        share = 1.0 if value is None else (math.log10(value) - math.log10(low)) / (math.log10(high) - math.log10(low))
        return bottom - (bottom - _TOP) * min(1.0, max(0.0, share))

    name = "wide" if width == _WIDE else "narrow"
    parts = [f'<svg class="plot {name}" viewBox="0 0 {width} {_HEIGHT}" role="img" aria-label="{escape(label)}">']
    for exponent in range(math.ceil(math.log10(low)), math.floor(math.log10(high)) + 1):
        level = y(10.0**exponent)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{level:.1f}" y2="{level:.1f}"/>')
        if exponent % 2 == 0 or math.log10(high / low) < 6:
            parts.append(_power(_LEFT - 8, level + 4, exponent))
    lane = bottom + _LANE / 2 + 3
    parts.append(f'<line class="axis" x1="{_LEFT}" x2="{width - _RIGHT}" y1="{lane:.1f}" y2="{lane:.1f}"/>')
    parts.append(f'<text class="tick" x="{_LEFT - 8}" y="{lane + 4:.1f}" text-anchor="end">exact</text>')
    step = max(1, 10 ** math.floor(math.log10(last)) // (2 if last >= 20 and str(last)[0] in "123" else 1))
    step *= 1 if width == _WIDE else 2
    for index in range(0, last + 1, step):
        parts.append(f'<text class="tick" x="{x(index):.1f}" y="{_HEIGHT - 22}" text-anchor="middle">{index}</text>')
    middle = (_LEFT + width - _RIGHT) / 2
    parts.append(
        f'<text class="tick" x="{middle:.0f}" y="{_HEIGHT - 5}" text-anchor="middle">op of the artifact</text>'
    )
    for point in points:
        at = f'cx="{x(point.index):.1f}" cy="{y(point.value, _SHIFTS.get(point.style, 0)):.1f}" r="3.2"'
        parts.append(f'<circle class="{escape(point.style)}" {at}><title>{escape(point.title)}</title></circle>')
    return "".join([*parts, "</svg>"])


def _power(x: float, y: float, exponent: int) -> str:
    raised = f'<tspan dy="-5" font-size="9">{exponent}</tspan>'
    text = {0: "1", 1: "10"}.get(exponent) or f"10{raised}"
    return f'<text class="tick" x="{x:.0f}" y="{y:.1f}" text-anchor="end">{text}</text>'
