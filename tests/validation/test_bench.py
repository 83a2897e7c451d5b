"""The benchmark: its rows, its refusals, what fails in it, and one small run."""

import copy
import dataclasses
import json
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

import bitsr.validation.bench as package
from bitsr.cli import main
from bitsr.common.errors import MissingExtraError, UsageError
from bitsr.export.deploy import deploy_form, fold
from bitsr.export.errors import ExportError
from bitsr.training.models import create_model
from bitsr.validation.bench import Bench, Row, larq, lowering, networks, run, run_bench, timed
from bitsr.validation.bench import core as bench_core
from bitsr.validation.bench.candidates import CORE, EXECUTORCH, LITERT, Candidate
from bitsr.validation.bench.journal import Failure, Journal
from bitsr.validation.bench.rows import opponents, processor_ratio, ratio, report
from bitsr.validation.timing.interleave import Timing


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


def test_wrong_arguments() -> None:
    with pytest.raises(UsageError, match="kernel 'fast' does not run here; available: "):
        run_bench(kernels=["fast"])
    with pytest.raises(UsageError, match="thread count is 0, expected 1 to 256"):
        run_bench(threads=(1, 0))
    with pytest.raises(UsageError, match="case is 'body', expected some of: layer, network, families, diffusion"):
        run_bench(cases=("layer", "body"))
    with pytest.raises(UsageError, match="runtime is 'onnx', expected some of: pte, tflite, core"):
        run_bench(runtimes=("onnx",))


def test_photos_for_the_calibration(photo: Path, tmp_path: Path) -> None:
    crops = networks.calibration_pictures([photo])
    assert [tuple(crop.shape) for crop in crops] == [(1, 3, 128, 128)] * 2
    assert 0 <= min(crop.min() for crop in crops) < max(crop.max() for crop in crops) <= 1
    (features,) = networks.feature_maps(crops[:1])
    assert tuple(features.shape) == (1, 64, 128, 128)
    small = tmp_path / "small.ppm"
    small.write_bytes(b"P6 2 1 255 " + bytes(6))
    with pytest.raises(UsageError, match=r"at least 128x128 pixels among: .*small\.ppm"):
        networks.calibration_pictures([small])


def test_a_missing_package_is_said_before_minutes_are_spent(monkeypatch: pytest.MonkeyPatch) -> None:
    for runtime in ("tflite", "pte"):
        monkeypatch.setitem(lowering.PACKAGES, runtime, ("no_such_package",))
        with pytest.raises(MissingExtraError, match=r"'no_such_package', which.*\[export\]'"):
            run_bench(runtimes=(runtime,))


@pytest.mark.parametrize("package", ["executorch", "onnx2tf"])
def test_the_command_names_the_extra_that_is_not_installed(package: str, tmp_path: Path) -> None:
    """In a process of its own, where the package can not be imported."""
    program = "import sys; sys.modules[sys.argv[1]] = None; from bitsr.cli import main; sys.exit(main(sys.argv[2:]))"
    command = [sys.executable, "-c", program, package, "bench", "--output", str(tmp_path / "bench")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert (done.returncode, len(errors)) == (1, 1), done.stderr
    assert f"needs the package '{package}', which is not installed" in errors[0]
    assert errors[0].endswith("pip install -e '.[export]'")


def failing(journal: Journal, error: BaseException) -> None:
    with journal.step("broken"):
        raise error


def test_steps_and_failures_are_logged_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "bitsr")
    journal = Journal()
    with journal.step("slow", announce=True):
        time.sleep(0.1)
    failing(journal, ValueError("no such op\nmore of it"))
    with pytest.raises(KeyboardInterrupt):
        failing(journal, KeyboardInterrupt())
    said = caplog.messages
    assert said[0] == "slow ..."
    assert said[1].startswith("slow: 0.1")
    assert said[2:] == ["failed: broken: ValueError: no such op"]
    assert [step.what for step in journal.steps] == ["slow"]
    assert journal.steps[0].seconds >= 0.1
    assert [failure.line for failure in journal.failures] == ["broken: ValueError: no such op"]


def bench_a_layer(**more: object) -> Bench:
    options = {"kernels": ["portable"], "cases": ("layer",), "runtimes": ("pte",), "rounds": 1, **more}
    return run_bench(**options)  # type: ignore[arg-type]


def test_a_layer_is_timed(caplog: pytest.LogCaptureFixture) -> None:
    pytest.importorskip("executorch")
    caplog.set_level("INFO", "bitsr")
    bench = bench_a_layer()
    assert bench.complete
    in_python = [item for item in bench.rows if item.host == "python"]
    assert [(item.kernel, item.ours) for item in in_python] == [("portable", True), ("xnnpack fp32", False)]
    assert all(len(item.timing.samples) == 5 and item.timing.least > 0 for item in bench.rows)
    content = bench.report()
    assert content["threads"] == [1]
    assert {"device", "instruction_sets", "build_type", "load_average", "commit", "versions", "date"} <= content.keys()
    assert any("Larq" in what for what in content["left_out"])
    assert content["failed"] == []
    assert any(note.startswith("layer: ") for note in content["notes"])
    assert not any(note.startswith(("network", "int8", larq.RUNTIME)) for note in content["notes"])
    assert [step["what"] for step in content["steps"]][:2] == [
        "lower binary layer, ExecuTorch, our kernels",
        "lower float layer, ExecuTorch xnnpack fp32",
    ]
    assert all(any(line.startswith(f"{step.what}: ") for line in caplog.messages) for step in bench.steps)
    assert json.loads(json.dumps(content)) == json.loads(json.dumps(content, allow_nan=False))


def test_the_core_is_timed_beside_the_frameworks() -> None:
    """In bitsr-run, where all take turns; its rows have the opponents of the frameworks."""
    pytest.importorskip("executorch")
    bench = bench_a_layer(runtimes=("pte", "core"))
    found = {(item.runtime, item.kernel) for item in bench.rows if item.host == "bitsr-run"}
    if not found:
        pytest.skip("bitsr-run is not built")
    assert found == {(EXECUTORCH, "portable"), (EXECUTORCH, "xnnpack fp32"), (CORE, "portable")}
    (core,) = [item for item in bench.rows if item.runtime == CORE]
    assert [other.kernel for other in opponents(core, bench.rows)] == ["xnnpack fp32"]


def test_the_core_takes_networks_of_our_ops_alone() -> None:
    x = torch.rand(1, 3, 64, 64)
    mixed = fold(create_model("test_bbcu_m_x4"))
    assert bench_core.lowered(mixed, network="mixed", example=x, ours=True) is None
    whole = deploy_form(create_model("test_ebsr_plus_x2"))
    assert bench_core.lowered(whole, network="whole", example=x, ours=True) is not None
    with pytest.raises(ExportError, match="our kernels alone"):
        bench_core.lowered(whole, network="whole", example=x, ours=False)


def test_a_step_of_a_diffusion_model_is_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("executorch")
    pytest.importorskip("ai_edge_litert")
    monkeypatch.setattr(networks, "DIFFUSION_NETWORK", "test_bidiffsr_x2")
    monkeypatch.setattr(networks, "DIFFUSION_FLOAT", "test_sr3_x2")
    small = dataclasses.replace(networks.CASES["diffusion"], shape=(1, 6, 32, 32))
    monkeypatch.setitem(networks.CASES, "diffusion", small)
    bench = bench_a_layer(cases=("diffusion",), runtimes=("pte", "tflite"))
    assert bench.report()["failed"] == []
    in_python = {(item.network, item.runtime, item.ours) for item in bench.rows if item.host == "python"}
    assert in_python == {
        (network, runtime, ours)
        for runtime in (EXECUTORCH, LITERT)
        for network, ours in (
            ("test_bidiffsr_x2, a step", True),
            (networks.FLOAT_GEOMETRY, False),
            ("test_sr3_x2, a step", False),
        )
    }


def test_what_can_not_be_timed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(networks, "DIFFUSION_NETWORK", "test_bidiffsr_x2")
    with pytest.raises(UsageError, match=r"cases diffusion can be timed: .*test_bidiffsr_x2, a step in the core"):
        bench_a_layer(cases=("diffusion",), runtimes=("core",))


def test_a_step_takes_its_timestep_along() -> None:
    """What is timed is the step at its timestep, not a graph that a constant has emptied."""
    model = create_model("test_bidiffsr_x2")
    step = networks.Step(deploy_form(model)).eval()
    x = torch.rand(1, 6, 32, 32)
    with torch.no_grad():
        assert torch.equal(step(x), step.step(x, step.timestep))
        x[0, 0, 0, 0] = 3.0
        assert torch.equal(step(x), step.step(x, step.timestep + 1))


def test_a_candidate_that_fails_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    executorch = pytest.importorskip("bitsr.validation.bench.executorch")
    lowered = executorch.lowered

    def without_ours(*arguments: object, ours: bool, **more: object) -> Candidate:
        if ours:
            raise RuntimeError("this one can not be lowered")
        return lowered(*arguments, ours=ours, **more)

    monkeypatch.setattr(executorch, "lowered", without_ours)
    monkeypatch.setattr(timed, "find_library", lambda _: Path("/bin/false"))
    bench = bench_a_layer()
    assert [(item.host, item.kernel) for item in bench.rows] == [("python", "xnnpack fp32")]
    assert not bench.complete
    first, second = bench.report()["failed"]
    assert first == "lower binary layer, ExecuTorch, our kernels: RuntimeError: this one can not be lowered"
    assert second.startswith("time 1 candidates in bitsr-run, layer, 1 thread: TargetError: ")
    assert "/bin/false failed with exit code 1" in second


def test_a_candidate_that_fails_while_it_is_timed_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = dict.fromkeys("abc", 0)

    def load(candidate: Candidate, *_: object) -> Callable[[], None]:
        def call() -> None:
            calls[candidate.network] += 1
            if candidate.network == "b" and calls["b"] == 7:
                raise RuntimeError("out of memory")

        return call

    monkeypatch.setattr(timed, "_loaded", load)
    journal = Journal()
    watch = timed.Stopwatch(["portable"], portable_everywhere=True, rounds=2, larq_python=None, journal=journal)
    watch._program = None
    candidates = [Candidate(name, LITERT, "xnnpack fp32", b"") for name in calls]
    rows = watch.time(lowering.Lowered("layer", candidates, torch.zeros(1)), threads=1)
    assert [item.network for item in rows] == ["a", "c"]
    assert all(len(item.timing.samples) == 10 for item in rows)
    assert calls == {"a": 24, "b": 7, "c": 24}
    lines = [failure.line for failure in journal.failures]
    assert lines == ["time b, LiteRT xnnpack fp32, layer, 1 thread: RuntimeError: out of memory"]


def test_a_float_candidate_that_computes_something_else_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    if not all(find_spec(package) for package in lowering.PACKAGES["tflite"]):
        pytest.skip("needs bitsr[export]")
    litert = lowering._backend("tflite")
    conv = torch.nn.Conv2d(3, 3, 3, padding=1)
    example, lower = torch.zeros(1, 3, 32, 64), litert.lower
    litert.lowered(conv, network="conv", example=example, ours=False)
    monkeypatch.setattr(
        litert,
        "lower",
        lambda module, **more: lower(copy.deepcopy(module).requires_grad_(False).apply(doubled), **more),
    )
    with pytest.raises(ExportError, match="conv in LiteRT does not compute what the deploy form computes"):
        litert.lowered(conv, network="conv", example=example, ours=False)


def doubled(module: torch.nn.Module) -> None:
    for parameter in module.parameters():
        parameter.mul_(2)


def test_an_interruption_keeps_the_finished_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[int] = []

    def time_it(self: timed.Stopwatch, case: lowering.Lowered, *, threads: int) -> list[Row]:
        calls.append(threads)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return [row("portable", ours=True, ms=2)]

    nothing = lowering.Lowered("layer", [], torch.zeros(1))
    monkeypatch.setattr(run, "lower_case", lambda *_, **__: nothing)
    monkeypatch.setattr(timed.Stopwatch, "time", time_it)
    bench = bench_a_layer(threads=(1, 2))
    assert calls == [1, 2]
    assert bench.interrupted
    assert not bench.complete
    assert len(bench.rows) == 1
    with pytest.raises(KeyboardInterrupt):  # without a row there is nothing to keep
        bench_a_layer()


def run_command(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], folder: Path, bench: Bench
) -> tuple[int, list[str], dict[str, object]]:
    """Exit code, error lines, and the report that was written, of `bitsr bench` with this outcome."""
    monkeypatch.setattr(package, "run_bench", lambda **_: bench)
    code = main(["bench", "--output", str(folder)])
    out, err = capfd.readouterr()
    path = Path(next(line for line in out.splitlines() if line.startswith("written: ")).removeprefix("written: "))
    assert path.parent == folder
    content: dict[str, object] = json.loads(path.read_text())
    content["name"] = path.name
    return code, [line for line in err.splitlines() if line.startswith("error: ")], content


def test_an_incomplete_run_replaces_no_complete_one(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [row("avx2", ours=True, ms=2), row("xnnpack fp32", ours=False, ms=9)]
    code, errors, content = run_command(monkeypatch, capfd, tmp_path, Bench(rows))
    assert (code, errors, content["name"], content["complete"]) == (0, [], "results.json", True)
    complete = (tmp_path / "results.json").read_bytes()

    code, errors, content = run_command(monkeypatch, capfd, tmp_path, Bench(rows[:1], interrupted=True))
    assert (code, len(errors), content["name"]) == (130, 1, "results.partial.json")
    assert (content["interrupted"], content["complete"]) == (True, False)

    failed = Bench(rows[:1], failures=[Failure("lower it", ValueError("why")), Failure("time it", ValueError("how"))])
    code, errors, content = run_command(monkeypatch, capfd, tmp_path, failed)
    assert (code, content["name"]) == (1, "results.partial.json")
    assert errors == ["error: not everything was timed: lower it: ValueError: why, and 1 more; --debug shows where"]
    assert content["failed"] == ["lower it: ValueError: why", "time it: ValueError: how"]
    assert (tmp_path / "results.json").read_bytes() == complete

    run_command(monkeypatch, capfd, tmp_path, Bench(rows))
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
