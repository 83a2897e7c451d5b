"""What lowering gives: the artifact's bytes, and the table of which op runs where, and why."""

from collections import Counter
from dataclasses import dataclass, field

from bitsr.artifact.program import FIRST_VERSION, OPS, Program

OURS = "bitsr kernels"


@dataclass(frozen=True)
class DelegationRow:
    """``count`` ops of one kind at one place; ``reason`` says why not in our kernels (empty if they are)."""

    op: str
    count: int
    place: str
    reason: str = ""


@dataclass
class DelegationTable:
    """Rows of the table, and how many partitions (delegate calls) each place has."""

    rows: list[DelegationRow] = field(default_factory=list)
    partitions: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_ops(cls, ops: list[tuple[str, str, str]], partitions: dict[str, int]) -> "DelegationTable":
        """Count ``(op, place, reason)`` triples; rows come in the order of their first op."""
        counts = Counter(ops)
        return cls(
            [DelegationRow(op, counts[key], place, reason) for key in counts for op, place, reason in [key]], partitions
        )

    @classmethod
    def of_program(cls, program: Program) -> "DelegationTable":
        """Of a network that is one program of ours."""
        return cls.from_ops([(OPS[op.kind].torch_ops[0].partition(".")[0], OURS, "") for op in program.ops], {OURS: 1})

    def not_lowered(self) -> list[DelegationRow]:
        """Rows of ``bitsr::`` ops that our kernels do not run."""
        return [row for row in self.rows if row.op.startswith("bitsr::") and row.place != OURS]


@dataclass(frozen=True)
class Lowered:
    """A lowered model: the artifact's bytes, where its ops run, and the memory that ``max_pixels`` pixels plan.

    ``min_side`` is the least side of an input where sizes are free.
    ``blob_version`` is that of its programs.
    ``framework_ops`` are those that neither our kernels nor XNNPACK's take, each with the module that calls it.
    """

    content: bytes
    table: DelegationTable
    arena_bytes: int
    max_pixels: int
    min_side: int = 1
    framework_ops: tuple[str, ...] = ()
    blob_version: int = FIRST_VERSION
