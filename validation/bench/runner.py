"""The candidates again in our C++ runner (runtime/runner/README.md), in turns in one process without Python."""

import tempfile
from pathlib import Path

from bitsr.validation.bench.candidates import CORE, EXECUTORCH, Candidate
from bitsr.validation.targets.runner_protocol import RunnerProcess, timed_models, timing_arguments
from bitsr.validation.timing.interleave import Timing

PROGRAM = "bitsr-run"
_WARM_UP = 3
# What nothing that works comes near: for its start with the loading of all models, and for one run of a network.
START_SECONDS, RUN_SECONDS = 60.0, 10.0


def run(
    candidates: list[tuple[Candidate, str]],
    *,
    program: Path,
    shape: tuple[int, ...],
    threads: int,
    rounds: int,
    turns: int = 0,
) -> list[Timing]:
    """Times of candidates with a kernel each, in their order; ``shape`` is (N, C, H, W).

    In one process, one run of each in a round; or, with ``turns``, each in a process of its own with ``rounds / turns``
    runs at a time, ``turns`` times: a candidate then finds what it reads and writes in the caches.

    Raises:
        TargetError: it fails, does not end, or answers otherwise than its contract says.
    """
    process = RunnerProcess((str(program),), source=str(program))
    with tempfile.TemporaryDirectory(prefix="bitsr-bench-") as folder:
        models = []
        for number, (candidate, kernel) in enumerate(candidates):
            path = Path(folder) / f"{number}.{'pte' if candidate.runtime == EXECUTORCH else 'tflite'}"
            path.write_bytes(candidate.content)
            models.append(f"{path}@{kernel}" + ("@core" if candidate.runtime == CORE else ""))
        if not turns:
            return _times(process, models, shape=shape, threads=threads, runs=rounds)
        runs = max(1, rounds // turns)
        taken = [
            [_times(process, [model], shape=shape, threads=threads, runs=runs)[0] for model in models]
            for _ in range(turns)
        ]
    return [_joined(timings) for timings in zip(*taken, strict=True)]


def _joined(timings: tuple[Timing, ...]) -> Timing:
    return Timing(
        tuple(sample for timing in timings for sample in timing.samples),
        tuple(sample for timing in timings for sample in timing.processor),
    )


def _times(
    process: RunnerProcess, models: list[str], *, shape: tuple[int, ...], threads: int, runs: int
) -> list[Timing]:
    arguments = timing_arguments(models, shape=shape, threads=threads, warm_up=_WARM_UP, runs=runs)
    output = process.run(arguments, timeout=START_SECONDS + RUN_SECONDS * (_WARM_UP + runs) * len(models))
    timed = timed_models(output, models=len(models), runs=runs, source=process.source)
    return [Timing(tuple(model.samples_ms), tuple(model.samples_cpu_ms)) for model in timed]
