"""What commands print: tables and closing lines on standard output, progress and errors on standard error."""

import logging
import shlex
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
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
from rich.table import Column, Table

# Without a terminal (a file, a pipe) nothing shall be folded at an assumed width of 80.
_PIPE_WIDTH = None if sys.stdout.isatty() else 200
output = Console(highlight=False, width=_PIPE_WIDTH)
status = Console(stderr=True, highlight=False)

# Narrower terminals have no room for a bar beside the times.
_BAR_WIDTH = 70
# Control characters, and those that turn the direction of writing: a terminal would obey them.
_CONTROL = {"Cc", "Cf"}


class _Notes(logging.Handler):
    """Log records as remarks beside the result."""

    def emit(self, record: logging.LogRecord) -> None:
        prefix = "warning: " if record.levelno >= logging.WARNING else ""
        note(prefix + record.getMessage())


@contextmanager
def shown_log() -> Iterator[None]:
    """Print what bitsr logs as remarks, from the level of information on.

    The frameworks install handlers of their own on the root, which would print every remark again.
    """
    log = logging.getLogger("bitsr")
    handler, level, propagate = _Notes(), log.level, log.propagate
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    log.propagate = False
    try:
        yield
    finally:
        log.removeHandler(handler)
        log.setLevel(level)
        log.propagate = propagate


def accept_any_character() -> None:
    """Write characters that the encoding of a stream lacks as escapes: a name must not fail a finished command."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def visible(text: str) -> str:
    """``text`` with its control characters as escapes: a file may have any name."""
    if text.isprintable():
        return text
    return "".join(
        char.encode("unicode_escape").decode("ascii") if unicodedata.category(char) in _CONTROL else char
        for char in text
    )


def error_line(message: str) -> None:
    """Print an error on one line."""
    status.print(f"error: {visible(' '.join(message.split()))}", markup=False, soft_wrap=True)


def note(message: str) -> None:
    """Print a remark beside the result, on standard error."""
    status.print(visible(message), markup=False, soft_wrap=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table; the first ``left`` columns are flush left, the others, numbers, flush right.

    Where the terminal is too narrow for it, each row becomes a few lines: its first cell, then name and value.
    """
    shown = [[visible(cell) for cell in row] for row in rows]
    output.print(visible(title), style="bold", markup=False, soft_wrap=True)
    view = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        view.add_column(column, justify="left" if index < left else "right", overflow="fold")
    for row in shown:
        view.add_row(*map(escape, row))
    if Measurement.get(output, output.options.update(width=1000), view).maximum <= output.width:
        output.print(view)
        return
    for row in shown:
        output.print(row[0] or "-", markup=False, soft_wrap=True)
        for column, cell in zip(columns[1:], row[1:], strict=True):
            if cell:
                output.print(f"  {column}: {cell}" if column else f"  {cell}", markup=False, soft_wrap=True)


def closing(files: Sequence[object], *, then: Sequence[object] = ()) -> None:
    """The last lines of a command: where its files are, and, if it helps, the words of the next one, to be pasted."""
    for path in files:
        output.print(f"written: {visible(str(path))}", markup=False, soft_wrap=True)
    if then:
        output.print(f"next:    {visible(shlex.join(map(str, then)))}", markup=False, soft_wrap=True)


def progress() -> Progress:
    """A progress bar with the remaining time; silent where standard error is no terminal."""
    name = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
    columns: list[ProgressColumn] = [name, TaskProgressColumn()]
    if status.width >= _BAR_WIDTH:
        columns[1:1] = [BarColumn()]
        columns += [TimeElapsedColumn()]
    columns += [TextColumn("left"), TimeRemainingColumn(table_column=Column(no_wrap=True))]
    return Progress(*columns, console=status, disable=not status.is_terminal, transient=True)


class TaskProgress:
    """A task of a progress bar as a :class:`bitsr.common.progress.Progress`."""

    def __init__(self, bar: Progress, task: TaskID) -> None:
        self._bar = bar
        self._task = task

    def advance(self, done: float, total: float, text: str = "") -> None:
        self._bar.update(self._task, completed=done, total=total)
