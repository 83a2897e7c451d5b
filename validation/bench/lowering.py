"""The candidates of a case, lowered one after the other, so that one that fails leaves the others."""

from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from bitsr.common.quiet import quiet
from bitsr.validation.bench import networks
from bitsr.validation.bench.candidates import CORE, EXECUTORCH, FLOAT_KERNEL, INT8_KERNEL, LITERT, Candidate
from bitsr.validation.bench.journal import Journal

CASES = tuple(networks.CASES)
# By the words of `--runtime`: each framework is called by the format that it runs.
RUNTIMES = {"pte": EXECUTORCH, "tflite": LITERT, "core": CORE}
# By their names in an import, so that a missing one is said before minutes are spent on the other runtime.
PACKAGES = {
    "pte": ("executorch", "torchao"),
    "tflite": ("onnx", "onnx2tf", "tensorflow", "tf_keras", "ai_edge_litert"),
    "core": (),
}
# The extra of bitsr that installs a runtime's packages, and what it is needed for.
EXTRAS = {
    "pte": ("export", "Timing ExecuTorch"),
    "tflite": ("export", "Timing LiteRT (--runtime pte leaves it out)"),
}


@dataclass(frozen=True)
class Lowered:
    """Candidates of one case, the input (1, C, H, W) that all of them take, and what takes no part, with the reason."""

    case: str
    candidates: list[Candidate]
    x: Tensor
    left_out: list[str] = field(default_factory=list)


def lower_case(case: str, *, runtimes: tuple[str, ...], samples: list[Tensor] | None, journal: Journal) -> Lowered:
    """Lower what takes part in ``case``; ``samples`` are pictures that calibrate int8, ``None`` leaves int8 out."""
    timed = networks.CASES[case]
    x = timed.example()
    samples = None if samples is None or timed.calibration is None else timed.calibration(samples)
    found: list[Candidate] = []
    left_out: list[str] = []
    for runtime in runtimes:
        backend, called = _backend(runtime), RUNTIMES[runtime]
        for name, network in timed.ours().items():
            with journal.step(f"lower {name}, {called}, our kernels"):
                candidate = backend.lowered(network, network=name, example=x, ours=True, fixed=timed.one_size)
                if candidate is not None:
                    found.append(candidate)
                else:
                    left_out.append(f"{name} in the {called}: not all of its ops are ours")
        if called == CORE:
            continue
        for name, network in timed.floats().items():
            with journal.step(f"lower {name}, {called} {FLOAT_KERNEL}"):
                found.append(backend.lowered(network, network=name, example=x, ours=False, fixed=timed.one_size))
            if samples is not None:
                with journal.step(f"lower {name}, {called} {INT8_KERNEL}"):
                    found.append(backend.quantized(network, network=name, example=x, samples=samples))
    return Lowered(case, found, x, left_out)


def _backend(runtime: str) -> Any:
    """The runtime's module, which loads a heavy stack."""
    with quiet():
        if runtime == "core":
            from bitsr.validation.bench import core

            return core
        if runtime == "pte":
            from bitsr.validation.bench import executorch

            return executorch
        from bitsr.validation.bench import litert

        return litert
