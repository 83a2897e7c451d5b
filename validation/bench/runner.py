"""The candidates again in our C++ runner (runtime/runner/README.md), in turns in one process without Python."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from bitsr.common.errors import BitsrError
from bitsr.validation.bench.candidates import EXECUTORCH, Candidate
from bitsr.validation.timing import Timing

PROGRAM = "bitsr-run"


class RunnerError(BitsrError):
    """bitsr-run failed."""


def run(
    candidates: list[tuple[Candidate, str]],
    *,
    program: Path,
    shape: tuple[int, ...],
    threads: int,
    rounds: int,
    warm_up: int = 3,
) -> list[Timing]:
    """Times of candidates with a kernel each, in their order; ``shape`` is (N, C, H, W).

    Raises:
        RunnerError: it fails, or answers otherwise than its contract says.
    """
    with tempfile.TemporaryDirectory(prefix="bitsr-bench-") as folder:
        models = []
        for number, (candidate, kernel) in enumerate(candidates):
            path = Path(folder) / f"{number}.{'pte' if candidate.runtime == EXECUTORCH else 'tflite'}"
            path.write_bytes(candidate.content)
            models.append(f"{path}@{kernel}")
        options = {
            "--shape": ",".join(map(str, shape)),
            "--threads": threads,
            "--warmup": warm_up,
            "--runs": rounds,
            "--json": "-",
        }
        arguments = [str(item) for pair in options.items() for item in pair]
        done = subprocess.run([str(program), *models, *arguments], capture_output=True, text=True, check=False)
    said = done.stderr.strip().splitlines()
    if done.returncode != 0:
        raise RunnerError(f"{program} failed with {done.returncode} ({said[-1] if said else 'it said nothing'})")
    try:
        answer = json.loads(done.stdout)
        found: list[dict[str, Any]] = answer["models"] if len(candidates) > 1 else [answer]
        timings = [Timing(tuple(float(sample) for sample in item["samples_ms"])) for item in found]
    except (ValueError, KeyError, TypeError) as error:
        raise RunnerError(
            f"{program} answers otherwise than expected ({error}); rebuild it with `make build`"
        ) from error
    if [len(timing.samples) for timing in timings] != [rounds] * len(candidates):
        raise RunnerError(f"{program} did not time every model {rounds} times; rebuild it with `make build`")
    return timings
