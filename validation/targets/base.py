"""The interface of a target: files go there, a runner runs there, files come back."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bitsr.validation.targets.runner_protocol import RunnerOutput


@dataclass(frozen=True)
class Device:
    """What a target is.

    Attributes:
        machine: "x86_64" or "aarch64".
        system: the operating system in words.
        processor: its name, where it is known.
        notes: whatever else was recorded, such as governor and temperature of a phone.
    """

    machine: str
    system: str
    processor: str
    notes: dict[str, str] = field(default_factory=dict)


class Target(Protocol):
    """A place with a runner, which takes the arguments of ``runtime/runner/README.md``.

    Attributes:
        name: as on the command line.
        emulated: results count, times do not.
        can_dump_layers: the runner can write every op's results (``--dump-layers``) and their times (``--profile``).
        cores: processors that a run may use.
        unsupported: kinds of artifacts that can not run there, each with the reason; their ops still can.
    """

    name: str
    emulated: bool
    can_dump_layers: bool
    cores: int
    unsupported: dict[str, str]

    def describe(self) -> Device:
        """Facts of the device now."""
        ...

    def push(self, path: Path) -> str:
        """Bring a file or folder to the target; its path there, for the runner."""
        ...

    def path(self, name: str) -> str:
        """Path on the target of a file that a run is to write."""
        ...

    def folder(self, name: str) -> str:
        """Path on the target of a new folder that a run is to fill."""
        ...

    def run(self, arguments: Sequence[str], *, fresh: bool = False) -> RunnerOutput:
        """Run the runner.

        ``fresh`` is a process of its own with nothing loaded, as times need it.

        Raises:
            TargetError: the target is not reachable, or the run failed.
        """
        ...

    def pull(self, name: str, path: Path) -> None:
        """Move what a run wrote at ``name`` to the local ``path``, which does not exist yet."""
        ...

    def cool_down(self) -> None:
        """Wait until the device is cool enough for times.

        Raises:
            TargetError: it does not get there.
        """
        ...

    def close(self) -> None:
        """Leave nothing behind."""
        ...
