"""What a benchmark measures: one row for each candidate."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bitsr.validation.timing.interleave import Timing


@dataclass(frozen=True)
class Row:
    """One candidate of a case.

    Attributes:
        case: of :data:`bitsr.validation.bench.networks.CASES`.
        network: what is computed.
        runtime: "ExecuTorch", "LiteRT" or "Larq Compute Engine".
        kernel: the name of ours, or the opponent's, such as "xnnpack int8".
        ours: whether it runs in our kernels.
        host: "python", or "bitsr-run" for our C++ runner.
        threads: of the runtime.
        timing: of one run of the network, the input in place, the output left in the runtime's memory; Larq Compute
            Engine copies both, because its interpreter has no other call.
    """

    case: str
    network: str
    runtime: str
    kernel: str
    ours: bool
    host: str
    threads: int
    timing: Timing

    @property
    def label(self) -> str:
        return f"{self.network}, {self.runtime} {self.kernel}"


def opponents(row: Row, rows: Iterable[Row]) -> list[Row]:
    """The candidates that are not ours of the row's case, host and thread count."""
    same = (row.case, row.host, row.threads)
    return [other for other in rows if not other.ours and (other.case, other.host, other.threads) == same]


def ratio(row: Row, opponent: Row) -> float:
    """How many times as long the opponent takes, by medians of wall-clock time."""
    return opponent.timing.median / row.timing.median


def processor_ratio(row: Row, opponent: Row) -> float | None:
    """The same by processor time, which a busy machine disturbs less; at one thread only, where both are the work."""
    mine, theirs = row.timing.processor_median, opponent.timing.processor_median
    return theirs / mine if mine and theirs and row.threads == 1 else None


def report(rows: list[Row]) -> list[dict[str, Any]]:
    """Rows for JSON: every sample in milliseconds, and of ours the ratio to each opponent."""
    return [
        {
            "case": row.case,
            "network": row.network,
            "runtime": row.runtime,
            "kernel": row.kernel,
            "ours": row.ours,
            "host": row.host,
            "threads": row.threads,
            "median_ms": row.timing.median,
            "least_ms": row.timing.least,
            "p90_ms": row.timing.p90,
            "processor_median_ms": row.timing.processor_median,
            "times_faster_than": {other.label: _ratios(row, other) for other in opponents(row, rows)}
            if row.ours
            else {},
            "samples_ms": row.timing.samples,
            "processor_ms": row.timing.processor,
        }
        for row in rows
    ]


def _ratios(row: Row, opponent: Row) -> dict[str, float | None]:
    return {"wall": ratio(row, opponent), "processor": processor_ratio(row, opponent)}
