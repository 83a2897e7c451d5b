"""What targets on this machine share: files stay where they are, runs write to a temporary folder."""

import os
import shutil
import tempfile
from pathlib import Path

from bitsr.validation.errors import TargetError


class ThisMachine:
    """All of :class:`bitsr.validation.targets.base.Target` but what it is and how it runs."""

    def __init__(
        self, name: str, *, emulated: bool, can_dump_layers: bool, unsupported: dict[str, str] | None = None
    ) -> None:
        self.name = name
        self.emulated = emulated
        self.can_dump_layers = can_dump_layers
        self.unsupported = unsupported or {}
        self.cores = len(os.sched_getaffinity(0))
        self._folder = Path(tempfile.mkdtemp(prefix="bitsr-target-"))

    def push(self, path: Path) -> str:
        return str(path)

    def path(self, name: str) -> str:
        return str(self._folder / name)

    def folder(self, name: str) -> str:
        path = self._folder / name
        if path.exists():  # what a run left that failed
            shutil.rmtree(path)
        path.mkdir()
        return str(path)

    def pull(self, name: str, path: Path) -> None:
        try:
            shutil.move(name, path)
        except OSError as error:
            raise TargetError(f"the run did not write {name}: {error.strerror or error}") from error

    def cool_down(self) -> None:
        pass

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)
