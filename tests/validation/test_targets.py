"""Targets: their names, what is missing, and a device behind a genuine adbd."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

from bitsr.common.errors import UsageError
from bitsr.export.parity.artifact_ops import artifact_ops
from bitsr.export.parity.recording import record
from bitsr.validation.errors import EnvironmentMissingError, TargetError
from bitsr.validation.parity.ops import golden_picture, make_cases, write_case
from bitsr.validation.targets.adb import AdbTarget, battery_celsius, parse_facts
from bitsr.validation.targets.builds import executorch_libraries, litert_libraries
from bitsr.validation.targets.host import HostTarget
from bitsr.validation.targets.local import native, qemu
from bitsr.validation.targets.open import expand
from bitsr.validation.targets.runner_files import write_cases
from bitsr.validation.targets.runner_protocol import RunnerProcess
from bitsr.validation.timing.protocol import thread_counts

DEVICE = Path(__file__).parent / "adb_device"
PORT, SERVER_PORT = "5557", "5039"


def test_names_of_targets() -> None:
    assert expand("host") == ["host"]
    assert expand("host, qemu") == ["host", "qemu:cortex-a53", "qemu:cortex-a76"]
    assert expand("qemu:max,adb:10.0.0.1:5555") == ["qemu:max", "adb:10.0.0.1:5555"]


@pytest.mark.parametrize(
    "names", ["", "phone", "host,", "native:x", "adb", "adb:", "host,host", "qemu,qemu:cortex-a53"]
)
def test_wrong_names_are_a_usage_error(names: str) -> None:
    with pytest.raises(UsageError):
        expand(names)


def test_thread_counts() -> None:
    assert thread_counts("1,n", cores=4) == [1, 4]
    assert thread_counts("1,n", cores=1) == [1]
    for wrong in ("", "0", "a", "1,", "-1"):
        with pytest.raises(UsageError):
            thread_counts(wrong, cores=4)


def test_what_is_missing_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BITSR_BUILD_DIR", str(tmp_path))
    with pytest.raises(EnvironmentMissingError, match="make build") as missing:
        native()
    assert missing.value.exit_code == 3
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EnvironmentMissingError, match="apt-get install qemu-user-static"):
        qemu("cortex-a53")
    with pytest.raises(EnvironmentMissingError, match="apt-get install adb"):
        AdbTarget("SERIAL")


def test_libraries_come_from_the_configured_folders(tmp_path: Path) -> None:
    lib = tmp_path / "wheels" / "executorch" / "lib"
    for path in (lib / "libexecutorch.so", tmp_path / "wheels" / "litert" / "libLiteRt.so"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "CMakeCache.txt").write_text(
        f"BITSR_EXECUTORCH_DIR:PATH={lib.parent}\nBITSR_LITERT_DIR:PATH={tmp_path}/wheels/litert\n"
    )
    assert executorch_libraries(tmp_path) == [lib / "libexecutorch.so"]
    assert litert_libraries(tmp_path) == [tmp_path / "wheels" / "litert" / "libLiteRt.so"]


def test_facts_of_a_phone() -> None:
    facts = parse_facts("machine=aarch64\nnothing\n battery_tenths=312\nzone_cpu=45000\nempty=\n")
    assert facts == {"machine": "aarch64", "battery_tenths": "312", "zone_cpu": "45000"}
    assert battery_celsius(facts) == 31.2
    assert battery_celsius({}) is None


def test_what_a_failed_run_left_does_not_reach_the_next() -> None:
    target = HostTarget()
    try:
        (Path(target.folder("layers")) / "left").touch()
        assert list(Path(target.folder("layers")).iterdir()) == []
    finally:
        target.close()


def test_a_failure_of_the_python_runtime_is_the_targets(tmp_path: Path) -> None:
    """So that a validation notes it and goes on."""
    broken = tmp_path / "net.pte"
    broken.write_bytes(b"no program" * 100)
    target = HostTarget()
    try:
        with pytest.raises(TargetError, match=r"net\.pte"):
            target.run([str(broken), "--info"])
    finally:
        target.close()


def _namespace() -> list[str]:
    return ["unshare", "-Urnmpf", "--kill-child", "--mount-proc"]


def _needs(repository: Path) -> None:
    """Skip with the reason where this machine has no device to give."""
    if not (repository / "build" / "adbd" / "root" / ".ready").exists():
        pytest.skip("needs the device's userland: make adb-device")
    if not (repository / "build" / "arm64" / "runner" / "bitsr-run").is_file():
        pytest.skip("needs the arm64 runner: make arm64")
    for tool, package in {"adb": "adb", "qemu-aarch64-static": "qemu-user-static", "unshare": "util-linux"}.items():
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}: apt-get install {package}")
    probe = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && echo ok"
    done = subprocess.run([*_namespace(), "sh", "-c", probe], capture_output=True, text=True, check=False, timeout=60)
    if done.stdout.strip() != "ok":
        pytest.skip(f"this machine gives no private namespace with binfmt_misc: {done.stderr.strip()}")


def test_a_device_behind_adbd(repository: Path, exported: Path, network: nn.Module, tmp_path: Path) -> None:
    _needs(repository)
    cases = make_cases(artifact_ops(exported), record(network, golden_picture(seed=1)).calls)
    replay = tmp_path / "replay"
    replay.mkdir()
    files = [write_case(replay, number, case) for number, case in enumerate(cases)]
    write_cases(replay, files)
    for case, file in zip(cases, files, strict=True):
        for name, expected in zip(file.outputs, case.expected, strict=True):
            (replay / f"{name}.expected").write_bytes(expected.astype("<f4").tobytes())
    command = [*_namespace(), "bash", str(DEVICE / "device.sh"), str(repository / "build" / "adbd" / "root")]
    command += [str(shutil.which("qemu-aarch64-static")), PORT, SERVER_PORT]
    command += [sys.executable, str(DEVICE / "session.py"), f"127.0.0.1:{PORT}", str(replay)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["shell_exit_code"] == 7
    assert (found["machine"], found["emulated"]) == ("aarch64", True)
    assert found["equal"] == found["outputs"] == len(cases) > 4
    assert "exit code 1" in found["failure"]
    assert found["while_open"].startswith("bitsr-")
    assert found["after_close"] == found["after_interruption"] == ""
    assert found["interrupted"] is True
    assert "does not answer" in found["no_device"]


def test_a_runner_that_does_not_start_or_end_is_an_error() -> None:
    with pytest.raises(TargetError, match="the runner does not start"):
        RunnerProcess(("/nowhere/bitsr-run",), source="the runner").run([])
    with pytest.raises(TargetError, match=r"the runner did not end within 0\.2 s .* alone: sh -c 'sleep 9'"):
        RunnerProcess(("sh", "-c", "sleep 9"), source="the runner").run([], timeout=0.2)


def test_a_fresh_run_of_the_host_is_a_process_of_its_own(exported: Path) -> None:
    target = HostTarget()
    try:
        arguments = [str(exported), "--shape", "1,3,16,16", "--runs", "2"]
        first, second = (target.run(arguments, fresh=True).models[0] for _ in range(2))
        for run in (first, second):
            assert run.load_ms
            assert len(run.samples_ms) == len(run.samples_cpu_ms) == 2
        with pytest.raises(TargetError, match="the host runner failed"):
            target.run([str(exported.with_name("nothing.pte")), "--info"], fresh=True)
        # A child that fails leaves the process that makes them.
        assert target.run(arguments, fresh=True).models[0].load_ms
    finally:
        target.close()
