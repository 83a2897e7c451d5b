"""This machine's Python runtimes, ExecuTorch's and LiteRT's."""

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bitsr.common.errors import BitsrError, UsageError
from bitsr.validation.environment import processor
from bitsr.validation.errors import TargetError
from bitsr.validation.runner_files import RunnerOutput, parse_output
from bitsr.validation.targets.base import Device


class Workspace:
    """A folder of this machine for what runs write; pulling moves it out."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="bitsr-target-"))

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

    def close(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class HostTarget:
    """See :class:`bitsr.validation.targets.base.Target`; the runner is :mod:`bitsr.validation.targets.host_runner`."""

    name = "host"
    emulated = False
    layers = False

    def __init__(self) -> None:
        from bitsr.validation.targets.host_runner import HostRunner

        self.cores = len(os.sched_getaffinity(0))
        self.without: dict[str, str] = {}
        self._workspace = Workspace()
        self._runner = HostRunner()

    def describe(self) -> Device:
        return Device(platform.machine(), f"{platform.system()}, Python {platform.python_version()}", processor())

    def push(self, path: Path) -> str:
        return str(path)

    def path(self, name: str) -> str:
        return self._workspace.path(name)

    def folder(self, name: str) -> str:
        return self._workspace.folder(name)

    def run(self, arguments: Sequence[str], *, fresh: bool = False) -> RunnerOutput:
        if not fresh:
            try:
                return parse_output(self._runner.execute(arguments), source="the host runner")
            except (TargetError, UsageError):
                raise
            except BitsrError as error:  # of the runtimes, which do not know of targets
                raise TargetError(f"the host runner failed: {error}") from error
        command = [sys.executable, "-m", "bitsr.validation.targets.host_runner", *arguments]
        return run_process(command, source="the host runner")

    def pull(self, name: str, path: Path) -> None:
        self._workspace.pull(name, path)

    def settle(self) -> None:
        pass

    def close(self) -> None:
        self._workspace.close()


def run_process(command: Sequence[str], *, source: str) -> RunnerOutput:
    """Run a runner with ``--json -`` and parse what it says.

    Raises:
        TargetError: it fails; the message has its last line.
    """
    done = subprocess.run([*command, "--json", "-"], capture_output=True, text=True, errors="replace", check=False)
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()]
        raise TargetError(
            f"{source} failed with exit code {done.returncode}: {lines[-1] if lines else 'without a message'}"
        )
    return parse_output(done.stdout, source=source)
