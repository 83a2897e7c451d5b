"""Times by one protocol: cold loads in processes of their own, then artifact and float twin in turns."""

import statistics

from bitsr.common.errors import UsageError
from bitsr.validation.errors import TargetError
from bitsr.validation.results import Latency, OpTime, Samples
from bitsr.validation.targets.base import Target
from bitsr.validation.targets.runner_protocol import ModelRun
from bitsr.validation.timing.interleave import Timing

COLD_LOADS = 3
WARM_UP = 10
RUNS = 50


def measure(
    target: Target, model: str, twin: str | None, *, threads: int, shape: tuple[int, int, int, int], runs: int = RUNS
) -> Latency:
    """Time an artifact (paths on the target) and, round by round with it, its twin.

    Raises:
        TargetError: a run failed, or the device stays too hot.
    """
    models = [model] if twin is None else [model, twin]
    size = ["--shape", ",".join(map(str, shape)), "--threads", str(threads)]
    cold: list[list[ModelRun]] = [[] for _ in models]
    for _ in range(COLD_LOADS):
        for number, path in enumerate(models):
            cold[number] += target.run([path, *size, "--runs", "0"], fresh=True).models
    target.cool_down()
    timed = target.run([*models, *size, "--warmup", str(WARM_UP), "--runs", str(runs)], fresh=True).models
    if len(timed) != len(models) or any(len(run.samples_ms) != runs for run in timed):
        raise TargetError(f"the runner on {target.name} gave other samples than were asked for; build it again")
    samples = [_samples(loads, run) for loads, run in zip(cold, timed, strict=True)]
    return Latency(
        threads=threads,
        input_shape=list(shape),
        warm_up=WARM_UP,
        artifact=samples[0],
        twin=samples[1] if twin is not None else None,
    )


def profile(target: Target, model: str, *, shape: tuple[int, int, int, int]) -> list[OpTime]:
    """Time of every op in one run on one thread; empty where the target's runner can not tell."""
    if not target.can_dump_layers or target.emulated:
        return []
    arguments = [model, "--shape", ",".join(map(str, shape)), "--warmup", "2", "--runs", "0", "--profile"]
    (run,) = target.run(arguments, fresh=True).models
    return [OpTime(name=entry.name, kind=entry.kind, ms=entry.ms) for entry in run.profile]


def thread_counts(text: str, *, cores: int) -> list[int]:
    """ "1,n" -> [1, cores]; each count once, in order.

    Raises:
        UsageError: a part is neither a positive number nor n.
    """
    counts = []
    for part in text.split(","):
        if part != "n" and not (part.isdigit() and int(part) > 0):
            raise UsageError(f"'{part}' is no thread count; expected numbers or n, as in 1,n")
        counts.append(cores if part == "n" else int(part))
    return list(dict.fromkeys(counts))


def _samples(cold: list[ModelRun], timed: ModelRun) -> Samples:
    timing = Timing(tuple(timed.samples_ms))
    peaks = [run.peak_rss_bytes for run in cold if run.peak_rss_bytes]
    return Samples(
        load_ms=[run.load_ms for run in cold if run.load_ms is not None],
        first_ms=timed.first_ms,
        samples_ms=list(timed.samples_ms),
        median_ms=timing.median,
        p90_ms=timing.p90,
        min_ms=timing.least,
        # Of the processes that ran this network alone, once.
        peak_rss_bytes=int(statistics.median(peaks)) if peaks else None,
    )
