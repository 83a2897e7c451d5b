"""The built APK itself in unidbg: its own libraries and models, by the JNI of its engine."""

import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bitsr.inference.load import load
from bitsr.validation.targets.builds import ANDROID_ABIS

MODEL = "models/ebsr_light_plus_tiny_x4"
WIDTH, HEIGHT = 24, 16
FORMAT = 2  # of bitsr_status


@pytest.fixture(scope="module")
def apk(
    repository: Path, android: Path, link_app: Callable[[Path], None], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """The flavour with both runtimes, and the libraries of `make android-runner`."""
    if not (android / "unidbg" / "classes").is_dir() or shutil.which("java") is None:
        pytest.skip("needs the emulator: make android-unidbg")
    build = tmp_path_factory.mktemp("apk")
    link_app(build)
    for abi in ANDROID_ABIS:
        (build / abi).symlink_to(android / abi)
    path = build / "bitsr.apk"
    command = [sys.executable, str(repository / "android_demo" / "tools" / "apk.py"), "--flavour", "both"]
    command += ["--build", str(build), "--output", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return path


def engine(android: Path, apk: Path, *arguments: str | Path, cpu: str = "cortex-a53") -> dict[str, str]:
    """What org.bitsr.unidbg.Apk prints."""
    folder = android / "unidbg"
    command = ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
    command += ["-cp", f"{folder / 'classes'}:{folder / 'jars'}/*"]
    done = subprocess.run(
        [*command, "org.bitsr.unidbg.Apk", cpu, str(apk), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    return dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)


@pytest.mark.parametrize(
    ("kind", "asked", "runtime"),
    [("tflite", "core", "core"), ("tflite", "framework", "tflite"), ("pte", "framework", "executorch")],
)
def test_pixels_of_the_app_are_those_of_python(
    android: Path, apk: Path, photo: Path, tmp_path: Path, kind: str, asked: str, runtime: str
) -> None:
    with Image.open(photo) as opened:
        picture = opened.convert("RGB").resize((WIDTH, HEIGHT))
    given, got = tmp_path / "given.rgb", tmp_path / "got.rgb"
    given.write_bytes(picture.tobytes())
    facts = engine(android, apk, f"{MODEL}.{kind}", asked, str(WIDTH), str(HEIGHT), given, got)
    assert facts["status"] == "0", facts
    assert (facts["runtime"], facts["isa"]) == (runtime, "neon")
    with zipfile.ZipFile(apk) as archive:
        for suffix in {f".{kind}", ".json"} if kind == "pte" else {f".{kind}"}:
            (tmp_path / f"net{suffix}").write_bytes(archive.read(f"assets/{MODEL}{suffix}"))
    with load(tmp_path / f"net.{kind}", threads=1, runtime="core" if asked == "core" else kind) as session:
        expected = session.upscale(np.asarray(picture))
    pixels = np.frombuffer(got.read_bytes(), np.uint8).reshape(expected.shape)
    assert np.array_equal(pixels, expected)


@pytest.mark.parametrize("kind", ["tflite", "pte"])
def test_a_damaged_model_is_refused(android: Path, apk: Path, tmp_path: Path, kind: str) -> None:
    nothing = tmp_path / "nothing.rgb"
    facts = engine(android, apk, f"{MODEL}.{kind}", "framework", "1", "1", nothing, nothing, "damaged")
    assert facts["status"] == str(FORMAT)
    assert "is damaged or does not belong to its metadata" in facts["error"]
