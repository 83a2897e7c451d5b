"""The C++ runner on this machine: natively, and as an arm64 program under qemu's user emulation."""

import os
import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import bitsr.runtime
from bitsr.validation.environment import processor
from bitsr.validation.errors import EnvironmentMissingError
from bitsr.validation.runner_files import RunnerOutput
from bitsr.validation.targets.base import Device
from bitsr.validation.targets.host import Workspace, run_process

RUNNER_VARIABLE = "BITSR_RUNNER_DIR"
RUNNER = "bitsr-run"
CPUS = ("cortex-a53", "cortex-a76")
_EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")


def runner_folder(build: str) -> Path:
    """Folder of the runner of a build, "native" or "arm64": below ``BITSR_RUNNER_DIR``, else below build/.

    Raises:
        EnvironmentMissingError: it is not built.
    """
    root = os.environ.get(RUNNER_VARIABLE)
    base = Path(root) if root else Path(bitsr.runtime.__file__).resolve().parent.parent / "build"
    folder = base / build / "runner"
    if not (folder / RUNNER).is_file():
        command = "make arm64" if build == "arm64" else "make build"
        raise EnvironmentMissingError(
            f"the runner {folder / RUNNER} is missing; build it with `{command}`, or set {RUNNER_VARIABLE}"
        )
    return folder


class LocalTarget:
    """See :class:`bitsr.validation.targets.base.Target`."""

    layers = True

    def __init__(self, name: str, command: Sequence[str], device: Device, *, emulated: bool) -> None:
        self.name = name
        self.emulated = emulated
        self.cores = len(os.sched_getaffinity(0))
        self._command = list(command)
        self._device = device
        self._workspace = Workspace()

    def describe(self) -> Device:
        return self._device

    def push(self, path: Path) -> str:
        return str(path)

    def path(self, name: str) -> str:
        return self._workspace.path(name)

    def run(self, arguments: Sequence[str], *, fresh: bool = False) -> RunnerOutput:
        return run_process([*self._command, *arguments], source=f"{RUNNER} on {self.name}")

    def pull(self, name: str, path: Path) -> None:
        self._workspace.pull(name, path)

    def settle(self) -> None:
        pass

    def close(self) -> None:
        self._workspace.close()


def native() -> LocalTarget:
    """The C++ runner of this machine.

    Raises:
        EnvironmentMissingError: it is not built.
    """
    device = Device(platform.machine(), platform.system(), processor())
    return LocalTarget("native", [str(runner_folder("native") / RUNNER)], device, emulated=False)


def qemu(cpu: str) -> LocalTarget:
    """The arm64 runner on an emulated processor, one of :data:`CPUS` or any other that qemu knows.

    Raises:
        EnvironmentMissingError: the emulator is not installed, does not know the processor, or the runner is not built.
    """
    emulator = next((path for path in map(shutil.which, _EMULATORS) if path is not None), None)
    if emulator is None:
        raise EnvironmentMissingError(
            f"the target qemu needs {_EMULATORS[0]}, which is not installed; install it with: "
            "apt-get install qemu-user-static"
        )
    known = subprocess.run([emulator, "-cpu", "help"], capture_output=True, text=True, check=False).stdout.split()
    if cpu not in known:
        raise EnvironmentMissingError(
            f"{Path(emulator).name} knows no processor '{cpu}'; use qemu:{CPUS[0]}, or install a newer emulator with: "
            "apt-get install qemu-user-static"
        )
    version = subprocess.run([emulator, "--version"], capture_output=True, text=True, check=False).stdout
    device = Device("aarch64", f"Linux, {version.splitlines()[0] if version else 'qemu'}", f"emulated {cpu}")
    command = [emulator, "-cpu", cpu, str(runner_folder("arm64") / RUNNER)]
    return LocalTarget(f"qemu:{cpu}", command, device, emulated=True)
