"""The candidates again in our C++ runner (runtime/runner/README.md), in turns in one process without Python."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bitsr.common.errors import BitsrError
from bitsr.common.installation import how_to_rebuild
from bitsr.validation.bench.candidates import EXECUTORCH, Candidate
from bitsr.validation.timing.interleave import Timing

PROGRAM = "bitsr-run"
_WARM_UP = 3
# What nothing that works comes near: for its start with the loading of all models, and for one run of a network.
START_SECONDS, RUN_SECONDS = 60.0, 10.0


class RunnerError(BitsrError):
    """bitsr-run failed."""


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
        RunnerError: it fails, does not end, or answers otherwise than its contract says.
    """
    with tempfile.TemporaryDirectory(prefix="bitsr-bench-") as folder:
        models = []
        for number, (candidate, kernel) in enumerate(candidates):
            path = Path(folder) / f"{number}.{'pte' if candidate.runtime == EXECUTORCH else 'tflite'}"
            path.write_bytes(candidate.content)
            models.append(f"{path}@{kernel}")
        options = {"--shape": ",".join(map(str, shape)), "--threads": str(threads)}
        if not turns:
            return _answer(program, models, options, runs=rounds)
        runs = max(1, rounds // turns)
        taken = [[_answer(program, [model], options, runs=runs)[0] for model in models] for _ in range(turns)]
    return [_joined(timings) for timings in zip(*taken, strict=True)]


def _joined(timings: tuple[Timing, ...]) -> Timing:
    return Timing(
        tuple(sample for timing in timings for sample in timing.samples),
        tuple(sample for timing in timings for sample in timing.processor),
    )


def _answer(program: Path, models: list[str], options: dict[str, str], *, runs: int) -> list[Timing]:
    given = {**options, "--warmup": str(_WARM_UP), "--runs": str(runs), "--json": "-"}
    arguments = [item for pair in given.items() for item in pair]
    command = [str(program), *models, *arguments]
    limit = START_SECONDS + RUN_SECONDS * (_WARM_UP + runs) * len(models)
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=limit)
    except subprocess.TimeoutExpired as error:
        raise RunnerError(
            f"{' '.join(command)} did not end within {limit:g} s and was killed, expected at most {RUN_SECONDS:g} s a "
            f"run; end other programs and try again with fewer threads (--threads)"
        ) from error
    said = done.stderr.strip().splitlines()
    if done.returncode != 0:
        raise RunnerError(f"{program} failed with {done.returncode} ({said[-1] if said else 'it said nothing'})")
    try:
        answer = json.loads(done.stdout)
        found: list[dict[str, Any]] = answer["models"] if len(models) > 1 else [answer]
        timings = [Timing(tuple(item["samples_ms"]), tuple(item["samples_cpu_ms"])) for item in found]
    except (ValueError, KeyError, TypeError) as error:
        raise RunnerError(f"{program} answers otherwise than expected ({error}); {how_to_rebuild()}") from error
    if [len(timing.samples) for timing in timings] != [runs] * len(models):
        raise RunnerError(f"{program} did not time every model {runs} times; {how_to_rebuild()}")
    return timings
