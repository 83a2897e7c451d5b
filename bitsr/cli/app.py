"""The command line's frame: commands, one error line, exit codes.

Exit codes: 0 done, 1 failed, 2 the request itself is wrong, 130 interrupted.
"""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer

from bitsr.cli import INTERRUPTED
from bitsr.cli.commands import (
    bench,
    convert,
    demo,
    doctor,
    evaluate,
    export,
    figure,
    import_weights,
    models,
    summary,
    train,
    upscale,
    validate,
)
from bitsr.cli.console import accept_any_character, error_line, shown_log
from bitsr.cli.options import example
from bitsr.common.errors import BitsrError
from bitsr.common.extras import needs
from bitsr.common.plugins import load_file

_HELP_WIDTH = max(30, min(80, shutil.get_terminal_size().columns) - 2)

app = typer.Typer(
    name="bitsr",
    help="1-bit super-resolution: train, export, upscale, measure.",
    epilog=example("bitsr upscale photo.jpg", "bitsr models")
    + "\n\n--debug after any command shows the traceback of an error.",
    pretty_exceptions_enable=False,
    # Plain text: boxes cut the names of options on narrow terminals.
    rich_markup_mode=None,
    # The widths are said here because the least width of the library is 50.
    context_settings={"help_option_names": ["-h", "--help"], "terminal_width": _HELP_WIDTH},
)
# In the order of --help: a photo first, then a network of one's own.
for module in (
    upscale,
    models,
    summary,
    train,
    evaluate,
    import_weights,
    export,
    convert,
    validate,
    bench,
    figure,
    demo,
    doctor,
):
    module.register(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bitsr {version('bitsr')}")
        raise typer.Exit


@app.callback()
def _frame(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
    load: Annotated[
        list[Path] | None, typer.Option("--load", help="Python file with models of yours; may be repeated.")
    ] = None,
) -> None:
    for path in load or []:
        load_file(path)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"] or ["--help"]
    accept_any_character()
    try:
        with _terminable(), shown_log(), needs("export", purpose="this command"):
            code = app(arguments, prog_name="bitsr", standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        if debug and not isinstance(error, typer.TyperException):
            raise
        return _report(error)
    if code == INTERRUPTED:  # typer's own way of handing on a KeyboardInterrupt, too
        error_line("interrupted; finished files stay, no half-written file is left")
    return code if isinstance(code, int) else 0


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM is like Ctrl-C: temporary files are removed on the way out. Python allows it in the main thread alone."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    previous = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _report(error: Exception) -> int:
    """Print ``error`` as one line; returns the exit code."""
    match error:
        case typer.TyperException():
            context = getattr(error, "ctx", None)
            hint = "" if context is None else f"; `{context.command_path} --help` shows how"
            error_line(error.format_message().rstrip(".") + hint)
            return error.exit_code
        case BitsrError():
            error_line(str(error))
            return error.exit_code
        case BrokenPipeError():
            # The reader of our output has gone; further writing to it, at exit too, must not raise again.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        case OSError() if error.strerror:
            where = f"{error.filename}: " if error.filename else ""
            error_line(f"{where}{error.strerror}; check the name, its permissions and the free space")
            return 1
        case MemoryError():
            error_line("out of memory; use a smaller --tile or a machine with more memory")
            return 1
        case _:
            error_line(
                f"unexpected {type(error).__name__}: {error}; run it again with --debug and report what it shows"
            )
            return 1
