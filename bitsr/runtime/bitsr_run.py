"""The command ``bitsr-run`` of an installed package: the C++ program of that name, which needs no Python."""

import os
import sys
from pathlib import Path
from typing import NoReturn

from bitsr.runtime import RuntimeLibraryError, find_library

PACKAGED = Path(__file__).resolve().parent / "bin" / "bitsr-run"


def main() -> NoReturn:
    """Become the program; where it is missing, end with exit code 1 and the reason."""
    try:
        program = PACKAGED if PACKAGED.is_file() else find_library("bitsr-run")
    except RuntimeLibraryError as error:
        sys.exit(f"bitsr-run: error: {error}")
    os.execv(program, [str(program), *sys.argv[1:]])
