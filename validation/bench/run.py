"""The benchmark's order of events: lower all candidates once, then time them in turns for each thread count."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.common.quiet import quiet
from bitsr.runtime import RuntimeLibraryError, find_library, load_executorch_backend
from bitsr.validation.bench import larq, networks, runner
from bitsr.validation.bench.candidates import EXECUTORCH, INT8_KERNEL, LITERT, Call, Candidate
from bitsr.validation.bench.rows import Row, report
from bitsr.validation.conditions import conditions
from bitsr.validation.environment import instruction_sets
from bitsr.validation.timing import Timing, interleave

REPORT_VERSION = 2
CASES = ("layer", "network")
RUNTIMES = {"executorch": EXECUTORCH, "litert": LITERT}
MOST_THREADS = 256
# A layer takes a small part of a network's time, so that it can have more rounds.
LAYER_ROUNDS = 5
LAYER_TURNS = 5
PYTHON = "python"
_KERNEL_OF_ISA = {"AVX2": "avx2", "AVX-512 VPOPCNTDQ": "avx512", "NEON": "neon"}
_PACKAGES = ("torch", "executorch", "ai-edge-litert", "tensorflow")
_NOTES = (
    "Python rows: the input is in place before, the output stays in the runtime's memory",
    "layer: an untimed call goes before each timed one, which finds its maps in the caches, as in a network",
    "layer in bitsr-run: a process for each candidate, in turns of some runs; networks take turns in one process",
    "Larq Compute Engine: input and output are copied, its interpreter has no other call",
    "int8: ExecuTorch takes and gives float32, LiteRT int8",
    "layer: ours has sign, scale, skip and PReLU, Larq's sign, scale and skip, the others the convolution alone",
    "weights are random, which no time depends on; int8 is calibrated with photos",
)
Say = Callable[[str], None]


@dataclass(frozen=True)
class Bench:
    """Rows, and what is not among them and why."""

    rows: list[Row]
    left_out: list[str]
    larq_version: str | None

    def report(self) -> dict[str, Any]:
        """All for JSON: the conditions, and every sample in milliseconds."""
        facts = conditions(load_executorch_backend(), packages=_PACKAGES)
        if self.larq_version is not None:
            facts["versions"]["larq-compute-engine"] = self.larq_version
        return {
            "version": REPORT_VERSION,
            **facts,
            "threads": sorted({row.threads for row in self.rows}),
            "input": {"layer": [1, networks.CHANNELS, networks.SIDE, networks.SIDE], "network": list(_PICTURE)},
            "notes": list(_NOTES),
            "left_out": self.left_out,
            "rows": report(self.rows),
        }


_PICTURE = (1, 3, networks.SIDE, networks.SIDE)


def available_kernels() -> list[str]:
    """Our kernels that run on this processor, the fastest first."""
    fast = [_KERNEL_OF_ISA[name] for name in instruction_sets()]
    return [*reversed(fast), "portable"]


def run_bench(
    *,
    kernels: list[str] | None = None,
    threads: tuple[int, ...] = (1,),
    cases: tuple[str, ...] = CASES,
    runtimes: tuple[str, ...] = tuple(RUNTIMES),
    pictures: list[Path] | None = None,
    larq_python: Path | None = None,
    rounds: int = 9,
    say: Say = print,
) -> Bench:
    """Time all candidates.

    Args:
        kernels: ours to compare; by default all that run here (networks without "portable").
        threads: thread counts, each from 1 to 256.
        cases: of :data:`CASES`.
        runtimes: keys of :data:`RUNTIMES`.
        pictures: photos that the int8 candidates are calibrated with; ``None`` leaves these out.
        larq_python: a Python that has larq and larq-compute-engine; ``None`` leaves its rows out.
        rounds: timed rounds of the networks; a layer has five times as many.

    Raises:
        UsageError: an argument that is not among those, or a kernel that does not run on this processor.
        BitsrError: the native library is missing, or a candidate fails.
    """
    own = _checked(kernels, threads, cases, runtimes)
    if larq_python is not None:
        larq.check(larq_python)
    load_executorch_backend()
    torch.manual_seed(0)
    plan = _Plan(own, kernels is not None, rounds, larq_python, say)
    samples = None if pictures is None else networks.calibration_pictures(pictures)
    lowered = {case: _candidates(case, runtimes, samples, say) for case in cases}
    rows: list[Row] = []
    for count in threads:
        for case, (candidates, x) in lowered.items():
            rows += plan.time(case, candidates, x, threads=count)
    return Bench(rows, plan.left_out, plan.larq_version)


def _checked(
    kernels: list[str] | None, threads: tuple[int, ...], cases: tuple[str, ...], runtimes: tuple[str, ...]
) -> list[str]:
    own = kernels or available_kernels()
    for name in own:
        if name not in available_kernels():
            raise UsageError(f"the kernel '{name}' does not run here; available: {', '.join(available_kernels())}")
    for count in threads:
        if not 1 <= count <= MOST_THREADS:
            raise UsageError(f"the thread count is {count}, expected 1 to {MOST_THREADS}")
    for given, known, what in ((cases, CASES, "case"), (runtimes, RUNTIMES, "runtime")):
        wrong = [name for name in given if name not in known]
        if wrong or not given:
            raise UsageError(f"the {what} is '{', '.join(wrong)}', expected some of: {', '.join(known)}")
    return own


def _candidates(
    case: str, runtimes: tuple[str, ...], samples: list[Tensor] | None, say: Say
) -> tuple[list[Candidate], Tensor]:
    x = torch.rand(_PICTURE)
    binary, opponents = networks.binary_networks, networks.float_networks
    if case == "layer":
        # Channels last, as the runtimes' kernels want it: no transpose is part of any time.
        x = torch.randn(1, networks.CHANNELS, *x.shape[2:]).to(memory_format=torch.channels_last)
        samples = None if samples is None else networks.feature_maps(samples)
        binary, opponents = _layers
    found: list[Candidate] = []
    for runtime in runtimes:
        module: Any
        with quiet():  # not both at the top: each loads a heavy stack
            if runtime == "executorch":
                from bitsr.validation.bench import executorch as module
            else:
                from bitsr.validation.bench import litert as module
        say(f"lower the candidates of the {case} for {RUNTIMES[runtime]}")
        for name, network in binary().items():
            found.append(module.lowered(network, network=name, example=x, ours=True))
        for name, network in opponents().items():
            found.append(module.lowered(network, network=name, example=x, ours=False))
            if samples is not None:
                found.append(module.quantized(network, network=name, example=x, samples=samples))
    return found, x


_layers: tuple[Callable[[], dict[str, nn.Module]], Callable[[], dict[str, nn.Module]]] = (
    lambda: {networks.BINARY_LAYER: networks.BinaryLayer().eval()},
    lambda: {networks.FLOAT_LAYER: networks.float_layer()},
)


class _Plan:
    """How the candidates of a case are timed, in Python and in bitsr-run; keeps what could not be."""

    def __init__(
        self, kernels: list[str], portable_everywhere: bool, rounds: int, larq_python: Path | None, say: Say
    ) -> None:
        self._kernels = kernels
        self._portable_everywhere = portable_everywhere
        self._rounds = rounds
        self._larq_python = larq_python
        self._say = say
        self.left_out: list[str] = []
        self.larq_version: str | None = None
        self._program: Path | None = None
        try:
            self._program = find_library(runner.PROGRAM)
        except RuntimeLibraryError as error:
            self.left_out.append(f"rows of bitsr-run: {error}")
        if larq_python is None:
            self.left_out.append("Larq Compute Engine: name a Python that has it by --larq-python")

    def time(self, case: str, candidates: list[Candidate], x: Tensor, *, threads: int) -> list[Row]:
        rounds = self._rounds * (LAYER_ROUNDS if case == "layer" else 1)
        slow = case == "network" and not self._portable_everywhere
        kernels = [name for name in self._kernels if name != "portable" or not slow]
        runs = [(candidate, *kernel) for candidate in candidates for kernel in candidate.kernels(kernels)]
        self._say(f"{threads} thread{'s' if threads > 1 else ''}: {case} in Python")
        rows = self._in_python(case, runs, x, threads=threads, rounds=rounds)
        if self._program is not None:
            self._say(f"{threads} thread{'s' if threads > 1 else ''}: {case} in bitsr-run")
            # It takes float32 alone.
            runs = [run for run in runs if (run[0].runtime, run[0].kernel) != (LITERT, INT8_KERNEL)]
            timings = runner.run(
                [(candidate, kernel) for candidate, _, kernel in runs],
                program=self._program,
                shape=tuple(x.shape),
                threads=threads,
                rounds=rounds,
                turns=LAYER_TURNS if case == "layer" else 0,
            )
            rows += [
                _row(case, candidate, name, runner.PROGRAM, threads, timing)
                for (candidate, name, _), timing in zip(runs, timings, strict=True)
            ]
        return rows

    def _in_python(
        self, case: str, runs: list[tuple[Candidate, str, str]], x: Tensor, *, threads: int, rounds: int
    ) -> list[Row]:
        with ExitStack() as stack:
            if any(candidate.runtime == EXECUTORCH for candidate, _, _ in runs):
                from bitsr.validation.bench import executorch

                executorch.set_threads(threads)  # before the programs are loaded: they keep the pool that they find
            calls: dict[str, Call] = {
                str(number): _loaded(candidate, kernel, x, threads)
                for number, (candidate, _, kernel) in enumerate(runs)
            }
            if self._larq_python is not None:
                worker = stack.enter_context(larq.Larq(self._larq_python, case=case, threads=threads))
                self.larq_version = worker.version
                calls[larq.RUNTIME] = worker
            # A layer finds its input where the layer before it has just written it: in the cache.
            timings = interleave(calls, rounds=rounds, lead_in=int(case == "layer"))
            if larq.RUNTIME in timings:  # another process does its work
                timings[larq.RUNTIME] = Timing(timings[larq.RUNTIME].samples)
        rows = [
            _row(case, candidate, name, PYTHON, threads, timings[str(number)])
            for number, (candidate, name, _) in enumerate(runs)
        ]
        if larq.RUNTIME in timings:
            network = networks.BINARY_LAYER if case == "layer" else "binary convolutions of EBSR-light's geometry"
            rows.append(Row(case, network, larq.RUNTIME, larq.KERNEL, False, PYTHON, threads, timings[larq.RUNTIME]))
        return rows


def _loaded(candidate: Candidate, kernel: str, x: Tensor, threads: int) -> Call:
    if candidate.runtime == EXECUTORCH:
        from bitsr.validation.bench import executorch

        return executorch.loaded(candidate, kernel=kernel, x=x)
    from bitsr.validation.bench import litert

    return litert.loaded(candidate, kernel=kernel, x=x, threads=threads)


def _row(case: str, candidate: Candidate, name: str, host: str, threads: int, timing: Timing) -> Row:
    return Row(case, candidate.network, candidate.runtime, name, candidate.kernel is None, host, threads, timing)
