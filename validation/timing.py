"""Wall-clock times of several candidates, measured in turns so that a busy machine disturbs all of them alike."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Timing:
    """Wall-clock times of one candidate in milliseconds."""

    samples: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.samples)

    @property
    def least(self) -> float:
        return min(self.samples)

    @property
    def p90(self) -> float:
        return sorted(self.samples)[int(0.9 * (len(self.samples) - 1))]


def interleave(candidates: Mapping[str, Callable[[], object]], *, rounds: int, warm_up: int = 2) -> dict[str, Timing]:
    """Call every candidate once per round; ``warm_up`` rounds are not counted."""
    samples: dict[str, list[float]] = {name: [] for name in candidates}
    for number in range(warm_up + rounds):
        for name, call in candidates.items():
            started = time.perf_counter()
            call()
            if number >= warm_up:
                samples[name].append((time.perf_counter() - started) * 1000)
    return {name: Timing(tuple(values)) for name, values in samples.items()}
