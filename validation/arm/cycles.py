"""Cycles of regions by LLVM's models of processors."""

import json
from collections.abc import Sequence

from bitsr.validation.arm.program import Region
from bitsr.validation.arm.tools import MODEL, run_tool
from bitsr.validation.errors import TargetError

# In order; out of order with two and with four vector pipes; out of order with two, of a newer kind.
PROCESSORS = ("cortex-a55", "neoverse-n1", "neoverse-v1", "neoverse-n2")
# Enough that filling the pipeline, some ten cycles, does not count.
_ITERATIONS = 500


def cycles_per_run(regions: Sequence[Region], *, processor: str) -> list[float]:
    """Cycles of one run of each region among many runs of it: the caches and the guesses of branches never fail.

    Raises:
        EnvironmentMissingError: the model is not installed.
        TargetError: it fails.
    """
    if not regions:
        return []
    lines = []
    for number, region in enumerate(regions):
        lines += [f"# LLVM-MCA-BEGIN {number}", *region.instructions, f"# LLVM-MCA-END {number}"]
    answer = run_tool(
        MODEL,
        "-mtriple=aarch64-linux-gnu",
        f"-mcpu={processor}",
        "-mattr=+dotprod,+i8mm",
        f"-iterations={_ITERATIONS}",
        "-json",
        text="\n".join(lines) + "\n",
    )
    found = {int(item["Name"]): float(item["SummaryView"]["TotalCycles"]) for item in json.loads(answer)["CodeRegions"]}
    if len(found) != len(regions):
        raise TargetError(f"{MODEL} answered for {len(found)} regions, expected {len(regions)}; is it of LLVM 19?")
    return [found[number] / _ITERATIONS for number in range(len(regions))]
