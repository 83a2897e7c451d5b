"""What a run of the benchmark does: a line with its seconds for each step, and what failed while the rest went on."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

Say = Callable[[str], None]


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
        said = str(self.error).strip().splitlines()
        return f"{self.what}: {type(self.error).__name__}: {said[0] if said else 'it said nothing'}"


class Journal:
    """Steps and failures of one run, in their order; ``say`` gets a line for each as it ends."""

    def __init__(self, say: Say) -> None:
        self.steps: list[Step] = []
        self.failures: list[Failure] = []
        self.say = say

    @contextmanager
    def step(self, what: str, *, announce: bool = False) -> Iterator[None]:
        """Time what is done inside and say it; an exception there ends the step alone, as a failure of the run.

        ``announce`` says it before, too: for steps that take longer than a reader's patience.
        """
        if announce:
            self.say(f"{what} ...")
        started = time.perf_counter()
        with self.guard(what):
            yield
            self.steps.append(Step(what, time.perf_counter() - started))
            self.say(f"{what}: {self.steps[-1].seconds:.1f} s")

    @contextmanager
    def guard(self, what: str) -> Iterator[None]:
        """Keep an exception from ending the run; one of Ctrl-C passes."""
        try:
            yield
        except Exception as error:
            self.fail(what, error)

    def fail(self, what: str, error: Exception) -> None:
        """Keep and say that ``what`` was not done."""
        self.failures.append(Failure(what, error))
        self.say(f"failed: {self.failures[-1].line}")
