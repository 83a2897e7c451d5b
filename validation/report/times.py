"""Times as texts for the page."""

from typing import Any

import numpy as np

from bitsr.validation.results import Latency, Run, Samples

PROFILE_ROWS = 12


def faster(entry: Latency) -> str:
    """How many times the float twin takes as long."""
    return f"{entry.twin.median_ms / entry.artifact.median_ms:.1f} x" if entry.twin is not None else ""


def milliseconds(value: float) -> str:
    """A time in words."""
    return f"{value:.1f} ms" if value >= 10 else f"{value:.2f} ms"


def latency_rows(run: Run, entry: Latency) -> list[dict[str, Any]]:
    """The artifact and its float twin, bars as long as their medians."""
    largest = max(s.median_ms for s in (entry.artifact, entry.twin) if s is not None)
    rows = [_row(run, entry, entry.artifact, run.artifact, faster(entry), largest)]
    if entry.twin is not None:
        rows.append(_row(run, entry, entry.twin, "float twin", "", largest))
    return rows


def _row(run: Run, entry: Latency, samples: Samples, name: str, faster: str, largest: float) -> dict[str, Any]:
    return {
        "target": run.target,
        "threads": entry.threads,
        "name": name,
        "twin": name == "float twin",
        "median": f"{samples.median_ms:.2f}",
        "p90": f"{samples.p90_ms:.2f}",
        "least": f"{samples.min_ms:.2f}",
        "load": f"{float(np.median(samples.load_ms)):.1f}" if samples.load_ms else "",
        "first": f"{samples.first_ms:.1f}" if samples.first_ms is not None else "",
        "peak": f"{samples.peak_rss_bytes / 2**20:.0f}" if samples.peak_rss_bytes else "",
        "faster": faster,
        "bar": 100 * samples.median_ms / largest,
        "runs": len(samples.samples_ms),
        "size": f"{entry.input_shape[3]} x {entry.input_shape[2]}",
    }


def slowest(run: Run) -> tuple[list[dict[str, Any]], float]:
    """The slowest ops, and the sum of all."""
    total = sum(entry.ms for entry in run.profile) or 1.0
    shown = sorted(run.profile, key=lambda entry: -entry.ms)[:PROFILE_ROWS]
    rows = [
        {"name": e.name, "kind": e.kind, "ms": f"{e.ms:.3f}", "share": f"{100 * e.ms / total:.1f} %"} for e in shown
    ]
    return rows, total
