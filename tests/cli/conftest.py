"""Running commands in this process."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from bitsr.cli import main


@dataclass(frozen=True)
class Outcome:
    """Exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line that begins with ``error:``."""
        lines = [line for line in self.err.splitlines() if line.startswith("error:")]
        assert len(lines) == 1, self.err
        return lines[0]


@pytest.fixture
def bitsr(capfd: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """``bitsr("upscale", "-i", ...)`` runs the command line and returns what it did."""

    def run(*arguments: object) -> Outcome:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.err
        return Outcome(code, captured.out, captured.err)

    return run
