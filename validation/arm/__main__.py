"""``python -m bitsr.validation.arm``: the tables of ``make bench-arm``."""

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bitsr.common.errors import BitsrError
from bitsr.common.files import atomic_write, make_folder
from bitsr.validation.arm.count import LAYERS, CaseCount, count_case
from bitsr.validation.arm.cycles import PROCESSORS
from bitsr.validation.arm.program import ArmProgram
from bitsr.validation.arm.tools import EMULATOR, MODEL, tool_version

_SIDE = 48  # a multiple of every tile's width
_UNIT = 2048  # multiply-accumulates that cycles are given for
_SHOWN_FUNCTIONS = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the tables, write ``results.json``; the exit code."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    asked = _parser().parse_args(arguments)
    try:
        report = _report(asked)
        make_folder(asked.output)
        with atomic_write(asked.output / "results.json") as temporary:
            temporary.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    except BitsrError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    print(f"written: {asked.output / 'results.json'}")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bitsr.validation.arm", description=__doc__)
    parser.add_argument("--program", type=Path, required=True, help="bitsr_run_case for arm64")
    parser.add_argument("--plugin", type=Path, required=True, help="libbitsr_block_counter.so for this machine")
    parser.add_argument("--compiler", default="unknown", help="what compiled the program, for results.json")
    parser.add_argument("--kernel", action="append", help="our kernel; may be repeated; default: auto")
    parser.add_argument("--processor", default="max", help="that is emulated: what it lacks is not used; default: max")
    parser.add_argument("--side", type=int, default=_SIDE, help="height and width in pixels")
    parser.add_argument("--output", type=Path, default=Path("build/bench-arm"), help="folder of results.json")
    parser.add_argument("cases", nargs="*", default=list(LAYERS), help="layers and .tflite files")
    return parser


def _report(asked: argparse.Namespace) -> dict[str, Any]:
    program = ArmProgram(asked.program, plugin=asked.plugin)
    counts = []
    for kernel in asked.kernel or ["auto"]:
        for case in asked.cases:
            name = Path(case).stem
            counts.append(
                count_case(
                    program,
                    case,
                    name=name,
                    kernel=kernel,
                    height=asked.side,
                    width=asked.side,
                    processor=asked.processor,
                )
            )
            print(_table(counts[-1]), flush=True)
    return {
        "schema": 1,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "compiler": asked.compiler,
        "emulator": tool_version(EMULATOR),
        "processor": asked.processor,
        "model": tool_version(MODEL),
        "cases": [asdict(count) for count in counts],
    }


def _table(count: CaseCount) -> str:
    """One case: its functions, and of a layer what the unit of its work takes."""
    head = f"{count.case}, kernel {count.kernel}, {count.height}x{count.width}: thousands"
    lines = [f"{head:<58}{'instructions':>13}" + "".join(f"{name:>13}" for name in PROCESSORS)]

    def add(name: str, instructions: float, cycles: dict[str, float], form: str = "13,.0f") -> None:
        lines.append(f"{name:<58}{instructions:{form}}" + "".join(f"{cycles[name]:{form}}" for name in PROCESSORS))

    for share in count.functions[:_SHOWN_FUNCTIONS]:
        add(f"  {share.name}", share.instructions / 1e3, {name: c / 1e3 for name, c in share.cycles.items()})
    add("  all", count.instructions / 1e3, {name: c / 1e3 for name, c in count.cycles.items()})
    if count.multiply_accumulates is not None:
        units = count.multiply_accumulates / _UNIT
        for name, share in (("inner loop", count.inner_loop), (count.functions[0].name, count.functions[0])):
            per = {processor: cycles / units for processor, cycles in share.cycles.items()}
            add(f"  {name}, for {_UNIT} multiply-accumulates", share.instructions / units, per, "13.2f")
        per = {processor: cycles / units for processor, cycles in count.cycles.items()}
        add(f"  all, for {_UNIT} multiply-accumulates", count.instructions / units, per, "13.2f")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
