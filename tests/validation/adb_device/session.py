"""session.py SERIAL REPLAY_FOLDER: use the adb target as validations do, inside of device.sh; prints what came of it.

REPLAY_FOLDER has the cases, and beside each output NAME its expected bytes as NAME.expected.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from bitsr.validation.errors import TargetError
from bitsr.validation.targets.adb import ROOT, AdbTarget


def left_behind(serial: str) -> str:
    """What lies in the device's folder for temporary files."""
    return subprocess.run(
        ["adb", "-s", serial, "shell", f"ls {ROOT}"], capture_output=True, text=True, check=True
    ).stdout


def main(serial: str, replay: Path) -> dict[str, object]:
    found: dict[str, object] = {"shell_exit_code": subprocess.run(["adb", "-s", serial, "shell", "exit 7"]).returncode}
    with ExitStack() as stack:
        target = AdbTarget(serial)
        stack.callback(target.close)
        device = target.describe()
        found.update(machine=device.machine, processor=device.processor, emulated=target.emulated)
        target.push(replay)  # as a run leaves it that fails; the next one takes its place
        there = target.push(replay)
        target.run(["--replay", there])
        with tempfile.TemporaryDirectory() as temporary:
            results = Path(temporary) / "results"
            target.pull(there, results)
            names = [path.name.removesuffix(".expected") for path in replay.glob("*.expected")]
            found["outputs"] = len(names)
            # As numbers: a 0 may have either sign in the reference's convolution.
            found["equal"] = sum(
                np.array_equal(np.fromfile(results / name, "<f4"), np.fromfile(replay / f"{name}.expected", "<f4"))
                for name in names
            )
        for _ in range(2):
            layers = target.folder("layers")
            target._shell(f"test ! -e {layers}/left && : > {layers}/left")
        try:
            target.run(["--replay", "/nowhere"])
        except TargetError as error:
            found["failure"] = str(error)
        found["while_open"] = left_behind(serial)
    found["after_close"] = left_behind(serial)
    threading.Timer(1.0, os.kill, (os.getpid(), signal.SIGINT)).start()
    try:
        with ExitStack() as stack:
            target = AdbTarget(serial)
            stack.callback(target.close)
            target._shell("sleep 60")
    except KeyboardInterrupt:
        found["interrupted"] = True
    found["after_interruption"] = left_behind(serial)
    try:
        AdbTarget("127.0.0.1:1")
    except TargetError as error:
        found["no_device"] = str(error)
    return found


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], Path(sys.argv[2]))))
