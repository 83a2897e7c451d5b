"""The Android app without an Android SDK: Maven compiles it against API 35, holds it to API 26, and runs its tests.

They are JUnit tests in android_demo: the engine against what Python computed, the activities under Robolectric.
`make android-host` sets up what they need; they run offline.
"""

import json
import subprocess
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from bitsr.validation.targets.runner_protocol import parse_output

MODULES = ("engine", "app")


@pytest.fixture(scope="module")
def reports(repository: Path) -> dict[str, dict[str, str]]:
    """Outcome of each JUnit test by its name, for each module: "" passed."""
    build = repository / "build"
    if not (build / "android" / "host" / "libbitsr_jni.so").is_file():
        pytest.skip("needs the app's classes and assets: make android-host")
    for module in MODULES:
        for old in (build / "android" / "maven" / module / "surefire-reports").glob("*.xml"):
            old.unlink()
    command = ["mvn", "--batch-mode", "--offline", "--quiet", "--fail-at-end", "--file", "android_demo/pom.xml"]
    done = subprocess.run(
        [*command, f"-Dbitsr.build={build}", "test"], cwd=repository, capture_output=True, text=True, check=False
    )
    found: dict[str, dict[str, str]] = {}
    for module in MODULES:
        found[module] = {}
        for path in (build / "android" / "maven" / module / "surefire-reports").glob("TEST-*.xml"):
            for case in ElementTree.parse(path).iter("testcase"):
                wrong = [child for child in case if child.tag in ("failure", "error", "skipped")]
                name = f"{case.get('classname')}.{case.get('name')}"
                found[module][name] = "\n".join(child.text or child.tag for child in wrong)
        assert found[module], f"no test of {module} ran:\n{done.stdout[-5000:]}{done.stderr[-5000:]}"
    return found


@pytest.mark.parametrize("module", MODULES)
def test_every_junit_test_passes(reports: dict[str, dict[str, str]], module: str) -> None:
    wrong = {name: text for name, text in reports[module].items() if text}
    assert not wrong


def test_the_app_was_tried_on_the_oldest_and_on_the_newest_android(reports: dict[str, dict[str, str]]) -> None:
    names = [name for name in reports["app"] if "sharedPictureIsEnlargedAsByTheEngineAlone" in name]
    assert len(names) == 2


@pytest.mark.parametrize("form", ["tflite", "pte"])
def test_results_of_the_app_are_those_of_the_runner(
    reports: dict[str, dict[str, str]], repository: Path, form: str
) -> None:
    text = (repository / "build" / "android" / "results" / f"results_{form}.json").read_text(encoding="utf-8")
    (run,) = parse_output(text, source="the app").models
    assert len(run.samples_ms) == len(run.samples_cpu_ms) == 3
    assert run.device.kernel in run.device.isa
    assert json.loads(text)["model"]["sidecar"]["model"] == "ebsr_light_plus_x2"
