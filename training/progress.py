"""Progress of a training: a bar with the remaining time on a terminal, plain lines in a log file."""

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """Context manager; ``update`` reports the steps done, ``message`` prints a line above the bar."""

    def __init__(self, *, total: int, first: int = 0, enabled: bool = True) -> None:
        self.total = total
        self.first = first
        self.enabled = enabled
        self.console = Console(stderr=True)
        self.started = time.monotonic()
        self.bar: Progress | None = None
        self.task: TaskID | None = None

    def __enter__(self) -> "TrainingProgress":
        if self.enabled and self.console.is_terminal:
            self.bar = Progress(
                TextColumn("step"),
                MofNCompleteColumn(),
                BarColumn(),
                TimeRemainingColumn(),
                TextColumn("{task.description}"),
                console=self.console,
            )
            self.bar.start()
            self.task = self.bar.add_task("", total=self.total, completed=self.first)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, step: int, *, loss: float, lr: float) -> None:
        figures = f"loss {loss:.5f}  lr {lr:.2e}"
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=step, description=figures)
        elif self.enabled:
            seconds = (time.monotonic() - self.started) / max(step - self.first, 1)
            left = (self.total - step) * seconds / 60
            self.message(f"step {step}/{self.total}  {figures}  {seconds:.3f} s/step  {left:.0f} min left")

    def pictures(self) -> "PictureProgress":
        """Reports the pictures that are decoded before the first step."""
        return PictureProgress(self)

    def message(self, text: str) -> None:
        if self.enabled:
            self.console.print(text, highlight=False, soft_wrap=True)


class PictureProgress:
    """Lines such as "pictures 120/800", at most one in :attr:`EVERY` seconds; none where it is done by then."""

    EVERY = 10.0

    def __init__(self, progress: TrainingProgress) -> None:
        self._progress = progress
        self._last = time.monotonic()

    def advance(self, done: float, total: float, text: str = "") -> None:
        now = time.monotonic()
        if now - self._last >= self.EVERY:
            self._last = now
            self._progress.message(f"pictures {done:.0f}/{total:.0f} decoded (once, into the cache)")
