"""Candidates: what is lowered once, and called with every kernel and thread count."""

from collections.abc import Callable
from dataclasses import dataclass

EXECUTORCH, LITERT, CORE = "ExecuTorch", "LiteRT", "core"
FLOAT_KERNEL, INT8_KERNEL = "xnnpack fp32", "xnnpack int8"

Call = Callable[[], object]


@dataclass(frozen=True)
class Candidate:
    """A lowered network; ``kernel`` is the opponent's, or ``None`` for one that runs in ours, once with each."""

    network: str
    runtime: str
    kernel: str | None
    content: bytes

    def kernels(self, ours: list[str]) -> list[tuple[str, str]]:
        """Pairs of the name in the report and the value for our ``kernel`` option."""
        return [(name, name) for name in ours] if self.kernel is None else [(self.kernel, "auto")]
