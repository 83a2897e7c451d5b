"""Cases, what they execute, and what that would take."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from bitsr.validation.arm.cycles import PROCESSORS, cycles_per_run
from bitsr.validation.arm.program import ArmProgram, Region

# A region with a smaller share of all instructions is given the mean cycles of an instruction.
_LEAST_SHARE = 0.0005
# Multiply-accumulates of a pixel of a layer of runtime/bench/arm/run_case.cpp.
LAYERS = {
    "binary": 9 * 64 * 64,
    "gated": 9 * 64 * 64,
    "head": 9 * 3 * 64,
    "tail": 9 * 64 * 48,
    "tail2": 9 * 64 * 48,
}


@dataclass(frozen=True)
class Share:
    """What one function, or the inner loop of the busiest one, has of a case."""

    name: str
    instructions: int
    cycles: dict[str, float]  # by processor


@dataclass(frozen=True)
class CaseCount:
    """One run of a case: exact instructions, modelled cycles."""

    case: str
    kernel: str
    height: int
    width: int
    functions: list[Share]  # the one with the most instructions first
    inner_loop: Share
    multiply_accumulates: int | None  # None: of a whole network
    instructions: int = field(init=False)
    cycles: dict[str, float] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "instructions", sum(share.instructions for share in self.functions))
        totals = {name: sum(share.cycles[name] for share in self.functions) for name in PROCESSORS}
        object.__setattr__(self, "cycles", totals)


def count_case(
    program: ArmProgram, case: str, *, name: str, kernel: str, height: int, width: int, processor: str
) -> CaseCount:
    """Count a layer of :data:`LAYERS` or a .tflite.

    Args:
        program: ``bitsr_run_case``.
        case: the layer, or the path of the artifact.
        name: of the case, in the result.
        kernel: instruction set, as users name it, or "auto".
        processor: that the emulator shall be, by its name of it; "max" can all.

    Raises:
        EnvironmentMissingError: a tool is not installed.
        TargetError: a tool or the program fails.
    """
    arguments = [[kernel, runs, case, str(height), str(width)] for runs in ("1", "2")]
    regions = program.regions(*arguments, processor=processor)
    cycles = {name: _cycles(regions, processor=name) for name in PROCESSORS}
    members: dict[str, list[int]] = defaultdict(list)
    for number, region in enumerate(regions):
        members[region.function].append(number)
    shares = [_share(function, numbers, regions, cycles) for function, numbers in members.items()]
    shares.sort(key=lambda share: -share.instructions)
    busiest = members[shares[0].name]
    most = max(regions[number].runs for number in busiest)
    # A loop that is unrolled by the rows of a filter lies in several regions.
    inner = [number for number in busiest if 2 * regions[number].runs > most]
    per_pixel = LAYERS.get(case)
    return CaseCount(
        case=name,
        kernel=kernel,
        height=height,
        width=width,
        functions=shares,
        inner_loop=_share(shares[0].name, inner, regions, cycles),
        multiply_accumulates=None if per_pixel is None else per_pixel * height * width,
    )


def _share(name: str, numbers: Sequence[int], regions: Sequence[Region], cycles: dict[str, list[float]]) -> Share:
    return Share(
        name,
        instructions=sum(regions[number].executed for number in numbers),
        cycles={processor: sum(of[number] for number in numbers) for processor, of in cycles.items()},
    )


def _cycles(regions: Sequence[Region], *, processor: str) -> list[float]:
    """Cycles of all runs of each region."""
    total = sum(region.executed for region in regions)
    modelled = [number for number, region in enumerate(regions) if region.executed >= _LEAST_SHARE * total]
    found = cycles_per_run([regions[number] for number in modelled], processor=processor)
    cycles = {number: regions[number].runs * each for number, each in zip(modelled, found, strict=True)}
    mean = sum(cycles.values()) / max(1, sum(regions[number].executed for number in modelled))
    return [cycles.get(number, mean * region.executed) for number, region in enumerate(regions)]
