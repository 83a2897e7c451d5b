"""The benchmark's order of events: for each case, lower its candidates, then time them for each thread count."""

import logging
import os
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

from bitsr.common.errors import MissingExtraError, UsageError
from bitsr.runtime import isa_names, load_executorch_backend
from bitsr.validation.bench import larq, networks
from bitsr.validation.bench.candidates import INT8_KERNEL
from bitsr.validation.bench.journal import Failure, Journal, Step
from bitsr.validation.bench.lowering import CASES, EXTRAS, PACKAGES, RUNTIMES, lower_case
from bitsr.validation.bench.rows import Row, report
from bitsr.validation.bench.timed import Stopwatch
from bitsr.validation.conditions import conditions

log = logging.getLogger(__name__)

REPORT_VERSION = 3
MAX_THREADS = 256
# A load average above it, before the run, is somebody else's work.
_QUIET = 0.5
_PACKAGES = ("torch", "executorch", "ai-edge-litert", "tensorflow")
# What a note is about, and the note: a case, a runtime or "int8", where rows are of it, or "" for all.
_NOTES = (
    ("", "Python rows: the input is in place before, the output stays in the runtime's memory"),
    ("layer", "an untimed call goes before each timed one, which finds its maps in the caches, as in a network"),
    ("layer", "in bitsr-run a process for each candidate, in turns of some runs"),
    ("network", "in bitsr-run all take turns in one process"),
    ("diffusion", "the timestep is fixed, int8 opponents are left out"),
    ("families", "their opponents are those of the networks, in the same run"),
    ("layer", "ours has sign, scale, skip and PReLU, Larq's sign, scale and skip, the others the convolution alone"),
    (larq.RUNTIME, "input and output are copied, its interpreter has no other call"),
    (
        larq.RUNTIME,
        "for x86-64 it has no optimised kernels, as its maintainers say (its discussion 674); for arm64 it has",
    ),
    ("int8", "ExecuTorch takes and gives float32, LiteRT int8; calibrated with two crops of each photo"),
    ("network", "ours of the shipped weights; values are those of patches like a photo's, on which their times depend"),
    ("", "all other weights are random; of the families' they decide a part of the time of their upsamplers"),
)


@dataclass
class Bench:
    """Rows, what is not among them and why, and what the run did.

    ``load_before`` is the load average of the minute before it; ``interrupted`` says that Ctrl-C ended it.
    """

    rows: list[Row] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    larq_version: str | None = None
    load_before: float = 0.0
    interrupted: bool = False

    @property
    def complete(self) -> bool:
        """Whether everything that was asked for was timed."""
        return not (self.failures or self.interrupted)

    def report(self) -> dict[str, Any]:
        """All for JSON: the conditions, and every sample in milliseconds."""
        facts = conditions(load_executorch_backend(), packages=_PACKAGES)
        if self.larq_version is not None:
            facts["versions"]["larq-compute-engine"] = self.larq_version
        return {
            "version": REPORT_VERSION,
            **facts,
            "load_before": round(self.load_before, 2),
            "complete": self.complete,
            "interrupted": self.interrupted,
            "threads": sorted({row.threads for row in self.rows}),
            "input": {name: list(case.shape) for name, case in networks.CASES.items()},
            "notes": self._notes(),
            "left_out": self.left_out,
            "failed": [failure.line for failure in self.failures],
            "steps": [{"what": step.what, "seconds": round(step.seconds, 1)} for step in self.steps],
            "rows": report(self.rows),
        }

    def _notes(self) -> list[str]:
        subjects = {subject for row in self.rows for subject in (row.case, row.runtime)} | {""}
        if any(row.kernel == INT8_KERNEL for row in self.rows):
            subjects.add("int8")
        return [f"{about}: {text}" if about else text for about, text in _NOTES if about in subjects]


def available_kernels() -> list[str]:
    """Our kernels that run on this processor, the fastest first."""
    return list(isa_names())


def run_bench(
    *,
    kernels: list[str] | None = None,
    threads: tuple[int, ...] = (1,),
    cases: tuple[str, ...] = CASES,
    runtimes: tuple[str, ...] = tuple(RUNTIMES),
    pictures: list[Path] | None = None,
    larq_python: Path | None = None,
    rounds: int = 9,
) -> Bench:
    """Time all candidates. One that fails is noted and left out; Ctrl-C ends the run with the rows that it has.

    In bitsr-run the candidates of a case share a command, so that one that fails there takes with it the rows of
    bitsr-run of its case and thread count.

    Args:
        kernels: ours to compare; by default all that run here (networks without "portable").
        threads: thread counts, each from 1 to 256.
        cases: of :data:`CASES`.
        runtimes: keys of :data:`RUNTIMES`.
        pictures: photos that the int8 candidates are calibrated with; ``None`` leaves these out.
        larq_python: a Python that has larq and larq-compute-engine; ``None`` leaves its rows out.
        rounds: timed rounds of the networks; a layer has five times as many.

    Raises:
        UsageError: an argument that is not among those, a kernel that does not run here, or nothing to time.
        MissingExtraError: a package of a runtime is not installed.
        BitsrError: the native library or a picture is missing.
        KeyboardInterrupt: Ctrl-C before there was a row.
    """
    own = _checked(kernels, threads, cases, runtimes)
    if larq_python is not None:
        larq.check(larq_python)
    load_executorch_backend()
    samples = None if pictures is None else networks.calibration_pictures(pictures)
    torch.manual_seed(0)
    journal = Journal()
    portable = kernels is not None
    watch = Stopwatch(own, portable_everywhere=portable, rounds=rounds, larq_python=larq_python, journal=journal)
    bench = Bench(
        left_out=watch.left_out, failures=journal.failures, steps=journal.steps, load_before=os.getloadavg()[0]
    )
    if bench.load_before > _QUIET:
        log.warning(
            "other programs are busy (load average %.2f): times will be longer than they need to be", bench.load_before
        )
    try:
        for case in cases:
            lowered = lower_case(case, runtimes=runtimes, samples=samples, journal=journal)
            bench.left_out += lowered.left_out
            for count in threads:
                bench.rows += watch.time(lowered, threads=count)
                bench.larq_version = watch.larq_version
    except KeyboardInterrupt:
        if not bench.rows:
            raise
        bench.interrupted = True
    if not bench.rows and not bench.failures:
        raise UsageError(f"nothing of the cases {', '.join(cases)} can be timed: {'; '.join(bench.left_out)}")
    return bench


def _checked(
    kernels: list[str] | None, threads: tuple[int, ...], cases: tuple[str, ...], runtimes: tuple[str, ...]
) -> list[str]:
    own = kernels or available_kernels()
    for name in own:
        if name not in available_kernels():
            raise UsageError(f"the kernel '{name}' does not run here; available: {', '.join(available_kernels())}")
    for count in threads:
        if not 1 <= count <= MAX_THREADS:
            raise UsageError(f"the thread count is {count}, expected 1 to {MAX_THREADS}")
    for given, known, what in ((cases, CASES, "case"), (runtimes, tuple(RUNTIMES), "runtime")):
        wrong = [name for name in given if name not in known]
        if wrong or not given:
            raise UsageError(f"the {what} is '{', '.join(wrong)}', expected some of: {', '.join(known)}")
    for runtime in runtimes:
        for package in PACKAGES[runtime]:
            if find_spec(package) is None:
                extra, purpose = EXTRAS[runtime]
                raise MissingExtraError(package, extra=extra, purpose=purpose)
    return own
