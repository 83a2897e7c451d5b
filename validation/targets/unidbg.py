"""The Android runner on this machine: unidbg, an arm64 process on Android 6's own C library and an emulated processor.

It proves the code of the libraries, their imports and their numbers, and is no device: Android's linker and ART,
parallel threads and memory are not its business, and its times say nothing.
"""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from bitsr.common.installation import checkout, how_to_rebuild, top_folder
from bitsr.validation.errors import EnvironmentMissingError, TargetError
from bitsr.validation.targets.base import Device
from bitsr.validation.targets.builds import BUILD_VARIABLE, RUNNER, android_build
from bitsr.validation.targets.programs import run_program
from bitsr.validation.targets.runner_protocol import RUN_SECONDS, RunnerOutput, parse_output
from bitsr.validation.targets.this_machine import ThisMachine

# The processors that Processor.java knows; the first is the default.
CPUS = ("cortex-a53", "cortex-a76")
_ABI = "arm64-v8a"
_JSON = "run.json"


class UnidbgTarget(ThisMachine):
    """See :class:`bitsr.validation.targets.base.Target`. Its files lie in a folder that the process sees as "/".

    Raises:
        EnvironmentMissingError: no Java, or the runner or the emulator is not built.
    """

    def __init__(self, cpu: str) -> None:
        java = shutil.which("java")
        if java is None:
            raise EnvironmentMissingError(
                "the target unidbg needs Java 17, which is not installed; install it with: "
                "apt-get install openjdk-17-jre-headless"
            )
        libraries = android_build(_ABI).folder
        base = Path(os.environ.get(BUILD_VARIABLE) or top_folder() / "build") / "android" / "unidbg"
        if not (base / "classes").is_dir() or not (base / "jars").is_dir():
            where = how_to_rebuild("android-unidbg") if checkout() else "only a checkout of bitsr has this target"
            raise EnvironmentMissingError(f"the emulator {base} is missing; {where}")
        super().__init__(f"unidbg:{cpu}", emulated=True, can_dump_layers=True)
        # Where a warning is not printed, a failure of the process opens a debugger on the standard input.
        self._java = [java, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        self._java += ["-cp", f"{base / 'classes'}:{base / 'jars'}/*", "org.bitsr.unidbg.Runner", cpu]
        self._java += [str(self._folder), str(libraries)]
        self._cpu = cpu

    def describe(self) -> Device:
        name = self._cpu.replace("cortex-a", "Cortex-A")
        return Device("aarch64", "Android 6 libc, emulated processor (unidbg)", f"emulated {name}")

    def push(self, path: Path) -> str:
        there = self._folder / path.name
        if path.is_dir():
            shutil.rmtree(there, ignore_errors=True)
            shutil.copytree(path, there)
        else:
            shutil.copyfile(path, there)
        return f"/{path.name}"

    def path(self, name: str) -> str:
        return f"/{name}"

    def folder(self, name: str) -> str:
        super().folder(name)
        return f"/{name}"

    def pull(self, name: str, path: Path) -> None:
        super().pull(str(self._folder / name.removeprefix("/")), path)

    def run(self, arguments: Sequence[str], *, fresh: bool = False) -> RunnerOutput:
        answer = self._folder / _JSON
        answer.unlink(missing_ok=True)
        done = run_program(
            [*self._java, *arguments, "--json", f"/{_JSON}"],
            seconds=RUN_SECONDS,
            late=f"{RUNNER} on {self.name} did not end within {RUN_SECONDS:g} s and was killed",
        )
        if done.returncode != 0 or not answer.is_file():
            lines = [line for line in done.stderr.splitlines() if line.strip()]
            said = [line for line in lines if line.startswith(f"{RUNNER}: error:")]
            raise TargetError(
                f"{RUNNER} on {self.name} failed with exit code {done.returncode}: "
                f"{(said or lines or ['without a message'])[-1]}"
            )
        return parse_output(answer.read_text(encoding="utf-8"), source=f"{RUNNER} on {self.name}")
