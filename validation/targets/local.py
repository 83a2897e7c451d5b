"""The C++ runner on this machine: natively, and as an arm64 program under qemu's user emulation."""

import platform
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from bitsr.runtime.machine import processor
from bitsr.validation.errors import EnvironmentMissingError
from bitsr.validation.targets.base import Device
from bitsr.validation.targets.builds import RUNNER, runner
from bitsr.validation.targets.runner_protocol import RunnerOutput, RunnerProcess
from bitsr.validation.targets.this_machine import ThisMachine

# Processors by default, with what the kernel of such a device says in /proc/cpuinfo: XNNPACK reads it.
_FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32"
CPUS = {
    "cortex-a53": f"Features\t: {_FEATURES} cpuid\nCPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\n"
    "CPU part\t: 0xd03\nCPU revision\t: 4\n",
    "cortex-a76": f"Features\t: {_FEATURES} atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp\n"
    "CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x4\nCPU part\t: 0xd0b\nCPU revision\t: 1\n",
}
# LiteRT's arm64 library uses the atomics of ARMv8.1.
_WITHOUT_LITERT = {"cortex-a53": "LiteRT's arm64 library needs the atomics of ARMv8.1, which a Cortex-A53 has not"}
_EMULATORS = ("qemu-aarch64-static", "qemu-aarch64")
_SYSROOT = Path("/usr/aarch64-linux-gnu")


class LocalTarget(ThisMachine):
    """See :class:`bitsr.validation.targets.base.Target`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        device: Device,
        *,
        emulated: bool,
        unsupported: dict[str, str] | None = None,
    ) -> None:
        super().__init__(name, emulated=emulated, can_dump_layers=True, unsupported=unsupported)
        self.command = list(command)
        self._device = device

    def describe(self) -> Device:
        return self._device

    def run(self, arguments: Sequence[str], *, fresh: bool = False) -> RunnerOutput:
        return RunnerProcess(tuple(self.command), source=f"{RUNNER} on {self.name}").run(arguments)


def native() -> LocalTarget:
    """The C++ runner of this machine.

    Raises:
        EnvironmentMissingError: it is not built.
    """
    device = Device(platform.machine(), platform.system(), processor())
    return LocalTarget("native", [str(runner("native"))], device, emulated=False)


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
            f"{Path(emulator).name} knows no processor '{cpu}'; use qemu:{next(iter(CPUS))}, or install a newer one: "
            "apt-get install qemu-user-static"
        )
    version = subprocess.run([emulator, "--version"], capture_output=True, text=True, check=False).stdout
    device = Device("aarch64", f"Linux, {version.splitlines()[0] if version else 'qemu'}", f"emulated {cpu}")
    unsupported = {"tflite": _WITHOUT_LITERT[cpu]} if cpu in _WITHOUT_LITERT else {}
    program = str(runner("arm64"))
    target = LocalTarget(f"qemu:{cpu}", [], device, emulated=True, unsupported=unsupported)
    try:
        root = _root(Path(target.folder("root")), cpu)
    except EnvironmentMissingError:
        target.close()
        raise
    target.command = [emulator, "-cpu", cpu, "-L", str(root), program]
    return target


def _root(folder: Path, cpu: str) -> Path:
    """Where the emulator looks before this machine's root: the arm64 C library, and a processor to read about."""
    if _SYSROOT.is_dir():
        (folder / "lib").symlink_to(_SYSROOT / "lib")
    elif platform.machine() != "aarch64":
        raise EnvironmentMissingError(
            f"the target qemu needs the arm64 C library in {_SYSROOT}, which is not installed; install it with: "
            "apt-get install libc6-dev-arm64-cross libstdc++6-arm64-cross"
        )
    if cpu in CPUS:
        (folder / "proc").mkdir()
        (folder / "proc" / "cpuinfo").write_text(f"processor\t: 0\n{CPUS[cpu]}", encoding="ascii")
    return folder
