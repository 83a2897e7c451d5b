"""``bitsr bench --on adb:SERIAL --app``, with a program that answers as adb does on a phone that has the app."""

import json
import os
from pathlib import Path

import pytest

from bitsr.cli import main
from bitsr.common.errors import UsageError
from bitsr.validation.bench.app import RESULTS, AppOnDevice
from bitsr.validation.errors import TargetError

ADB = """#!/bin/sh
echo "$*" >> "$PHONE/asked"
case "$4" in
  rm*) rm -f "$PHONE/results" ;;
  am*) cat "$PHONE/start"; [ ! -e "$PHONE/next" ] || cp "$PHONE/next" "$PHONE/results" ;;
  cat*) cat "$PHONE/results" 2>/dev/null || true ;;
esac
"""


@pytest.fixture
def phone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that plays the phone: what starting says, and the results that the app will write."""
    folder = tmp_path / "phone"
    folder.mkdir()
    adb = tmp_path / "bin" / "adb"
    adb.parent.mkdir()
    adb.write_text(ADB, encoding="utf-8")
    adb.chmod(0o755)
    monkeypatch.setenv("PATH", f"{adb.parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PHONE", str(folder))
    (folder / "start").write_text("Starting: Intent { ... }\nStatus: ok\n", encoding="utf-8")
    return folder


def results(*samples: float) -> str:
    return json.dumps(
        {
            "schema": 1,
            "model": {"path": "x.tflite", "bytes": 1, "format": "tflite"},
            "device": {"machine": "aarch64", "processor": "Pixel", "isa": ["neon"], "kernel": "neon", "threads": 1},
            "versions": {"litert": "2.16.1"},
            "samples_ms": list(samples),
            "samples_cpu_ms": list(samples),
        }
    )


def test_results_of_an_earlier_run_are_not_taken(phone: Path) -> None:
    (phone / "results").write_text(results(1.0), encoding="utf-8")
    (phone / "next").write_text(results(7.0, 9.0, 8.0), encoding="utf-8")
    found = AppOnDevice.find("adb:SERIAL").time("ebsr", "tflite", runs=3, threads=2)
    assert found.run.samples_ms == [7.0, 9.0, 8.0]
    asked = (phone / "asked").read_text(encoding="utf-8").splitlines()
    assert all(line.startswith("-s SERIAL shell ") for line in asked)
    assert "--es model ebsr --es runtime tflite --ei runs 3 --ei threads 2" in asked[1]
    assert RESULTS in asked[2]


def test_the_app_is_waited_for(phone: Path) -> None:
    def later(seconds: float) -> None:
        (phone / "results").write_text(results(5.0), encoding="utf-8")

    found = AppOnDevice.find("adb:SERIAL").time("ebsr", "tflite", runs=1, threads=1, sleep=later)
    assert found.run.samples_ms == [5.0]


@pytest.mark.parametrize(
    ("start", "written", "message"),
    [
        ("Error type 3\nError: Activity class does not exist.\n", None, "install -r"),
        ("Status: ok\n", '{"schema": 1, "error": "there is no model \'x\', expected one of y"}', "there is no model"),
        ("Status: ok\n", "no json", "no JSON"),
        ("Status: ok\n", '{"schema": 99}', "schema"),
    ],
)
def test_what_goes_wrong_is_said(phone: Path, start: str, written: str | None, message: str) -> None:
    (phone / "start").write_text(start, encoding="utf-8")
    if written is not None:
        (phone / "next").write_text(written, encoding="utf-8")
    with pytest.raises(TargetError, match=message):
        AppOnDevice.find("adb:SERIAL").time("ebsr", "tflite", runs=1, threads=1)


def test_only_devices_behind_adb_have_the_app() -> None:
    with pytest.raises(UsageError, match="adb:SERIAL"):
        AppOnDevice.find("qemu")


def test_the_command_writes_results(phone: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (phone / "next").write_text(results(7.0, 9.0, 8.0), encoding="utf-8")
    words = ["bench", "--on", "adb:SERIAL", "--app", "--model", "ebsr", "--rounds", "3", "--threads", "1"]
    assert main([*words, "--runtime", "core", "-o", str(tmp_path / "out")]) == 0
    assert "8.00" in capfd.readouterr().out
    assert json.loads((tmp_path / "out" / "results.json").read_text(encoding="utf-8")) == json.loads(
        (phone / "next").read_text(encoding="utf-8")
    )
    assert main(["bench", "--on", "adb:SERIAL", "-o", str(tmp_path / "out")]) != 0
    assert "--app" in capfd.readouterr().err
