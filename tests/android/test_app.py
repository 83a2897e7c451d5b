"""The Android app without an Android SDK: Maven compiles it against API 35, holds it to API 26, and runs its tests.

They are JUnit tests in android_demo: the engine against what Python computed, the activities under Robolectric.
`make android-host` sets up what they need; they run offline.
"""

import base64
import io
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.ExifTags import IFD

from bitsr.common.errors import BitsrError
from bitsr.common.pictures.exif import kept_exif, parse_exif
from bitsr.common.pictures.reading import read_picture
from bitsr.validation.targets.runner_protocol import parse_output

MODULES = ("engine", "app")
CUTS = (30, 80, 93, 96, 98, 99.5)  # percent of a file that is there


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def write_incomplete(photo: Path, folder: Path) -> None:
    """Pictures that end too early, each kind cut at several places, and whole ones with something behind them."""
    folder.mkdir(parents=True)
    with Image.open(photo) as opened:
        picture = opened.convert("RGB").crop((120, 40, 320, 200))
    for name, content in (
        ("plain.jpg", encoded(picture, "JPEG", quality=90)),
        ("progressive.jpg", encoded(picture, "JPEG", quality=90, progressive=True)),
        ("restarts.jpg", encoded(picture, "JPEG", quality=90, restart_marker_rows=1)),
        ("rows.png", encoded(picture, "PNG")),
        ("lossy.webp", encoded(picture, "WEBP", quality=90)),
    ):
        (folder / f"whole_{name}").write_bytes(content + b"behind the picture")
        for percent in CUTS:
            (folder / f"{percent}_{name}").write_bytes(content[: int(len(content) * percent / 100)])
        (folder / f"end_{name}").write_bytes(content[:-1])


def write_with_exif(photo: Path, folder: Path) -> None:
    """Pictures of each kind with the EXIF data of a phone, among it what no result keeps."""
    folder.mkdir(parents=True)
    exif = Image.Exif()
    exif.update({0x010F: "Kamera", 0x0110: "X 1", 0x0112: 6, 0x8298: "© somebody"})
    exif.get_ifd(IFD.Exif).update({0x9003: "2024:05:06 07:08:09", 0x829D: 2.8, 0xA002: 451, 0x927C: b"of the maker"})
    exif.get_ifd(IFD.GPSInfo).update({1: "N", 2: (48.0, 8.0, 0.0)})
    with Image.open(photo) as opened:
        picture = opened.convert("RGB").resize((48, 32))
    for kind in ("jpeg", "png", "webp", "avif"):
        (folder / f"photo.{kind}").write_bytes(encoded(picture, kind.upper(), exif=exif.tobytes()))
    (folder / "none.avif").write_bytes(encoded(picture, "AVIF"))


@pytest.fixture(scope="module")
def reports(repository: Path, photo: Path) -> dict[str, dict[str, str]]:
    """Outcome of each JUnit test by its name, for each module: "" passed."""
    build = repository / "build"
    if not (build / "android" / ".compiled").is_file():
        pytest.skip("needs the app's classes and assets: make android-host")
    pictures = build / "android" / "pictures"
    shutil.rmtree(pictures, ignore_errors=True)
    write_incomplete(photo, pictures / "incomplete")
    write_with_exif(photo, pictures / "exif")
    for module in MODULES:
        for old in (build / "android" / "maven" / module / "surefire-reports").glob("*.xml"):
            old.unlink()
    # A test of the engine that fails shall not keep the app's from running.
    command = ["mvn", "--batch-mode", "--offline", "--quiet", "-Dmaven.test.failure.ignore=true"]
    command += ["--file", "android_demo/pom.xml"]
    done = subprocess.run(
        [*command, f"-Dbitsr.build={build}", f"-Dbitsr.python={sys.executable}", "test"],
        cwd=repository,
        capture_output=True,
        text=True,
        check=False,
    )
    found: dict[str, dict[str, str]] = {}
    for module in MODULES:
        found[module] = {}
        for path in (build / "android" / "maven" / module / "surefire-reports").glob("TEST-*.xml"):
            for case in ElementTree.parse(path).iter("testcase"):
                wrong = [child for child in case if child.tag in ("failure", "error", "skipped")]
                name = f"{case.get('classname')}.{case.get('name')}"
                found[module][name] = "\n".join(child.text or child.tag for child in wrong)
        if done.returncode != 0 or not found[module]:
            found[module]["Maven itself"] = f"{done.stdout[-5000:]}{done.stderr[-5000:]}" or "no test ran"
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_junit_test_passes(reports: dict[str, dict[str, str]], module: str) -> None:
    wrong = {name: text for name, text in reports[module].items() if text}
    assert not wrong


def test_the_app_was_tried_on_the_oldest_and_on_the_newest_android(reports: dict[str, dict[str, str]]) -> None:
    names = [name for name in reports["app"] if "sharedPictureIsEnlargedAsByTheEngineAlone" in name]
    assert len(names) == 2


@pytest.mark.parametrize("api", [26, 35])
def test_incomplete_pictures_are_read_or_refused_as_by_the_command_line(
    reports: dict[str, dict[str, str]], repository: Path, api: int
) -> None:
    android = repository / "build" / "android"
    verdicts = json.loads((android / "results" / f"incomplete_{api}.json").read_text(encoding="utf-8"))
    ours = {}
    for path in sorted((android / "pictures" / "incomplete").iterdir()):
        try:
            read_picture(path)
        except BitsrError:
            ours[path.name] = False
        else:
            ours[path.name] = True
    assert set(ours.values()) == {True, False}
    assert {name: missing is not None for name, missing in verdicts.items()} == ours
    assert all(not missing for name, missing in verdicts.items() if name.startswith("whole_"))


def tags(data: bytes | None) -> dict[int, Any]:
    """Values by their tags, of the picture and of the camera's settings."""
    exif = Image.Exif()
    if data is not None:
        exif.load(data)
    values = {**dict(exif), **exif.get_ifd(IFD.Exif), **exif.get_ifd(IFD.GPSInfo)}
    values.pop(IFD.Exif, None)  # where the settings lie in the file
    return values


def test_exif_data_is_kept_as_by_the_command_line(reports: dict[str, dict[str, str]], repository: Path) -> None:
    android = repository / "build" / "android"
    kept = json.loads((android / "results" / "exif.json").read_text(encoding="utf-8"))
    for path in (android / "pictures" / "exif").iterdir():
        with Image.open(path) as picture:
            ours = tags(kept_exif(parse_exif(picture))[0])
        app = tags(base64.b64decode(kept[path.name]) if kept[path.name] else None)
        assert app == ours, path.name
        assert bool(ours) == path.name.startswith("photo")


@pytest.mark.parametrize("runtime", ["core", "tflite", "pte"])
def test_results_of_the_app_are_those_of_the_runner(
    reports: dict[str, dict[str, str]], repository: Path, runtime: str
) -> None:
    text = (repository / "build" / "android" / "results" / f"results_{runtime}.json").read_text(encoding="utf-8")
    (run,) = parse_output(text, source="the app").models
    assert len(run.samples_ms) == len(run.samples_cpu_ms) == 3
    assert run.device.kernel in run.device.isa
    assert json.loads(text)["model"]["sidecar"]["model"] == "ebsr_light_plus_tiny_x2"
