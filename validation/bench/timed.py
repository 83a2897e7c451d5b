"""How the candidates of a case are timed: in turns, in Python and in bitsr-run."""

from contextlib import ExitStack
from pathlib import Path

from torch import Tensor

from bitsr.runtime import RuntimeLibraryError, find_library
from bitsr.validation.bench import larq, networks, runner
from bitsr.validation.bench.candidates import CORE, EXECUTORCH, INT8_KERNEL, LITERT, Call, Candidate
from bitsr.validation.bench.journal import Journal
from bitsr.validation.bench.lowering import Lowered
from bitsr.validation.bench.rows import Row
from bitsr.validation.timing.interleave import Timing, interleave

PYTHON = "python"
# A layer takes a small part of a network's time, so that it can have more rounds.
LAYER_ROUNDS = 5
LAYER_TURNS = 5
LARQ_NETWORK = "binary convolutions of EBSR-light's geometry"

# A candidate, its kernel's name in the report, and the value for our ``kernel`` option.
Run = tuple[Candidate, str, str]


class Stopwatch:
    """Times lowered cases; keeps what can not take part, and the version of Larq Compute Engine.

    ``kernels`` are ours, "portable" among them for whole networks only where ``portable_everywhere``; ``rounds`` are
    those of a network. ``larq_python`` is a Python with Larq Compute Engine, or ``None``.
    """

    def __init__(
        self, kernels: list[str], *, portable_everywhere: bool, rounds: int, larq_python: Path | None, journal: Journal
    ) -> None:
        self._kernels = kernels
        self._portable_everywhere = portable_everywhere
        self._rounds = rounds
        self._larq_python = larq_python
        self._journal = journal
        self.left_out: list[str] = []
        self.larq_version: str | None = None
        self._program: Path | None = None
        try:
            self._program = find_library(runner.PROGRAM)
        except RuntimeLibraryError as error:
            self.left_out.append(f"rows of bitsr-run: {error}")
        if larq_python is None:
            self.left_out.append("Larq Compute Engine: name a Python that has it by --larq-python")

    def time(self, lowered: Lowered, *, threads: int) -> list[Row]:
        """Rows of one case and thread count; what fails is in the journal and has none."""
        case, x = lowered.case, lowered.x
        slow = case != "layer" and not self._portable_everywhere
        kernels = [name for name in self._kernels if name != "portable" or not slow]
        runs = [(candidate, *kernel) for candidate in lowered.candidates for kernel in candidate.kernels(kernels)]
        rounds = self._rounds * (LAYER_ROUNDS if case == "layer" else 1)
        where = f"{case}, {threads} thread{'s' if threads > 1 else ''}"
        rows: list[Row] = []
        # The core is timed in bitsr-run alone: there all take turns in one process.
        framework = [run for run in runs if run[0].runtime != CORE]
        if framework:
            with self._journal.step(f"time {len(framework)} candidates in {PYTHON}, {where}", announce=True):
                rows += self._in_python(case, framework, x, threads=threads, rounds=rounds)
        # bitsr-run takes float32 alone.
        runs = [run for run in runs if (run[0].runtime, run[0].kernel) != (LITERT, INT8_KERNEL)]
        if self._program is not None and runs:
            with self._journal.step(f"time {len(runs)} candidates in {runner.PROGRAM}, {where}", announce=True):
                rows += self._in_runner(self._program, case, runs, x, threads=threads, rounds=rounds)
        return rows

    def _in_python(self, case: str, runs: list[Run], x: Tensor, *, threads: int, rounds: int) -> list[Row]:
        calls: dict[str, Call] = {}
        loaded: dict[str, Run] = {}
        with ExitStack() as stack:
            if any(candidate.runtime == EXECUTORCH for candidate, _, _ in runs):
                from bitsr.validation.bench import executorch

                executorch.set_threads(threads)  # before the programs are loaded: they keep the pool that they find
            for number, run in enumerate(runs):
                candidate, _, kernel = run
                with self._journal.guard(f"load {_called(run)}"):
                    calls[str(number)] = _loaded(candidate, kernel, x, threads)
                    loaded[str(number)] = run
            if self._larq_python is not None and case in larq.CASES:
                with self._journal.step(f"build the {case} in {larq.RUNTIME}"):
                    worker = stack.enter_context(larq.Larq(self._larq_python, case=case, threads=threads))
                    self.larq_version = worker.version
                    calls[larq.RUNTIME] = worker
            # A layer finds its input where the layer before it has just written it: in the cache.
            lead_in = int(case == "layer")

            def failed(number: str, error: Exception) -> None:
                what = number if number == larq.RUNTIME else _called(loaded[number])
                self._journal.fail(f"time {what}, {case}, {threads} thread{'s' if threads > 1 else ''}", error)

            timings = interleave(calls, rounds=rounds, lead_in=lead_in, failed=failed)
        rows = [
            _row(case, run, PYTHON, threads, timings[number]) for number, run in loaded.items() if number in timings
        ]
        if larq.RUNTIME in timings:
            network = networks.BINARY_LAYER if case == "layer" else LARQ_NETWORK
            # Another process does the work, and has its processor time for each call, those that are not timed too.
            taken = worker.processor[lead_in :: lead_in + 1][-rounds:]
            outside = Timing(timings[larq.RUNTIME].samples, tuple(taken))
            rows.append(Row(case, network, larq.RUNTIME, larq.KERNEL, False, PYTHON, threads, outside))
        return rows

    def _in_runner(
        self, program: Path, case: str, runs: list[Run], x: Tensor, *, threads: int, rounds: int
    ) -> list[Row]:
        timings = runner.run(
            [(candidate, kernel) for candidate, _, kernel in runs],
            program=program,
            shape=tuple(x.shape),
            threads=threads,
            rounds=rounds,
            turns=LAYER_TURNS if case == "layer" else 0,
        )
        pairs = zip(runs, timings, strict=True)
        return [_row(case, run, runner.PROGRAM, threads, timing) for run, timing in pairs]


def _loaded(candidate: Candidate, kernel: str, x: Tensor, threads: int) -> Call:
    if candidate.runtime == EXECUTORCH:
        from bitsr.validation.bench import executorch

        return executorch.loaded(candidate, kernel=kernel, x=x)
    from bitsr.validation.bench import litert

    return litert.loaded(candidate, kernel=kernel, x=x, threads=threads)


def _called(run: Run) -> str:
    candidate, name, _ = run
    return f"{candidate.network}, {candidate.runtime} {name}"


def _row(case: str, run: Run, host: str, threads: int, timing: Timing) -> Row:
    candidate, name, _ = run
    return Row(case, candidate.network, candidate.runtime, name, candidate.kernel is None, host, threads, timing)
