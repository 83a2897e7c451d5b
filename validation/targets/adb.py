"""A device behind adb: a phone, an emulator, anything with a genuine adbd.

Everything lies in one folder below /data/local/tmp, which goes at the end, also after a failure or Ctrl-C.
"""

import shlex
import shutil
import subprocess
import time
import uuid
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from bitsr.validation.errors import EnvironmentMissingError, TargetError
from bitsr.validation.targets.base import Device
from bitsr.validation.targets.builds import ANDROID_ABIS, RUNNER, DeviceBuild, android_build, linux_build
from bitsr.validation.targets.programs import run_program
from bitsr.validation.targets.runner_protocol import RunnerOutput, parse_output

ROOT = PurePosixPath("/data/local/tmp")
LINUX_MACHINE = "aarch64"
# A phone that lies about reaches this after a minute; above it, phones slow down.
HOTTEST_CELSIUS = 40.0
_COOLING_SECONDS = 600
_COOLING_STEP_SECONDS = 15
_SECONDS = 900  # of one command
_ABI = "ro.product.cpu.abi"  # only Android has it

# Prints what is there and leaves out what is not; works with the shells of Android and of Linux.
_FACTS = """
echo "machine=$(uname -m)"
echo "system=$(uname -s) $(uname -r)"
echo "cores=$(grep -c ^processor /proc/cpuinfo)"
echo "x86=$(grep -c ^vendor_id /proc/cpuinfo)"
echo "processor=$(grep -m1 -E '^(Hardware|model name)' /proc/cpuinfo | cut -d: -f2-)"
command -v getprop >/dev/null && for p in ro.product.model ro.build.version.release ro.build.version.sdk \
  ro.product.cpu.abi ro.hardware ro.kernel.qemu ro.boot.qemu; do echo "$p=$(getprop $p)"; done
for f in /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor /sys/devices/system/cpu/cpu0/cpufreq/scaling_max_freq; do
  [ -r $f ] && echo "${f##*/}=$(cat $f)"; done
command -v dumpsys >/dev/null && dumpsys battery 2>/dev/null | sed -n 's/^ *temperature: */battery_tenths=/p'
command -v dumpsys >/dev/null && dumpsys thermalservice 2>/dev/null | sed -n 's/^ *Thermal Status: */thermal_status=/p'
for z in /sys/class/thermal/thermal_zone*; do [ -r $z/temp ] && echo "zone_$(cat $z/type)=$(cat $z/temp)"; done
true
"""


class AdbTarget:
    """See :class:`bitsr.validation.targets.base.Target`. Only the device of ``serial`` is ever spoken to.

    Raises:
        EnvironmentMissingError: no adb, or no runner for the device.
        TargetError: the device does not answer, or is neither an Android of 64 bits nor an arm64 Linux.
    """

    can_dump_layers = True

    def __init__(self, serial: str) -> None:
        adb = shutil.which("adb")
        if adb is None:
            raise EnvironmentMissingError(
                "the target adb needs the program adb, which is not installed; install it with: apt-get install adb"
            )
        self.name = f"adb:{serial}"
        self._adb = [adb, "-s", serial]
        state = self._client("get-state", check=False)
        if state.stdout.strip() != "device":
            reason = " ".join((state.stderr or state.stdout).split())
            raise TargetError(
                f"the device {serial} does not answer ({reason}); `adb devices` lists those that do, and a phone "
                "asks to be unlocked and to trust this computer"
            )
        facts = self._facts()
        self._build = _build_for(serial, facts)
        self.cores = int(facts.get("cores", "1") or 1)
        self.unsupported: dict[str, str] = {}
        self.emulated = is_emulated(facts)
        self._pushed: set[str] = set()  # kinds of artifacts whose libraries are there
        self._folder = ROOT / f"bitsr-{uuid.uuid4().hex[:12]}"
        self._shell(f"mkdir -p {self._folder}")
        try:
            self.push(self._build.runner)
            self._shell(f"chmod 755 {self._folder / RUNNER}")
        except BaseException:
            self.close()
            raise

    def describe(self) -> Device:
        facts = self._facts()
        notes = {
            key: value for key, value in facts.items() if key not in ("machine", "system", "processor", "cores", "x86")
        }
        system = facts.get("system", "")
        if _ABI in facts:
            release, api = facts.get("ro.build.version.release", "?"), facts.get("ro.build.version.sdk", "?")
            system = f"Android {release} (API {api}){', emulator' if self.emulated else ''}, {system}"
        return Device(facts.get("machine", ""), system, facts.get("processor", "").strip(), notes)

    def push(self, path: Path) -> str:
        there = self._folder / path.name
        if path.is_dir():  # into a folder of that name, which a failed run left, adb would put it
            self._shell(f"rm -rf {shlex.quote(str(there))}")
        self._client("push", str(path), str(there))
        if path.suffix in self._build.libraries and path.suffix not in self._pushed:
            self._pushed.add(path.suffix)
            for library in self._build.libraries[path.suffix]:
                self.push(library)
        return str(there)

    def path(self, name: str) -> str:
        return str(self._folder / name)

    def folder(self, name: str) -> str:
        there = shlex.quote(self.path(name))
        self._shell(f"rm -rf {there} && mkdir {there}")
        return self.path(name)

    def run(self, arguments: Sequence[str], *, fresh: bool = False) -> RunnerOutput:
        words = [f"./{RUNNER}", *arguments, "--json", "run.json"]
        command = " ".join(map(shlex.quote, words))
        self._shell(f"cd {self._folder} && rm -f run.json && LD_LIBRARY_PATH=. {command}")
        done = self._shell(f"cat {self._folder}/run.json")
        return parse_output(done, source=f"{RUNNER} on {self.name}")

    def pull(self, name: str, path: Path) -> None:
        self._client("pull", name, str(path))
        self._shell(f"rm -rf {shlex.quote(name)}")

    def cool_down(self) -> None:
        deadline = time.monotonic() + _COOLING_SECONDS
        while (celsius := battery_celsius(self._facts())) is not None and celsius > HOTTEST_CELSIUS:
            if time.monotonic() > deadline:
                raise TargetError(
                    f"{self.name} stays at {celsius:.0f} degrees, expected {HOTTEST_CELSIUS:.0f} or less for times; "
                    "let it cool, unplug a fast charger, and run it again"
                )
            time.sleep(_COOLING_STEP_SECONDS)

    def close(self) -> None:
        # The device may be gone; what was to be said about that has been said by the step that noticed.
        self._client("shell", f"rm -rf {self._folder}", check=False)

    def _facts(self) -> dict[str, str]:
        return parse_facts(self._shell(_FACTS))

    def _shell(self, command: str) -> str:
        """Run in the device's shell; its standard output. The exit code is that of the command."""
        return self._client("shell", command).stdout

    def _client(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = run_program(
            [*self._adb, *arguments],
            seconds=_SECONDS,
            late=f"{self.name} did not finish `{arguments[0]}` within {_SECONDS} seconds",
        )
        if check and done.returncode != 0:
            lines = [line for line in (done.stderr or done.stdout).splitlines() if line.strip()]
            raise TargetError(
                f"{self.name}: `adb {arguments[0]}` failed with exit code {done.returncode}: "
                f"{lines[-1].strip() if lines else 'without a message'}"
            )
        return done


def parse_facts(text: str) -> dict[str, str]:
    """Lines of ``key=value``; others are left out."""
    pairs = (line.partition("=") for line in text.splitlines())
    return {key.strip(): value.strip() for key, found, value in pairs if found and key.strip() and value.strip()}


def battery_celsius(facts: dict[str, str]) -> float | None:
    """The battery's temperature, ``None`` where there is no battery."""
    tenths = facts.get("battery_tenths", "")
    return int(tenths) / 10 if tenths.lstrip("-").isdigit() else None


def is_emulated(facts: dict[str, str]) -> bool:
    """Whether times mean nothing: an Android emulator, or an arm64 userland whose kernel runs on another processor."""
    names = f"{facts.get('ro.product.model', '')} {facts.get('processor', '')}".lower()
    emulator = facts.get("ro.hardware") in ("ranchu", "goldfish") or "1" in (
        facts.get("ro.kernel.qemu"),
        facts.get("ro.boot.qemu"),
    )
    foreign = "x86" not in facts.get(_ABI, "") and facts.get("x86", "0") != "0"
    return emulator or foreign or any(word in names for word in ("sdk", "emulat", "qemu"))


def _build_for(serial: str, facts: dict[str, str]) -> DeviceBuild:
    """The runner for what the device says of itself: Android by its ABI, Linux by its machine."""
    abi, machine = facts.get(_ABI), facts.get("machine", "unknown")
    if abi in ANDROID_ABIS:
        return android_build(abi)
    if abi is None and machine == LINUX_MACHINE:
        return linux_build()
    expected = f"{LINUX_MACHINE}" if abi is None else f"one of {', '.join(ANDROID_ABIS)}"
    raise TargetError(f"the device {serial} is {abi or machine}, expected {expected}: name another device")
