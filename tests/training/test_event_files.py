"""Event files of a training, in a process of its own."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PROGRAM = """
import sys
from pathlib import Path
from bitsr.training.event_files import event_logger
logger = event_logger(Path(sys.argv[1]))
logger.log_metrics({"loss": 0.25}, 7)
logger.finalize("success")
print("tensorflow" in sys.modules)
"""


def test_event_files_need_no_tensorflow(tmp_path: Path) -> None:
    if find_spec("tensorflow") is None:
        pytest.skip("TensorFlow is not installed, so nothing can load it")
    outcome = subprocess.run([sys.executable, "-c", PROGRAM, str(tmp_path)], capture_output=True, text=True, check=True)
    assert outcome.stdout.split()[-1] == "False"
    (file,) = (tmp_path / "tensorboard").iterdir()
    assert b"loss" in file.read_bytes()
