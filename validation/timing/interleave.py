"""Times of several candidates, measured in turns so that a busy machine disturbs all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Wall-clock times of one candidate in milliseconds.

    ``processor`` has the processor time of the same calls in milliseconds, all threads together, of the process that
    does the work: this one, bitsr-run or Larq's Python. It is empty where nobody measured it. At one thread it is what
    the call would take on a machine of its own.
    """

    samples: tuple[float, ...]
    processor: tuple[float, ...] = ()

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def least(self) -> float:
        return min(self.samples)

    @property
    def p90(self) -> float:
        """The least sample that nine of ten do not exceed."""
        return sorted(self.samples)[-(-9 * len(self.samples) // 10) - 1]

    @property
    def processor_median(self) -> float | None:
        return statistics.median(self.processor) if self.processor else None


def interleave(
    candidates: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    warm_up: int = 2,
    lead_in: int = 0,
    failed: Callable[[str, Exception], None] | None = None,
) -> dict[str, Timing]:
    """Time every candidate once per round, by the clock and by the processor time of this process.

    ``warm_up`` rounds are not counted.

    ``lead_in`` calls of the same candidate go before each timed one: what it reads and writes then lies in the caches
    as far as it fits, and not what the candidate before it left there.

    A candidate that raises an exception is reported to ``failed`` and left out, the others go on; without ``failed``
    the exception passes.
    """
    left = dict(candidates)
    wall: dict[str, list[float]] = {name: [] for name in candidates}
    processor: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(warm_up + rounds):
        for name, call in list(left.items()):
            try:
                for _ in range(lead_in):
                    call()
                worked, started = time.process_time(), time.perf_counter()
                call()
                ended, done = time.perf_counter(), time.process_time()
            except Exception as error:
                if failed is None:
                    raise
                failed(name, error)
                del left[name]
                continue
            if number >= warm_up:
                wall[name].append((ended - started) * 1000)
                processor[name].append((done - worked) * 1000)
    return {name: Timing(tuple(wall[name]), tuple(processor[name])) for name in left}
