"""Other programs, run to their end with what they say."""

import subprocess
from collections.abc import Sequence

from bitsr.validation.errors import TargetError


def run_program(words: Sequence[str], *, seconds: float, late: str) -> subprocess.CompletedProcess[str]:
    """Run a program without input; its exit code is for the caller to judge.

    Raises:
        TargetError: ``late``, where it has not ended after ``seconds`` and was killed.
    """
    try:
        return subprocess.run(
            words,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
        )
    except subprocess.TimeoutExpired as error:
        raise TargetError(late) from error
