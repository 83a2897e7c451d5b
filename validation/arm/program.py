"""An arm64 program as the emulator and the disassembler see it."""

import bisect
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bitsr.validation.arm.tools import DISASSEMBLER, EMULATOR, SYMBOLS, run_tool

_INSTRUCTION_BYTES = 4


@dataclass(frozen=True)
class Region:
    """Neighbouring instructions of a function that ran equally often."""

    function: str
    instructions: tuple[str, ...]  # in assembler, without labels
    runs: int

    @property
    def executed(self) -> int:
        return self.runs * len(self.instructions)


class ArmProgram:
    """Counts of what a program that is linked to fixed addresses executes.

    Args:
        path: the program.
        plugin: ``libbitsr_block_counter.so``, for the emulator of this machine.

    Raises:
        EnvironmentMissingError: a tool is not installed.
        TargetError: a tool fails.
    """

    def __init__(self, path: Path, *, plugin: Path) -> None:
        self._path, self._plugin = path, plugin
        self._assembler = _disassembled(path)
        self._starts, self._names = _functions(path)

    def regions(self, before: Sequence[str], after: Sequence[str], *, processor: str) -> list[Region]:
        """What the program executes with the arguments ``after`` more often than with ``before``.

        Instructions outside of the program, which would be those of shared libraries, are left out.
        """
        counts = self._count(after, processor)
        counts.subtract(self._count(before, processor))
        found: list[Region] = []
        group: list[int] = []
        for address in sorted(address for address, runs in counts.items() if runs > 0 and address in self._assembler):
            follows = (
                group
                and address == group[-1] + _INSTRUCTION_BYTES
                and counts[address] == counts[group[-1]]
                and self._function(address) == self._function(group[-1])
            )
            if group and not follows:
                found.append(self._region(group, counts[group[0]]))
                group = []
            group.append(address)
        return [*found, self._region(group, counts[group[0]])] if group else found

    def _region(self, addresses: list[int], runs: int) -> Region:
        instructions = tuple(self._assembler[address] for address in addresses)
        return Region(self._function(addresses[0]), instructions, runs)

    def _function(self, address: int) -> str:
        place = bisect.bisect_right(self._starts, address) - 1
        return self._names[place] if place >= 0 else "unknown"

    def _count(self, arguments: Sequence[str], processor: str) -> Counter[int]:
        """How often the instruction at each address ran."""
        counts: Counter[int] = Counter()
        with TemporaryDirectory() as folder:
            blocks = Path(folder) / "blocks.txt"
            run_tool(EMULATOR, "-cpu", processor, "-plugin", f"{self._plugin},out={blocks}", self._path, *arguments)
            for line in blocks.read_text(encoding="ascii").splitlines():
                address, instructions, runs = line.split()
                for number in range(int(instructions)):
                    counts[int(address, 16) + _INSTRUCTION_BYTES * number] += int(runs)
        return counts


def short_name(symbol: str) -> str:
    """The name of a C++ function without return type, arguments and our namespaces."""
    name = re.sub(r"\(anonymous namespace\)::", "", symbol)
    name = re.sub(r"\(.*", "", name)
    return re.sub(r"^[^<]* ", "", name).removeprefix("bitsr::")


def _disassembled(path: Path) -> dict[int, str]:
    """Assembler of every instruction, by address; jumps lead to the next instruction, as a model follows none."""
    found = {}
    for line in run_tool(DISASSEMBLER, "-d", "--no-show-raw-insn", "--mattr=+all", path).splitlines():
        match = re.match(r"^\s*([0-9a-f]+):\s+(\S.*)$", line)
        if match:
            text = re.sub(r"\s*(<.*>|//.*)$", "", match[2].replace("\t", " "))
            if re.match(r"(b|bl|b\.\w+|cbn?z|tbn?z|adr|adrp) ", text):
                text = re.sub(r"0x[0-9a-f]+$", "#0" if text.startswith("adrp") else "#4", text)
            found[int(match[1], 16)] = text
    return found


def _functions(path: Path) -> tuple[list[int], list[str]]:
    """Addresses of all functions, ascending, and their short names."""
    found = {}
    for line in run_tool(SYMBOLS, "--demangle", "--defined-only", path).splitlines():
        address, kind, name = line.split(" ", 2)
        if kind in "tTwW":
            found[int(address, 16)] = short_name(name)
    starts = sorted(found)
    return starts, [found[start] for start in starts]
