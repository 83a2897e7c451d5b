"""What commands print: tables and closing lines on standard output, progress and errors on standard error."""

import logging
import shlex
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

# Without a terminal (a file, a pipe) nothing shall be folded at an assumed width of 80.
_PIPE_WIDTH = None if sys.stdout.isatty() else 200
output = Console(highlight=False, width=_PIPE_WIDTH)
status = Console(stderr=True, highlight=False)


class _Notes(logging.Handler):
    """Log records as remarks beside the result."""

    def emit(self, record: logging.LogRecord) -> None:
        note(record.getMessage())


def show_log() -> None:
    """Print what bitsr logs as remarks, from the level of information on."""
    log = logging.getLogger("bitsr")
    if not any(isinstance(handler, _Notes) for handler in log.handlers):
        log.addHandler(_Notes())
    log.setLevel(logging.INFO)


def error_line(message: str) -> None:
    """Print an error on one line."""
    status.print(f"error: {' '.join(message.split())}", markup=False, soft_wrap=True)


def note(message: str) -> None:
    """Print a remark beside the result, on standard error."""
    status.print(message, markup=False, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table; the first ``left`` columns are flush left, the others, numbers, flush right."""
    view = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        view.add_column(column, justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        view.add_row(*map(escape, row))
    output.print(title, style="bold", markup=False, soft_wrap=True)
    output.print(view)


def closing(files: Sequence[object], *, then: Sequence[object] = ()) -> None:
    """The last lines of every command: where its files are, and the words of the next command, to be pasted."""
    for path in files:
        output.print(f"written: {path}", markup=False, soft_wrap=True)
    if then:
        output.print(f"next:    {shlex.join(map(str, then))}", markup=False, soft_wrap=True)


def progress() -> Progress:
    """A progress bar with the remaining time; silent where standard error is no terminal."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=status,
        disable=not status.is_terminal,
        transient=True,
    )


class TaskProgress:
    """A task of a progress bar as a :class:`bitsr.common.progress.Progress`.

    ``before`` is what the task has behind it; ``total`` is of the whole task where that is more than the work at hand.
    """

    def __init__(self, bar: Progress, task: TaskID, *, before: float = 0, total: float | None = None) -> None:
        self._bar = bar
        self._task = task
        self._before = before
        self._total = total

    def advance(self, done: float, total: float, text: str = "") -> None:
        self._bar.update(self._task, completed=self._before + done, total=self._total or total)
