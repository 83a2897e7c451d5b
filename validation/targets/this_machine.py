"""What targets on this machine share: files stay where they are, runs write to a temporary folder."""

import os
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bitsr.validation.errors import TargetError
from bitsr.validation.targets.runner_protocol import RunnerOutput, parse_output

_SECONDS = 1800  # of one run: a picture under an emulator takes minutes


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


def run_process(command: Sequence[str], *, source: str) -> RunnerOutput:
    """Run a runner with ``--json -`` and parse what it says.

    Raises:
        TargetError: it does not start or end, or fails; the message has its last line.
    """
    try:
        done = subprocess.run(
            [*command, "--json", "-"],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise TargetError(
            f"{source} did not end within {_SECONDS} s; try it alone: {shlex.join([*command, '--json', '-'])}"
        ) from error
    except OSError as error:
        raise TargetError(f"{source} does not start ({error}); it may be built for another machine") from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise TargetError(
            f"{source} failed with exit code {done.returncode}: {lines[-1] if lines else 'without a message'}"
        )
    return parse_output(done.stdout, source=source)
