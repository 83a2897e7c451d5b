"""Times of the Android app on a device behind adb: the app measures, and writes what ``bitsr-run`` would."""

import json
import shlex
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bitsr.common.errors import UsageError
from bitsr.validation.errors import EnvironmentMissingError, TargetError
from bitsr.validation.targets.programs import run_program
from bitsr.validation.targets.runner_protocol import ModelRun, parse_output

PACKAGE = "org.bitsr.demo"
ACTIVITY = f"{PACKAGE}/.BenchmarkActivity"
RESULTS = f"/sdcard/Android/data/{PACKAGE}/files/results.json"
_COMMAND_SECONDS = 60
_POLL_SECONDS = 1.0
_RUN_SECONDS = 1800.0


@dataclass(frozen=True)
class AppRun:
    """What the app measured: checked, and as it wrote it."""

    run: ModelRun
    content: dict[str, Any]


@dataclass(frozen=True)
class AppOnDevice:
    """The app on the device ``serial``, and the program adb."""

    serial: str
    adb: str

    @classmethod
    def find(cls, target: str) -> "AppOnDevice":
        """The app on ``adb:SERIAL``.

        Raises:
            UsageError: the target is no device behind adb.
            EnvironmentMissingError: there is no adb.
        """
        kind, _, serial = target.partition(":")
        if kind != "adb" or not serial:
            raise UsageError(f"the app runs on a device behind adb, expected --on adb:SERIAL, got '{target}'")
        adb = shutil.which("adb")
        if adb is None:
            raise EnvironmentMissingError("the program adb is missing; install it with: apt-get install adb")
        return cls(serial, adb)

    def time(
        self,
        model: str,
        runtime: str,
        *,
        runs: int,
        threads: int,
        sleep: Callable[[float], None] = time.sleep,
    ) -> AppRun:
        """Time ``model`` in the core, or in the framework of a format; the app must be installed and hold it.

        Raises:
            TargetError: the device or the app does not answer, or the app refuses.
        """
        self._shell(f"rm -f {RESULTS}")
        extras = f"--es model {shlex.quote(model)} --es runtime {runtime} --ei runs {runs} --ei threads {threads}"
        said = self._shell(f"am start -W -n {ACTIVITY} {extras}")
        if "Error" in said:
            raise TargetError(
                f"the app does not start on {self.serial} ({' '.join(said.split())}); install it with: adb -s "
                f"{self.serial} install -r build/android/bitsr-both.apk"
            )
        deadline = time.monotonic() + _RUN_SECONDS
        while time.monotonic() < deadline:
            text = self._shell(f"cat {RESULTS} 2>/dev/null || true")
            if text.strip():
                return self._read(text)
            sleep(_POLL_SECONDS)
        raise TargetError(
            f"the app on {self.serial} wrote no results within {_RUN_SECONDS:g} s; keep it in front, and look at: adb "
            f"-s {self.serial} logcat -s bitsr"
        )

    def _read(self, text: str) -> AppRun:
        source = f"the app on {self.serial}"
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise TargetError(f"{source} wrote no JSON ({error}); install the app of this version") from error
        if isinstance(content, dict) and "error" in content:
            raise TargetError(f"{source} did not run: {content['error']}")
        (run,) = parse_output(text, source=source).models
        return AppRun(run, content)

    def _shell(self, command: str) -> str:
        done = run_program(
            [self.adb, "-s", self.serial, "shell", command],
            seconds=_COMMAND_SECONDS,
            late=f"{self.serial} did not answer within {_COMMAND_SECONDS} s; unlock it",
        )
        if done.returncode != 0:
            raise TargetError(
                f"{self.serial} does not answer ({' '.join((done.stderr or done.stdout).split())}); "
                "`adb devices` lists those that do"
            )
        return done.stdout
