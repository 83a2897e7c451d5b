"""Progress bars on a terminal."""

from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Column

# Narrower terminals have no room for a bar beside the times.
_BAR_WIDTH = 70


class TerminalBars:
    """Bars on standard error, which vanish at the end; lines are printed above them."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False)
        name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        columns: list[ProgressColumn] = [name, TaskProgressColumn()]
        if self._console.width >= _BAR_WIDTH:
            columns[1:1] = [BarColumn()]
            columns += [TimeElapsedColumn()]
        columns += [TextColumn("left"), TimeRemainingColumn(table_column=Column(no_wrap=True))]
        self._bars = Progress(*columns, console=self._console, transient=True)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def print_above(self, text: str) -> None:
        """Print a line on standard error."""
        self._console.print(text, markup=False, soft_wrap=True)

    def task(self, name: str, *, total: float | None) -> "_Task":
        """A bar of its own."""
        return _Task(self._bars, self._bars.add_task(name, total=total))


class _Task:
    """A bar as a :class:`bitsr.common.progress.Progress`."""

    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars = bars
        self._task = task

    def advance(self, done: float, total: float, text: str = "") -> None:
        self._bars.update(self._task, completed=done, total=total)
