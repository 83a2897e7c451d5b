"""Times by one protocol: cold loads in processes of their own, then artifact and float twin in turns."""

import logging
import statistics

from bitsr.common.errors import UsageError
from bitsr.validation.results import Latency, OpTime, Samples
from bitsr.validation.targets.base import Target
from bitsr.validation.targets.runner_protocol import ModelRun, ProfileEntry, timed_models, timing_arguments
from bitsr.validation.timing.interleave import Timing

log = logging.getLogger(__name__)

COLD_LOADS = 3
# Timed runs where nobody asks for a number: as many as fit into the time, within these limits.
MIN_RUNS, MAX_RUNS = 5, 50
ROUNDS_MS = 3000.0
MAX_WARM_UP = 10


def measure(
    target: Target, model: str, twin: str | None, *, threads: int, shape: tuple[int, int, int, int], runs: int | None
) -> Latency:
    """Time an artifact (paths on the target) and, round by round with it, its twin.

    ``runs`` are the timed ones, ``None`` as many as fit into some seconds, 5 to 50; a fifth as many warm-ups precede.

    Raises:
        TargetError: a run failed, or the device stays too hot.
    """
    models = [model] if twin is None else [model, twin]
    where = f"{target.name}, {threads} thread{'s' if threads > 1 else ''}"
    log.info("%s: %d cold loads", where, COLD_LOADS * len(models))
    cold: list[list[ModelRun]] = [[] for _ in models]
    for _ in range(COLD_LOADS):
        for number, path in enumerate(models):
            arguments = timing_arguments([path], shape=shape, threads=threads, runs=0)
            cold[number] += target.run(arguments, fresh=True).models
    count = _affordable_runs(cold) if runs is None else runs
    warm_up = min(MAX_WARM_UP, -(-count // 5))
    target.cool_down()
    log.info("%s: %d timed runs%s", where, count, " of artifact and float twin in turns" if twin is not None else "")
    arguments = timing_arguments(models, shape=shape, threads=threads, warm_up=warm_up, runs=count)
    output = target.run(arguments, fresh=True)
    timed = timed_models(output, models=len(models), runs=count, source=f"the runner on {target.name}")
    samples = [_samples(loads, run) for loads, run in zip(cold, timed, strict=True)]
    return Latency(
        threads=threads,
        input_shape=list(shape),
        warm_up=warm_up,
        artifact=samples[0],
        twin=samples[1] if twin is not None else None,
    )


def profile(target: Target, model: str, *, shape: tuple[int, int, int, int]) -> list[OpTime]:
    """Time of every op in one run on one thread; empty where the target's runner can not tell.

    Every time is in one row: the call of a delegate that holds ops of ours has what it takes beside them.
    """
    if not target.can_dump_layers or target.emulated:
        return []
    arguments = timing_arguments([model], shape=shape, threads=1, warm_up=2, runs=0)
    (run,) = target.run([*arguments, "--profile"], fresh=True).models
    return [OpTime(name=entry.name, kind=entry.kind, ms=entry.ms) for entry in _own_times(run.profile)]


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


def _affordable_runs(cold: list[list[ModelRun]]) -> int:
    """By the first runs of the cold loads, which take longer than the later ones."""
    firsts = [[run.first_ms for run in loads if run.first_ms] for loads in cold]
    round_ms = sum(min(times) for times in firsts if times)
    return max(MIN_RUNS, min(MAX_RUNS, int(ROUNDS_MS / round_ms))) if round_ms else MAX_RUNS


def _own_times(profile: list[ProfileEntry]) -> list[ProfileEntry]:
    """A delegate's call is reported as a whole and followed by the ops of ours in it: it keeps what they leave."""
    own: list[ProfileEntry] = []
    call: int | None = None
    for entry in profile:
        if entry.kind != "bitsr":
            call = len(own) if entry.kind == "delegate" else None
        elif call is not None:
            whole = own[call]
            name = whole.name if whole.name.endswith(_REST) else f"{whole.name}{_REST}"
            own[call] = whole.model_copy(update={"name": name, "ms": max(0.0, whole.ms - entry.ms)})
        own.append(entry)
    return own


_REST = " (beside our ops)"


def _samples(cold: list[ModelRun], timed: ModelRun) -> Samples:
    timing = Timing(tuple(timed.samples_ms))
    peaks = [run.peak_rss_bytes for run in cold if run.peak_rss_bytes]
    return Samples(
        load_ms=[run.load_ms for run in cold if run.load_ms is not None],
        first_ms=timed.first_ms,
        samples_ms=list(timed.samples_ms),
        samples_cpu_ms=list(timed.samples_cpu_ms),
        median_ms=timing.median,
        p90_ms=timing.p90,
        min_ms=timing.least,
        # Of the processes that ran this network alone, once.
        peak_rss_bytes=int(statistics.median(peaks)) if peaks else None,
    )
