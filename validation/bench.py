"""How fast our kernels are against XNNPACK in float32, in one run on one machine, through ExecuTorch's Python runtime.

Cases: one layer (3x3, 64 to 64 channels) and whole networks, at 128x128 input pixels. A case times the binary network,
the same geometry with float convolutions, and the float network that it replaces, in turns.
"""

import datetime
import os
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bitsr.common.errors import UsageError
from bitsr.export.deploy import FusedBinaryConv2d, fold
from bitsr.export.executorch.lower import lower
from bitsr.export.executorch.partitioner import BitsrPartitioner
from bitsr.runtime import KERNEL_VARIABLE, load_executorch_backend
from bitsr.common.quiet import quiet
from bitsr.training.models import create_model
from bitsr.validation.environment import instruction_sets, processor
from bitsr.validation.timing import Timing, interleave

REPORT_VERSION = 1
SIDE = 128
CHANNELS = 64
NETWORKS = ("ebsr_light_plus_x4", "ebsr_light_x4")
FLOAT_NETWORK = "srresnet_x4"
FLOAT_KERNEL = "xnnpack fp32"
_KERNEL_OF_ISA = {"AVX2": "avx2", "AVX-512 VPOPCNTDQ": "avx512", "NEON": "neon"}


@dataclass(frozen=True)
class Row:
    """One candidate of a case; ``kernel`` is the name of ours, or "xnnpack fp32"."""

    case: str
    network: str
    kernel: str
    threads: int
    timing: Timing

    def ratio(self, baseline: "Row") -> float:
        """How many times as long the baseline takes, by medians."""
        return baseline.timing.median / self.timing.median


class BinaryLayer(nn.Module):
    """The whole fused layer: sign, 3x3 binary convolution, scale, skip, PReLU. Float32 (1, 64, H, W) in and out."""

    def __init__(self) -> None:
        super().__init__()
        signs = torch.where(torch.randn(CHANNELS, CHANNELS, 3, 3) < 0, -1.0, 1.0)
        self.conv = FusedBinaryConv2d(
            signs,
            torch.full((CHANNELS,), 0.05),
            threshold=torch.zeros(CHANNELS),
            slope=torch.full((CHANNELS,), 0.25),
        )

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv(x, residual=x)
        return y


class FloatTwin(nn.Module):
    """The geometry of EBSR-light in float: head, 32 convolutions with a skip each, a tail of one convolution."""

    def __init__(self, *, scale: int, layers: int = 32) -> None:
        super().__init__()
        self.head = nn.Conv2d(3, CHANNELS, 3, padding=1)
        self.body = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(layers))
        self.tail = nn.Conv2d(CHANNELS, 3 * scale**2, 3, padding=1)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        head = self.head(x)
        y = head
        for conv in self.body:
            y = conv(y) + y
        return F.pixel_shuffle(self.tail(y + head), self.scale)


def available_kernels() -> list[str]:
    """Our kernels that run on this processor, the fastest first."""
    fast = [_KERNEL_OF_ISA[name] for name in instruction_sets()]
    return [*reversed(fast), "portable"]


def run_bench(
    *,
    kernels: list[str] | None = None,
    threads: tuple[int, ...] = (1, 2),
    layer_rounds: int = 50,
    network_rounds: int = 9,
    say: Callable[[str], None] = print,
) -> list[Row]:
    """Time all cases. ``kernels`` are ours to compare (default: all that run here; networks skip "portable").

    Raises:
        UsageError: a kernel that does not run on this processor.
        BitsrError: the native library is missing.
    """
    own = kernels or available_kernels()
    unknown = [name for name in own if name not in available_kernels()]
    if unknown:
        raise UsageError(f"the kernel '{unknown[0]}' does not run here; available: {', '.join(available_kernels())}")
    load_executorch_backend()
    torch.manual_seed(0)
    say("export the candidates")
    layer = _layer_programs()
    networks = {name: _network_programs(name) for name in NETWORKS}
    picture = torch.rand(1, 3, SIDE, SIDE)
    in_networks = [name for name in own if kernels or name != "portable"]
    rows = []
    for count in threads:
        # Before the programs are loaded: they keep the pool that they find.
        _set_threads(count)
        say(f"{count} thread{'s' if count > 1 else ''}: layer")
        rows += _time("layer 3x3 64->64", _load(layer, own, _layer_input()), threads=count, rounds=layer_rounds)
        for name, programs in networks.items():
            say(f"{count} thread{'s' if count > 1 else ''}: {name}")
            rows += _time(name, _load(programs, in_networks, picture), threads=count, rounds=network_rounds)
    return rows


def baselines(row: Row, rows: list[Row]) -> list[Row]:
    """The float candidates of the row's case and thread count."""
    return [r for r in rows if (r.case, r.threads) == (row.case, row.threads) and r.kernel == FLOAT_KERNEL]


def report(rows: list[Row]) -> dict[str, Any]:
    """Results for JSON: the machine, the conditions, and every sample in milliseconds."""
    return {
        "version": REPORT_VERSION,
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "device": processor(),
        "system": platform.platform(),
        "instruction_sets": instruction_sets(),
        "cores": len(os.sched_getaffinity(0)),
        "library": str(load_executorch_backend().name),
        "versions": {name: version(name) for name in ("bitsr", "torch", "executorch")},
        "input": [1, 3, SIDE, SIDE],
        "rows": [
            {
                "case": row.case,
                "network": row.network,
                "kernel": row.kernel,
                "threads": row.threads,
                "median_ms": row.timing.median,
                "least_ms": row.timing.least,
                "p90_ms": row.timing.p90,
                "samples_ms": row.timing.samples,
            }
            for row in rows
        ],
    }


Candidate = tuple[str, str]
Calls = dict[Candidate, Callable[[], object]]


@dataclass(frozen=True)
class _Program:
    """A lowered candidate; ``ours`` says whether it runs in our kernels, once with each."""

    network: str
    content: bytes
    ours: bool


def _time(case: str, candidates: Calls, *, threads: int, rounds: int) -> list[Row]:
    names = {f"{network} | {kernel}": (network, kernel) for network, kernel in candidates}
    calls = {label: candidates[key] for label, key in names.items()}
    timings = interleave(calls, rounds=rounds)
    return [Row(case, *names[label], threads, timing) for label, timing in timings.items()]


def _layer_programs() -> list[_Program]:
    """Both read and write channels-last maps, so that no transpose is part of either time."""
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    def lowered(module: nn.Module) -> bytes:
        with quiet(), torch.no_grad():
            program = torch.export.export(module.eval(), (_layer_input(),), strict=False)
            edge = to_edge_transform_and_lower(program, partitioner=[BitsrPartitioner(), XnnpackPartitioner()])
            return bytes(edge.to_executorch().buffer)

    return [
        _Program("binary", lowered(BinaryLayer()), True),
        _Program("float", lowered(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)), False),
    ]


def _layer_input() -> Tensor:
    return torch.randn(1, CHANNELS, SIDE, SIDE).to(memory_format=torch.channels_last)


def _network_programs(name: str) -> list[_Program]:
    def lowered(module: nn.Module) -> bytes:
        return lower(module.eval(), channels=3, max_pixels=SIDE * SIDE).content

    # The float networks keep our pixel shuffle, which is faster than the one they would have without us.
    return [
        _Program(name, lowered(fold(create_model(name))), True),
        _Program("float convolutions", lowered(fold(FloatTwin(scale=4))), False),
        _Program(FLOAT_NETWORK, lowered(fold(create_model(FLOAT_NETWORK))), False),
    ]


def _load(programs: list[_Program], kernels: list[str], x: Tensor) -> Calls:
    """One call for every program, ours once with each kernel."""
    return {
        (program.network, kernel if program.ours else FLOAT_KERNEL): _call(program.content, kernel, x)
        for program in programs
        for kernel in (kernels if program.ours else ["auto"])
    }


def _call(content: bytes, kernel: str, x: Tensor) -> Callable[[], object]:
    from executorch.extension.pybindings import portable_lib

    module = portable_lib._load_for_executorch_from_buffer(content)

    def call() -> int:
        # Outputs stay in the runtime's memory: a copy of them would be timed with fresh pages from the system.
        module.forward([x], clone_outputs=False)
        return len(content)  # the module reads from these bytes, so they have to live as long as it

    with _kernel(kernel):
        call()  # the first call loads the method, and with it the kernel
    return call


@contextmanager
def _kernel(name: str) -> Iterator[None]:
    """The runtime reads the kernel's name when a method is loaded."""
    before = os.environ.get(KERNEL_VARIABLE)
    os.environ[KERNEL_VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[KERNEL_VARIABLE]
        else:
            os.environ[KERNEL_VARIABLE] = before


def _set_threads(count: int) -> None:
    """Threads of ExecuTorch's pool, which XNNPACK and our kernels share."""
    from executorch.extension.pybindings import portable_lib

    portable_lib._unsafe_reset_threadpool(count)
