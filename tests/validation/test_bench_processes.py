"""The benchmark's helpers in other processes: bitsr-run, and Larq Compute Engine in another Python."""

import json
import time
from pathlib import Path

import pytest

from bitsr.common.errors import UsageError
from bitsr.validation.bench import larq, runner
from bitsr.validation.bench.candidates import EXECUTORCH, LITERT, Candidate
from bitsr.validation.errors import TargetError
from bitsr.validation.timing.interleave import Timing


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


DEVICE = {"device": {"machine": "x86_64"}}
CANDIDATES = [(Candidate("net", EXECUTORCH, None, b"a"), "avx2"), (Candidate("net", LITERT, "x", b"b"), "auto")]


def run_program(program: Path) -> list[Timing]:
    return runner.run(CANDIDATES, program=program, shape=(1, 3, 8, 9), threads=2, rounds=2)


def test_the_runner_is_asked_as_its_contract_says(tmp_path: Path) -> None:
    samples = ([1.0, 2.0], [3.0, 5.0])
    answer = {"schema": 1, "models": [{**DEVICE, "samples_ms": wall, "samples_cpu_ms": wall[::-1]} for wall in samples]}
    program = script(tmp_path / "bitsr-run", f"echo \"$@\" > {tmp_path}/asked\necho '{json.dumps(answer)}'")
    first, second = run_program(program)
    assert (first.samples, second.samples, second.processor) == ((1, 2), (3, 5), (5, 3))
    one, other, *options = (tmp_path / "asked").read_text().split()
    assert (one[-10:], other[-13:]) == ("0.pte@avx2", "1.tflite@auto")
    assert options == [
        "--shape",
        "1,3,8,9",
        "--threads",
        "2",
        "--warmup",
        "3",
        "--runs",
        "2",
        "--runtime",
        "framework",
        "--json",
        "-",
    ]


def test_the_runner_takes_one_model_at_a_turn(tmp_path: Path) -> None:
    answer = {"schema": 1, **DEVICE, "samples_ms": [1.0, 2.0], "samples_cpu_ms": [1.0, 1.0]}
    program = script(tmp_path / "bitsr-run", f"echo \"$1\" >> {tmp_path}/asked\necho '{json.dumps(answer)}'")
    timings = runner.run(CANDIDATES, program=program, shape=(1, 3, 8, 9), threads=1, rounds=6, turns=3)
    assert [timing.samples for timing in timings] == [(1, 2) * 3] * 2
    kernels = [line.rpartition("@")[2] for line in (tmp_path / "asked").read_text().splitlines()]
    assert kernels == ["avx2", "auto"] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo 'bitsr-run: error: no such file' >&2; exit 1", "no such file"),
        ("echo nothing", "gave no JSON"),
        (
            f"echo '{json.dumps({'schema': 1, 'models': [{**DEVICE, 'samples_ms': [1.0]}] * 2})}'",
            "2 times",
        ),
    ],
)
def test_a_runner_that_fails(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(TargetError, match=message):
        run_program(script(tmp_path / "bitsr-run", text))


def test_a_runner_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "START_SECONDS", 0.5)
    monkeypatch.setattr(runner, "RUN_SECONDS", 0.01)
    program = script(tmp_path / "bitsr-run", "exec sleep 60")
    started = time.perf_counter()
    with pytest.raises(TargetError, match=r"did not end within 0\.6 s and was killed.*--threads 2.*--json -"):
        run_program(program)
    assert time.perf_counter() - started < 30


def test_larq_that_hangs_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started = time.perf_counter()
    monkeypatch.setattr(larq, "RUN_SECONDS", 0.2)
    late = script(tmp_path / "late", 'echo "ready 9.9"; exec sleep 60')
    message = r"late \S+ layer 1` did not answer within 0\.2 s.*leave out"
    with larq.Larq(late, case="layer", threads=1) as call, pytest.raises(larq.LarqError, match=message):
        call()
    monkeypatch.setattr(larq, "START_SECONDS", 0.3)
    with pytest.raises(larq.LarqError, match=r"did not answer within 0\.3 s and was killed"):
        larq.Larq(script(tmp_path / "never", "exec sleep 60"), case="network", threads=2)
    assert time.perf_counter() - started < 9  # leaving waits ten seconds for a process that was not killed


def test_larq_in_another_python(tmp_path: Path) -> None:
    python = script(tmp_path / "python", 'echo "ready 9.9"; while read line; do echo "done 1.5"; done')
    with larq.Larq(python, case="layer", threads=1) as call:
        assert call.version == "9.9"
        call()
        call()
        assert call.processor == [1.5, 1.5]


def test_larq_that_fails(tmp_path: Path) -> None:
    broken = script(tmp_path / "broken", "echo 'ImportError: no larq' >&2; exit 1")
    with pytest.raises(larq.LarqError, match=r"ImportError: no larq.*--larq-python"):
        larq.Larq(broken, case="layer", threads=1)
    short = script(tmp_path / "short", 'echo "ready 9.9"')
    with larq.Larq(short, case="layer", threads=1) as call, pytest.raises(larq.LarqError, match="said nothing"):
        call()


def test_a_python_without_larq_is_refused_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"lacks larq, tensorflow.*pip install larq"):
        larq.check(script(tmp_path / "python", "echo larq tensorflow"))
    with pytest.raises(UsageError, match="can not be executed"):
        larq.check(tmp_path / "nothing")
