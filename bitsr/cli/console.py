"""What commands print: tables and closing lines on standard output, progress and errors on standard error.

A photo without a terminal needs no more than lines: what draws tables and bars is imported where it draws.
"""

import logging
import os
import shlex
import sys
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol

from bitsr.common.progress import Progress

# Without a terminal (a file, a pipe) nothing shall be folded at an assumed width of 80.
PIPE_WIDTH = 200
# Control characters, and those that turn the direction of writing: a terminal would obey them.
_CONTROL = {"Cc", "Cf"}
# What prints a line on standard error while progress bars stand below it.
_above_bars: list[Callable[[str], None]] = []


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
    """Write characters that the encoding of a stream lacks as escapes: a name must not fail a finished command.

    A stream that was closed before the start (``2>&-``) takes all and shows nothing.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - until the process ends
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


def line(text: str) -> None:
    """Print a line of the result."""
    print(visible(text), flush=True)


def error_line(message: str) -> None:
    """Print an error on one line."""
    note(f"error: {' '.join(message.split())}")


def note(message: str) -> None:
    """Print a remark beside the result, on standard error."""
    if _above_bars:
        _above_bars[-1](visible(message))
    else:
        print(visible(message), file=sys.stderr, flush=True)


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> None:
    """Print a table; the first ``left`` columns are flush left, the others, numbers, flush right.

    Where the terminal is too narrow for it, each row becomes a few lines: its first cell, then name and value.
    """
    from rich.console import Console
    from rich.markup import escape
    from rich.measure import Measurement
    from rich.table import Table

    output = Console(highlight=False, width=None if sys.stdout.isatty() else PIPE_WIDTH)
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
        line(row[0] or "-")
        for column, cell in zip(columns[1:], row[1:], strict=True):
            if cell:
                line(f"  {column}: {cell}" if column else f"  {cell}")


def closing(files: Sequence[object], *, then: Sequence[object] = ()) -> None:
    """The last lines of a command: where its files are, and, if it helps, the words of the next one, to be pasted."""
    for path in files:
        line(f"written: {path}")
    if then:
        line(f"next:    {shlex.join(map(str, then))}")


class Bars(Protocol):
    """A progress bar for each task."""

    def task(self, name: str, *, total: float | None) -> Progress:
        """A new bar; ``total`` is None where it is not known yet."""
        ...


class _NoBars:
    """Where nobody looks."""

    def task(self, name: str, *, total: float | None) -> Progress:
        return self

    def advance(self, done: float, total: float, text: str = "") -> None:
        pass


@contextmanager
def progress() -> Iterator[Bars]:
    """Progress bars with the remaining time; silent where standard error is no terminal."""
    if not sys.stderr.isatty():
        yield _NoBars()
        return
    from bitsr.cli.bars import TerminalBars

    with TerminalBars() as bars:
        _above_bars.append(bars.print_above)
        try:
            yield bars
        finally:
            _above_bars.pop()
