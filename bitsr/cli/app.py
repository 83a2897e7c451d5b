"""The command line's frame: commands, one error line, exit codes.

Exit codes: 0 done, 1 failed, 2 the request itself is wrong, 130 interrupted.
"""

import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path

from bitsr.cli import INTERRUPTED
from bitsr.cli.arguments import Commands
from bitsr.cli.console import accept_any_character, error_line, shown_log
from bitsr.cli.options import example
from bitsr.common.errors import BitsrError, UsageError
from bitsr.common.extras import needs
from bitsr.common.plugins import load_file

# Each command and its module in `bitsr.cli.commands`, in the order of --help: a photo, then a network of one's own.
_COMMANDS = {
    "upscale": "upscale",
    "models": "models",
    "summary": "summary",
    "train": "train",
    "evaluate": "evaluate",
    "import": "import_weights",
    "export": "export",
    "convert": "convert",
    "validate": "validate",
    "bench": "bench",
    "figure": "figure",
    "demo": "demo",
    "doctor": "doctor",
}
_OPTIONS = """\
  -h, --help   Show this, or after a command its own help.
  --version    Print the version.
  --load FILE  Python file with models of yours; may be repeated.
  --debug      After any command: show the traceback of an error."""


def _commands(wanted: str) -> Commands:
    """The command that is ``wanted``, so that no other is imported; all of them where it is none."""
    app = Commands(
        "bitsr",
        "1-bit super-resolution: train, export, upscale, measure.",
        epilog=example("bitsr upscale photo.jpg", "bitsr models"),
        options_help=_OPTIONS,
    )
    for name in [wanted] if wanted in _COMMANDS else _COMMANDS:
        import_module(f"bitsr.cli.commands.{_COMMANDS[name]}").register(app)
    return app


def _dispatch(arguments: list[str]) -> int:
    """Do what the options before the command say, then the command."""
    while arguments and arguments[0].partition("=")[0] in ("--load", "--version"):
        option, sign, value = arguments.pop(0).partition("=")
        if option == "--version":
            from importlib.metadata import version

            print(f"bitsr {version('bitsr')}", flush=True)
            return 0
        if not sign and not arguments:
            raise UsageError("--load takes a Python file, as in `bitsr --load block.py summary my_block_x4`")
        load_file(Path(value if sign else arguments.pop(0)))
    return _commands(arguments[0] if arguments else "").run(arguments)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit code."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    # What follows "--" is no option.
    end = arguments.index("--") if "--" in arguments else len(arguments)
    debug = "--debug" in arguments[:end]
    arguments = [argument for argument in arguments[:end] if argument != "--debug"] + arguments[end:]
    accept_any_character()
    try:
        with _terminable(), shown_log(), needs("export", purpose="this command"):
            return _dispatch(arguments)
    except KeyboardInterrupt:
        error_line("interrupted; finished files stay, no half-written file is left")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        return _report(error)


@contextmanager
def _terminable() -> Iterator[None]:
    """SIGTERM and a closed terminal are like Ctrl-C: temporary files are removed on the way out.

    Python allows it in the main thread alone. What is ignored, as by nohup, stays so.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    previous = {number: signal.getsignal(number) for number in numbers}
    # None: installed by something that is not Python, which could not be put back.
    changed = {number: handler for number, handler in previous.items() if handler not in (signal.SIG_IGN, None)}
    for number in changed:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, handler in changed.items():
            signal.signal(number, handler)


def _report(error: Exception) -> int:
    """Print ``error`` as one line; returns the exit code."""
    match error:
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
            error_line("out of memory; use a smaller --tile or --max-pixels where the command has it, or more memory")
            return 1
        case _:
            error_line(
                f"unexpected {type(error).__name__}: {error}; run it again with --debug and report what it shows"
            )
            return 1
