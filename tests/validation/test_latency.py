"""The protocol of the times, on a target that only notes what it is asked."""

import json
from collections.abc import Sequence

import pytest

from bitsr.validation.errors import TargetError
from bitsr.validation.results import Latency, Samples
from bitsr.validation.targets.runner_protocol import RunnerOutput, parse_output
from bitsr.validation.timing.interleave import Timing
from bitsr.validation.timing.protocol import measure, profile

SHAPE = (1, 3, 128, 128)


class Notebook:
    """A target that answers at once: loads of 10, 30, 20 ms, then samples of 1, 2, 3, ... ms."""

    can_dump_layers = True

    def __init__(
        self,
        *,
        emulated: bool = False,
        lost: int = 0,
        first_ms: Sequence[float] = (5.0,),
        profile: Sequence[tuple[str, str, float]] = (("0/0 add", "bitsr", 0.25),),
    ) -> None:
        self.emulated = emulated
        self.asked: list[str] = []
        self._loads = [10.0, 10.0, 30.0, 30.0, 20.0, 20.0] * 2
        self._lost = lost
        self._first_ms = list(first_ms)
        self._profile = profile
        self.name = "notebook"

    def cool_down(self) -> None:
        self.asked.append("cool_down")

    def run(self, arguments: Sequence[str], *, fresh: bool = False) -> RunnerOutput:
        assert fresh
        words = list(arguments)
        self.asked.append(" ".join(words))
        models = words[: words.index("--shape")]
        runs = int(words[words.index("--runs") + 1]) if "--runs" in words else 1
        entry = {
            "schema": 1,
            "device": {"machine": "x", "threads": 1},
            "load_ms": self._loads.pop(0),
            "first_ms": self._first_ms[len(self._loads) % len(self._first_ms)],
            "samples_ms": [float(n + 1) for n in range(max(0, runs - self._lost))],
            "peak_rss_bytes": 1000 * len(models),
            "profile": [{"name": name, "kind": kind, "ms": ms} for name, kind, ms in self._profile]
            if "--profile" in words
            else [],
        }
        return parse_output(json.dumps({"schema": 1, "models": [entry] * len(models)}), source="notebook")


def test_cold_loads_come_first_then_both_in_turns() -> None:
    target = Notebook()
    latency = measure(target, "net.pte", "twin.pte", threads=2, shape=SHAPE, runs=None)
    size = "--shape 1,3,128,128 --threads 2"
    cold = [
        f"{model} {size} --warmup 0 --runs 0 --runtime framework" for _ in range(3) for model in ("net.pte", "twin.pte")
    ]
    assert target.asked == [*cold, "cool_down", f"net.pte twin.pte {size} --warmup 10 --runs 50 --runtime framework"]
    assert (latency.threads, latency.warm_up, latency.input_shape) == (2, 10, list(SHAPE))
    assert latency.artifact.load_ms == [10.0, 30.0, 20.0]
    assert len(latency.artifact.samples_ms) == 50
    assert (latency.artifact.median_ms, latency.artifact.p90_ms, latency.artifact.min_ms) == (25.5, 45.0, 1.0)
    # Memory is that of the processes that ran one network.
    assert latency.artifact.peak_rss_bytes == 1000
    assert latency.twin is not None


def test_without_a_twin() -> None:
    target = Notebook()
    assert measure(target, "net.tflite", None, threads=1, shape=SHAPE, runs=5).twin is None
    assert target.asked[-1].startswith("net.tflite --shape")


def test_lost_samples_are_noticed() -> None:
    with pytest.raises(TargetError, match="did not time every model 50 times"):
        measure(Notebook(lost=1), "net.pte", None, threads=1, shape=SHAPE, runs=50)


def test_emulators_have_no_profile() -> None:
    assert [entry.ms for entry in profile(Notebook(), "net.pte", shape=SHAPE)] == [0.25]
    assert profile(Notebook(emulated=True), "net.pte", shape=SHAPE) == []


def test_a_slow_network_has_fewer_runs() -> None:
    target = Notebook(first_ms=[130.0, 200.0])
    latency = measure(target, "net.pte", "twin.pte", threads=1, shape=SHAPE, runs=None)
    assert len(latency.artifact.samples_ms) == 9  # of 330 ms a round
    assert latency.warm_up == 2


def test_a_delegate_that_holds_our_ops_is_counted_once() -> None:
    reported = [("delegate call", "delegate", 2.0), ("delegate call", "delegate", 5.0)]
    reported += [("0/0 binary_conv2d", "bitsr", 3.0), ("0/1 add", "bitsr", 1.5), ("aten::cat", "operator", 0.5)]
    target = Notebook(profile=reported)
    found = profile(target, "net.pte", shape=SHAPE)
    assert [entry.ms for entry in found] == [2.0, 0.5, 3.0, 1.5, 0.5]
    assert sum(entry.ms for entry in found) == 7.5
    assert [entry.name for entry in found][:2] == ["delegate call", "delegate call (beside our ops)"]


def samples(wall: list[float], processor: list[float]) -> Samples:
    timing = Timing(tuple(wall))
    return Samples(
        load_ms=[1.0],
        first_ms=1.0,
        samples_ms=wall,
        samples_cpu_ms=processor,
        median_ms=timing.median,
        p90_ms=timing.p90,
        min_ms=timing.least,
        peak_rss_bytes=None,
    )


def test_times_of_a_busy_machine_are_in_doubt() -> None:
    def latency(wall: list[float], processor: list[float], threads: int = 1) -> Latency:
        twin = samples([30.0, 30.0], [30.0, 30.0])
        artifact = samples(wall, processor)
        return Latency(threads=threads, input_shape=list(SHAPE), warm_up=2, artifact=artifact, twin=twin)

    assert latency([10.0, 10.1], [10.0, 10.0]).doubts == []
    assert latency([10.0, 10.0], [10.0, 10.0]).speedup == 3.0
    (doubt,) = latency([20.0, 20.0], [10.0, 10.0]).doubts
    assert "50 %" in doubt
    (doubt,) = latency([10.0, 20.0], [10.0, 20.0]).doubts
    assert "spread by 67 %" in doubt
    # Processor time of several threads is more than the clock's.
    assert latency([10.0, 10.0], [5.0, 5.0], threads=2).doubts == []
