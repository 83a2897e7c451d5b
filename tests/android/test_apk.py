"""The APK of ``android_demo/tools/apk.py``, with libraries that stand for those of ``make android-runner``."""

import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

PAGE = 16384
TFLITE = {"libbitsr_jni.so", "libbitsr.so", "libbitsr_tflite.so", "libtensorflowlite_jni.so"}
EXECUTORCH = {"libbitsr_pte.so", "libbitsr_executorch.so", "libexecutorch_jni.so", "libfbjni.so", "libc++_shared.so"}
ABIS = ("arm64-v8a", "x86_64")


def make(repository: Path, build: Path, flavour: str) -> tuple[subprocess.CompletedProcess[str], Path]:
    target = build / f"{flavour}.apk"
    words = [sys.executable, repository / "android_demo" / "tools" / "apk.py"]
    options = ["--flavour", flavour, "--build", build, "--output", target]
    return subprocess.run(list(map(str, [*words, *options])), capture_output=True, text=True, check=False), target


@pytest.fixture(scope="module")
def build(link_app: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A build folder: what `make android-host` made, and libraries of a few bytes."""
    folder = tmp_path_factory.mktemp("apk")
    link_app(folder)
    for abi in ABIS:
        (folder / abi).mkdir()
        for number, library in enumerate(sorted(TFLITE | EXECUTORCH)):
            (folder / abi / library).write_bytes(b"\x7fELF" + bytes(1000 + number))
    return folder


def offset_of(apk: Path, entry: zipfile.ZipInfo) -> int:
    """Where the content of a stored entry begins in the file."""
    with apk.open("rb") as file:
        file.seek(entry.header_offset + 26)
        name, extra = struct.unpack("<HH", file.read(4))
    return entry.header_offset + 30 + name + extra


@pytest.mark.parametrize(("flavour", "libraries"), [("tflite", TFLITE), ("both", TFLITE | EXECUTORCH)])
def test_the_apk_is_whole(repository: Path, build: Path, flavour: str, libraries: set[str]) -> None:
    done, apk = make(repository, build, flavour)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(apk) as archive:
        entries = {entry.filename: entry for entry in archive.infolist()}
    assert {name for name in entries if name.startswith("lib/")} == {
        f"lib/{a}/{name}" for a in ABIS for name in libraries
    }
    for name, entry in entries.items():
        if name.startswith("lib/"):
            assert entry.compress_type == zipfile.ZIP_STORED
            assert offset_of(apk, entry) % PAGE == 0, name
    models = {Path(name).suffix for name in entries if name.startswith("assets/models/")}
    assert models == ({".tflite"} if flavour == "tflite" else {".tflite", ".pte", ".json"})
    assert {"classes.dex", "AndroidManifest.xml", "resources.arsc"} <= set(entries)
    assert any(name.startswith("assets/licences/") for name in entries)
    assert any(name.startswith("assets/golden/") for name in entries)
    badging = subprocess.run(["aapt", "dump", "badging", str(apk)], capture_output=True, text=True, check=True).stdout
    assert "package: name='org.bitsr.demo'" in badging
    assert "sdkVersion:'26'" in badging
    assert "targetSdkVersion:'35'" in badging
    assert "native-code: 'arm64-v8a' 'x86_64'" in badging


def test_a_missing_library_leaves_no_apk(repository: Path, build: Path) -> None:
    library = build / "x86_64" / "libfbjni.so"
    content = library.read_bytes()
    (build / "both.apk").unlink(missing_ok=True)
    library.unlink()
    try:
        done, apk = make(repository, build, "both")
    finally:
        library.write_bytes(content)
    assert done.returncode == 1
    assert "libfbjni.so is missing" in done.stderr
    assert "make android-runner" in done.stderr
    assert not apk.exists()
