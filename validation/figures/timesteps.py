"""What a diffusion network has for each group of timesteps: thresholds (TaR) and activations (TaA) over the timesteps.

Source: BI-DiffSR (NeurIPS 2024), which argues for them with distributions that change over the steps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from bitsr.common.errors import UsageError
from bitsr.training.models import SuperResolutionModel
from bitsr.training.models.bidiffsr import BiConv
from bitsr.training.models.diffusion import DiffusionModel
from bitsr.validation.figures.chart import COLOURS, Frame
from bitsr.validation.figures.drawing import Drawing, Line

# What the figure shows of a layer, in this order.
TABLES = ("threshold (TaR)", "shift before (TaA)", "slope (TaA)", "shift behind (TaA)")
_WIDTH, _PANEL = 800, 170
_LEFT, _RIGHT = 66, 776


@dataclass(frozen=True)
class TimestepTable:
    """One table of one binary layer: the mean over its channels for each group of timesteps."""

    layer: str
    table: str
    means: tuple[float, ...]


def timestep_tables(model: SuperResolutionModel) -> tuple[list[TimestepTable], list[int]]:
    """Every table of every binary layer, and where the groups of timesteps begin, with the last one's end.

    Raises:
        UsageError: a model without binary layers that know the timestep.
    """
    layers = [(name, part) for name, part in model.named_modules() if isinstance(part, BiConv)]
    if not isinstance(model, DiffusionModel) or not layers:
        raise UsageError(f"{model.name} has no thresholds of timesteps; name weights of a BI-DiffSR")
    tables = []
    for name, layer in layers:
        activation = layer.activation
        values = (layer.threshold, activation.shift_before, activation.slope, activation.shift_after)
        tables += [_table(name, table, value, model.time_groups) for table, value in zip(TABLES, values, strict=True)]
    schedule = model.noise_schedule
    return tables, [*schedule.group_starts(model.time_groups), schedule.timesteps]


def _table(layer: str, table: str, value: Tensor, groups: int) -> TimestepTable:
    rows = value.detach().float().expand(groups, -1)  # a single set serves all groups
    return TimestepTable(layer, table, tuple(rows.mean(dim=1).tolist()))


def draw_timesteps(tables: Sequence[TimestepTable], starts: Sequence[int], *, title: str) -> Drawing:
    """A panel for each table: a line for each layer, level within a group of timesteps, the mean over its channels.

    First layers are blue, last ones orange; the step to the clean picture is on the left.
    """
    drawing = Drawing(_WIDTH, len(TABLES) * _PANEL + 20)
    layers = list(dict.fromkeys(table.layer for table in tables))
    for number, kind in enumerate(TABLES):
        shown = [table for table in tables if table.table == kind]
        low, high = min(min(t.means) for t in shown), max(max(t.means) for t in shown)
        margin = 0.1 * (high - low) or 0.1
        top = number * _PANEL + 28
        frame = Frame(_LEFT, top, _RIGHT, top + _PANEL - 62, starts[0], starts[-1], low - margin, high + margin)
        last = number == len(TABLES) - 1
        frame.draw(
            drawing,
            title=f"{title}: {kind}, means over the channels" if number == 0 else kind,
            x_title="timestep" if last else "",
            x_ticks=[(start, str(start)) for start in starts],
        )
        for table in shown:
            colour = _between(layers.index(table.layer) / max(len(layers) - 1, 1))
            points: list[tuple[float, float]] = []
            for group, mean in enumerate(table.means):
                points += [(frame.x(starts[group]), frame.y(mean)), (frame.x(starts[group + 1]), frame.y(mean))]
            drawing.add(Line(tuple(points), colour, 1.2))
    return drawing


def _between(share: float) -> str:
    """A colour between the first two: 0 is the first, 1 the second."""
    first, second = ([int(colour[i : i + 2], 16) for i in (1, 3, 5)] for colour in COLOURS[:2])
    mixed = (round(a + share * (b - a)) for a, b in zip(first, second, strict=True))
    return "#" + "".join(f"{value:02x}" for value in mixed)
