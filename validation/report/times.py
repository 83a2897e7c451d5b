"""Times as texts for the page."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bitsr.validation.results import Latency, OpTime, Run, Samples

# A load average above it, before the validation, is somebody else's work.
QUIET_LOAD = 0.5
_KINDS = {"bitsr": "our kernels", "delegate": "another delegate", "operator": "framework"}


def faster(entry: Latency) -> str:
    """How many times the float twin takes as long."""
    return f"{entry.speedup:.1f} x" if entry.speedup is not None else ""


def milliseconds(value: float) -> str:
    """A time in words."""
    return f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def doubts(runs: Sequence[Run], *, load_average: float) -> list[str]:
    """Why the times should not be quoted."""
    found = [
        f"{run.artifact} on {run.target}, {entry.threads} thread{'s' if entry.threads > 1 else ''}: {doubt}"
        for run in runs
        for entry in run.latency
        for doubt in entry.doubts
    ]
    if load_average > QUIET_LOAD and any(run.latency for run in runs):
        found.insert(0, f"{load_average:.1f} programs were running on this machine when the validation began")
    return found


def latency_rows(run: Run, entry: Latency) -> list[dict[str, Any]]:
    """The artifact and its float twin, bars as long as their medians."""
    largest = max(s.median_ms for s in (entry.artifact, entry.twin) if s is not None) or 1.0
    rows = [_row(run, entry, entry.artifact, run.artifact, faster(entry), largest)]
    if entry.twin is not None:
        rows.append({**_row(run, entry, entry.twin, "its float twin", "", largest), "twin": True})
    return rows


def _row(run: Run, entry: Latency, samples: Samples, name: str, faster: str, largest: float) -> dict[str, Any]:
    return {
        "target": run.target,
        "threads": entry.threads,
        "name": name,
        "twin": False,
        "median": f"{samples.median_ms:.2f}",
        "p90": f"{samples.p90_ms:.2f}",
        "least": f"{samples.min_ms:.2f}",
        "spread": f"{100 * samples.spread:.0f} %",
        "load": f"{float(np.median(samples.load_ms)):.1f}" if samples.load_ms else "",
        "first": f"{samples.first_ms:.1f}" if samples.first_ms is not None else "",
        "peak": f"{samples.peak_rss_bytes / 2**20:.0f}" if samples.peak_rss_bytes else "",
        "faster": faster,
        "bar": 100 * samples.median_ms / largest,
        "runs": len(samples.samples_ms),
        "warm_up": entry.warm_up,
        "size": f"{entry.input_shape[3]} x {entry.input_shape[2]}",
    }


def op_rows(run: Run) -> tuple[list[dict[str, Any]], float]:
    """All ops, the slowest first, and the sum of their times in ms."""
    total = sum(entry.ms for entry in run.profile) or 1.0
    longest = max((entry.ms for entry in run.profile), default=0.0) or 1.0
    rows = [
        {
            "number": number,
            "name": _op_name(entry),
            "module": entry.module,
            "kind": _KINDS.get(entry.kind, entry.kind),
            "ms": f"{entry.ms:.3f}",
            "share": f"{100 * entry.ms / total:.1f} %",
            "bar": 100 * entry.ms / longest,
        }
        for number, entry in sorted(enumerate(run.profile), key=lambda item: -item[1].ms)
    ]
    return rows, total


def _op_name(entry: OpTime) -> str:
    """Without the place PARTITION/OP, which the order says."""
    place, _, name = entry.name.partition(" ")
    return name.replace("_", " ") if entry.kind == "bitsr" and "/" in place and name else entry.name
