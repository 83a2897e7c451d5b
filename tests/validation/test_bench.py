"""The benchmark: its rows, its helpers in other processes, its refusals, and one small run."""

import json
from pathlib import Path

import pytest

from bitsr.common.errors import UsageError
from bitsr.validation.bench import Row, larq, networks, run_bench, runner
from bitsr.validation.bench.candidates import EXECUTORCH, LITERT, Candidate
from bitsr.validation.bench.rows import opponents, processor_ratio, ratio, report
from bitsr.validation.timing import Timing


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def row(kernel: str, *, ours: bool, ms: float, threads: int = 1, host: str = "python") -> Row:
    return Row("layer", "net", EXECUTORCH, kernel, ours, host, threads, Timing((ms, ms, ms), (ms / 2,) * 3))


def test_ratios_are_within_one_case_host_and_thread_count() -> None:
    ours, float32 = row("avx2", ours=True, ms=2), row("xnnpack fp32", ours=False, ms=9)
    others = [row("xnnpack fp32", ours=False, ms=1, threads=2), row("xnnpack fp32", ours=False, ms=1, host="bitsr-run")]
    assert opponents(ours, [ours, float32, *others]) == [float32]
    assert ratio(ours, float32) == 4.5
    assert processor_ratio(ours, float32) == 4.5
    first, *_ = report([ours, float32, *others])
    assert first["times_faster_than"] == {"net, ExecuTorch xnnpack fp32": {"wall": 4.5, "processor": 4.5}}
    assert json.loads(json.dumps(first))["samples_ms"] == [2, 2, 2]


def test_processor_time_says_nothing_with_several_threads_or_another_process() -> None:
    ours = row("avx2", ours=True, ms=2, threads=2)
    assert processor_ratio(ours, row("xnnpack fp32", ours=False, ms=9, threads=2)) is None
    outside = Row("layer", "net", "other", "k", False, "python", 1, Timing((9.0,)))
    assert processor_ratio(row("avx2", ours=True, ms=2), outside) is None


CANDIDATES = [(Candidate("net", EXECUTORCH, None, b"a"), "avx2"), (Candidate("net", LITERT, "x", b"b"), "auto")]


def run_program(program: Path) -> list[Timing]:
    return runner.run(CANDIDATES, program=program, shape=(1, 3, 8, 9), threads=2, rounds=2)


def test_the_runner_is_asked_as_its_contract_says(tmp_path: Path) -> None:
    samples = ([1.0, 2.0], [3.0, 5.0])
    answer = {"schema": 1, "models": [{"samples_ms": wall, "samples_cpu_ms": wall[::-1]} for wall in samples]}
    program = script(tmp_path / "bitsr-run", f"echo \"$@\" > {tmp_path}/asked\necho '{json.dumps(answer)}'")
    first, second = run_program(program)
    assert (first.samples, second.samples, second.processor) == ((1, 2), (3, 5), (5, 3))
    one, other, *options = (tmp_path / "asked").read_text().split()
    assert (one[-10:], other[-13:]) == ("0.pte@avx2", "1.tflite@auto")
    assert options == ["--shape", "1,3,8,9", "--threads", "2", "--warmup", "3", "--runs", "2", "--json", "-"]


def test_the_runner_takes_one_model_at_a_turn(tmp_path: Path) -> None:
    answer = {"schema": 1, "samples_ms": [1.0, 2.0], "samples_cpu_ms": [1.0, 1.0]}
    program = script(tmp_path / "bitsr-run", f"echo \"$1\" >> {tmp_path}/asked\necho '{json.dumps(answer)}'")
    timings = runner.run(CANDIDATES, program=program, shape=(1, 3, 8, 9), threads=1, rounds=6, turns=3)
    assert [timing.samples for timing in timings] == [(1, 2) * 3] * 2
    kernels = [line.rpartition("@")[2] for line in (tmp_path / "asked").read_text().splitlines()]
    assert kernels == ["avx2", "auto"] * 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("echo 'bitsr-run: error: no such file' >&2; exit 1", "no such file"),
        ("echo nothing", "answers otherwise"),
        (
            f"echo '{json.dumps({'models': [{'samples_ms': [1.0], 'samples_cpu_ms': [1.0]}] * 2})}'",
            "2 times",
        ),
    ],
)
def test_a_runner_that_fails(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(runner.RunnerError, match=message):
        run_program(script(tmp_path / "bitsr-run", text))


def test_larq_in_another_python(tmp_path: Path) -> None:
    python = script(tmp_path / "python", 'echo "ready 9.9"; while read line; do echo done; done')
    with larq.Larq(python, case="layer", threads=1) as call:
        assert call.version == "9.9"
        call()
        call()


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


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="kernel 'fast' does not run here; available: "):
        run_bench(kernels=["fast"])
    with pytest.raises(UsageError, match="thread count is 0, expected 1 to 256"):
        run_bench(threads=(1, 0))
    with pytest.raises(UsageError, match="case is 'body', expected some of: layer, network"):
        run_bench(cases=("layer", "body"))
    with pytest.raises(UsageError, match="runtime is 'onnx', expected some of: executorch, litert"):
        run_bench(runtimes=("onnx",))


def test_photos_for_the_calibration(photo: Path, tmp_path: Path) -> None:
    crops = networks.calibration_pictures([photo])
    assert [tuple(crop.shape) for crop in crops] == [(1, 3, 128, 128)] * 6
    assert 0 <= min(crop.min() for crop in crops) < max(crop.max() for crop in crops) <= 1
    (features,) = networks.feature_maps(crops[:1])
    assert tuple(features.shape) == (1, 64, 128, 128)
    small = tmp_path / "small.ppm"
    small.write_bytes(b"P6 2 1 255 " + bytes(6))
    with pytest.raises(UsageError, match=r"at least 128x128 pixels among: .*small\.ppm"):
        networks.calibration_pictures([small])


def test_a_layer_is_timed() -> None:
    pytest.importorskip("executorch")
    said: list[str] = []
    bench = run_bench(
        kernels=["portable"], threads=(1,), cases=("layer",), runtimes=("executorch",), rounds=1, say=said.append
    )
    in_python = [item for item in bench.rows if item.host == "python"]
    assert [(item.kernel, item.ours) for item in in_python] == [("portable", True), ("xnnpack fp32", False)]
    assert all(len(item.timing.samples) == 5 and item.timing.least > 0 for item in bench.rows)
    content = bench.report()
    assert content["threads"] == [1]
    assert {"device", "instruction_sets", "build_type", "load_average", "commit", "versions", "date"} <= content.keys()
    assert any("Larq" in what for what in content["left_out"])
    assert json.loads(json.dumps(content)) == json.loads(json.dumps(content, allow_nan=False))
