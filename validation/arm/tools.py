"""The tools of Debian that count and model."""

import re
import subprocess
from pathlib import Path

from bitsr.validation.errors import EnvironmentMissingError, TargetError

EMULATOR = "qemu-aarch64"
DISASSEMBLER = "llvm-objdump-19"
SYMBOLS = "llvm-nm-19"
MODEL = "llvm-mca-19"
# qemu-user-static, which the tests run with, takes no plugins.
_PACKAGES = {EMULATOR: "qemu-user", DISASSEMBLER: "llvm-19", SYMBOLS: "llvm-19", MODEL: "llvm-19"}


def run_tool(*command: str | Path, text: str | None = None) -> str:
    """Output of a tool.

    Raises:
        EnvironmentMissingError: it is not installed.
        TargetError: it fails.
    """
    tool = str(command[0])
    try:
        done = subprocess.run([str(part) for part in command], input=text, capture_output=True, text=True, check=False)
    except FileNotFoundError as error:
        package = _PACKAGES.get(tool, tool)
        raise EnvironmentMissingError(f"{tool} is not installed: apt-get install {package}") from error
    if done.returncode != 0:
        raise TargetError(f"{tool} ended with {done.returncode}: {done.stderr.strip()[-500:]}")
    return done.stdout


def tool_version(tool: str) -> str:
    """The first line with a number that a tool says of itself."""
    lines = run_tool(tool, "--version").splitlines()
    return next((line.strip() for line in lines if re.search(r"\d+\.\d+", line)), "unknown")
