"""How long work tells how far it is."""

from typing import Protocol


class Progress(Protocol):
    """What a caller may pass to work that takes long; a bar, a line, or nothing at all."""

    def advance(self, done: float, total: float, text: str = "") -> None:
        """``done`` of ``total`` units are done, and ``text`` is what comes next; ``total`` may grow."""
