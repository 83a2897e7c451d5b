"""Which build an Android behind adb gets: a program in adb's place, and a folder as the device."""

import stat
import tarfile
from pathlib import Path

import pytest

from bitsr.validation.errors import EnvironmentMissingError, TargetError
from bitsr.validation.targets import builds
from bitsr.validation.targets.adb import AdbTarget
from bitsr.validation.targets.builds import ANDROID_LIBRARIES, android_build

# As the device's shell: paths below /data/local/tmp are those of a folder here, `getprop` answers from a file.
ADB = """#!/bin/sh
shift 2  # -s SERIAL
command=$1; shift
here() { echo "$1" | sed "s#/data/local/tmp#@DEVICE@#g"; }
case $command in
  get-state) echo device ;;
  push) cp -r "$1" "$(here "$2")" ;;
  pull) cp -r "$(here "$1")" "$2" ;;
  shell) PATH=@DEVICE@/bin:$PATH sh -c "$(here "$1")" ;;
esac
"""
RUNNER = """#!/bin/sh
ls > listing
echo '{"schema": 1, "device": {"machine": "'$(cat abi)'"}}' > run.json
"""
PHONE = {"ro.product.model": "Pixel 9", "ro.build.version.release": "15", "ro.build.version.sdk": "35"}
EMULATOR = {**PHONE, "ro.product.model": "sdk_gphone64_x86_64", "ro.hardware": "ranchu"}


def executable(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.fixture
def device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The device's folder, with builds for both ABIs here."""
    folder = tmp_path / "device"
    executable(tmp_path / "tools" / "adb", ADB.replace("@DEVICE@", str(folder)))
    for abi in ("arm64-v8a", "x86_64"):
        executable(tmp_path / "build" / "android" / abi / "bitsr-run", RUNNER.replace("$(cat abi)", abi))
        for names in ANDROID_LIBRARIES.values():
            for name in names:
                (tmp_path / "build" / "android" / abi / name).write_text(abi)
    monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:/usr/bin:/bin")
    monkeypatch.setenv("BITSR_BUILD_DIR", str(tmp_path / "build"))
    return folder


def says(device: Path, machine: str, properties: dict[str, str]) -> None:
    """What `uname -m` and `getprop` of the device answer."""
    cases = "".join(f"{key}) echo '{value}' ;;\n" for key, value in properties.items())
    executable(device / "bin" / "getprop", f"#!/bin/sh\ncase $1 in\n{cases}esac\n")
    executable(device / "bin" / "uname", f"#!/bin/sh\n[ $1 = -m ] && echo {machine} || echo Linux\n")
    executable(device / "bin" / "grep", f"#!/bin/sh\n[ $2 = ^vendor_id ] && echo 0 || exec /usr/bin/env -i {_GREP}\n")


_GREP = '/bin/grep "$@"'


@pytest.mark.parametrize(
    ("machine", "abi", "properties", "emulated"),
    [
        ("aarch64", "arm64-v8a", PHONE, False),
        ("x86_64", "x86_64", EMULATOR, True),
        ("aarch64", "arm64-v8a", {**EMULATOR, "ro.product.model": "Phone"}, True),
        ("aarch64", "arm64-v8a", {**PHONE, "ro.boot.qemu": "1"}, True),
        ("aarch64", "arm64-v8a", {**PHONE, "ro.product.model": "sdk_gphone16k_arm64"}, True),
    ],
)
def test_the_abi_chooses_the_build(
    device: Path, tmp_path: Path, machine: str, abi: str, properties: dict[str, str], emulated: bool
) -> None:
    says(device, machine, {**properties, "ro.product.cpu.abi": abi})
    artifact = tmp_path / "net.tflite"
    artifact.touch()
    target = AdbTarget("emulator-5554")
    try:
        assert target.emulated is emulated
        assert ("emulator" in target.describe().system) is emulated
        assert target.describe().system.startswith("Android 15 (API 35)")
        model = target.push(artifact)
        (run,) = target.run([model, "--info"]).models
        assert run.device.machine == abi
        listing = tmp_path / "listing"
        target.pull(target.path("listing"), listing)
        # What a .tflite takes, and nothing of ExecuTorch.
        assert set(ANDROID_LIBRARIES[".tflite"]) | {"bitsr-run", "net.tflite"} <= set(listing.read_text().split())
        assert not set(ANDROID_LIBRARIES[".pte"]) & set(listing.read_text().split())
    finally:
        target.close()
    assert [path.name for path in device.iterdir()] == ["bin"]


def test_a_linux_device_gets_the_linux_build(device: Path, tmp_path: Path) -> None:
    """It has no `getprop`; LiteRT goes there with a .tflite."""
    says(device, "aarch64", {})
    (device / "bin" / "getprop").unlink()
    build = tmp_path / "build" / "arm64"
    executable(build / "runner" / "bitsr-run", RUNNER.replace("$(cat abi)", "linux"))
    (build / "tflite").mkdir()
    (build / "tflite" / "libbitsr_tflite.so").touch()
    (build / "libLiteRt.so").touch()
    (build / "CMakeCache.txt").write_text(f"BITSR_LITERT_DIR:PATH={build}\n")
    artifact = tmp_path / "net.tflite"
    artifact.touch()
    target = AdbTarget("SERIAL")
    try:
        (run,) = target.run([target.push(artifact), "--info"]).models
        assert run.device.machine == "linux"
        target.pull(target.path("listing"), tmp_path / "listing")
        wanted = {"bitsr-run", "net.tflite", "libLiteRt.so", "libbitsr_tflite.so"}
        assert wanted <= set((tmp_path / "listing").read_text().split())
    finally:
        target.close()


@pytest.mark.parametrize("abi", ["armeabi-v7a", "x86", "riscv64"])
def test_another_abi_is_refused(device: Path, abi: str) -> None:
    says(device, "armv8l", {**PHONE, "ro.product.cpu.abi": abi})
    with pytest.raises(TargetError, match=f"is {abi}, expected one of arm64-v8a, x86_64"):
        AdbTarget("emulator-5554")
    assert [path.name for path in device.iterdir()] == ["bin"]


def test_without_a_build_the_command_is_named(device: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    says(device, "x86_64", {**EMULATOR, "ro.product.cpu.abi": "x86_64"})
    monkeypatch.setenv("BITSR_BUILD_DIR", str(tmp_path / "nothing"))
    with pytest.raises(EnvironmentMissingError, match="make android-runner"):
        AdbTarget("emulator-5554")


def test_an_installed_wheel_brings_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its archive is unpacked once into the user's cache."""
    monkeypatch.delenv("BITSR_BUILD_DIR", raising=False)
    monkeypatch.setattr(builds, "top_folder", lambda: tmp_path / "site-packages")
    monkeypatch.setattr(builds, "PACKAGED_ANDROID", tmp_path / "archives")
    content = tmp_path / "content"
    executable(content / "bitsr-run", RUNNER)
    for name in ANDROID_LIBRARIES[".tflite"]:
        (content / name).write_text(name)
    (tmp_path / "archives").mkdir()
    with tarfile.open(tmp_path / "archives" / "x86_64.tar.xz", "w:xz") as archive:
        for path in content.iterdir():
            archive.add(path, path.name)
    first, second = android_build("x86_64"), android_build("x86_64")
    assert first.folder == second.folder
    assert first.runner.stat().st_mode & stat.S_IXUSR
    assert [path.name for path in first.libraries[".tflite"]] == list(ANDROID_LIBRARIES[".tflite"])
    assert first.libraries[".pte"] == []
    with pytest.raises(EnvironmentMissingError, match="arm64-v8a"):
        android_build("arm64-v8a")
