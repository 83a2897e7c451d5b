"""What a run of the benchmark does: a line with its seconds for each step, and what failed while the rest went on."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bitsr.common.errors import first_line

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Step:
    """Something that was done, and the seconds it took."""

    what: str
    seconds: float


@dataclass(frozen=True)
class Failure:
    """Something that was not done, and why."""

    what: str
    error: Exception

    @property
    def line(self) -> str:
        """What failed, the kind of error and the first line of its message."""
        return f"{self.what}: {type(self.error).__name__}: {first_line(self.error)}"


class Journal:
    """Steps and failures of one run, in their order; each is logged as it ends."""

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.failures: list[Failure] = []

    @contextmanager
    def step(self, what: str, *, announce: bool = False) -> Iterator[None]:
        """Time what is done inside and log it; an exception there ends the step alone, as a failure of the run.

        ``announce`` logs it before, too: for steps that take longer than a reader's patience.
        """
        if announce:
            log.info("%s ...", what)
        started = time.perf_counter()
        with self.guard(what):
            yield
            self.steps.append(Step(what, time.perf_counter() - started))
            log.info("%s: %.1f s", what, self.steps[-1].seconds)

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Keep an exception from ending the run; one of Ctrl-C passes."""
        try:
            yield
        except Exception as error:
            self.fail(what, error)

    def fail(self, what: str, error: Exception) -> None:
        """Keep and log that ``what`` was not done."""
        self.failures.append(Failure(what, error))
        log.warning("failed: %s", self.failures[-1].line)
