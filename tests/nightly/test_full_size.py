"""Every family at full size becomes both artifacts, untrained and after a few steps: ``make test-nightly``, hours.

An export compares every op with the deploy form's and the whole with the reference's own sensitivity, so that to write
a file is to pass. The figures of each are kept in build/nightly/exports.md. ``ONLY="frbt_x4 or sr3_x4"`` runs a part,
as pytest's -k does.
"""

import json
import os
import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from bitsr.training.models import list_models

if not os.environ.get("BITSR_NIGHTLY"):
    pytest.skip("takes hours: make test-nightly", allow_module_level=True)

# Methods without a deploy form: an export says why.
TRAINING_ONLY = ("xnor", "dorefa", "bam", "ibtm", "sr3_xnor", "sr3_dorefa", "ebsr_light_baseline_per_channel")
# Every family once, at its largest scale: what a scale changes is the tail.
IDS = {name.rpartition("_x")[0]: name for name in sorted(list_models()) if not name.startswith(("test_", "mix_"))}
COLUMNS = ("model", "state", "file", "CPU s", "peak MiB", "bytes", "ours", "all partitions", "dB")
HEADER = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"


def _is_training_only(family: str) -> bool:
    return any(family in (name, f"{name}_light", f"{name}_large") for name in TRAINING_ONLY)


@pytest.fixture(scope="session")
def table(repository: Path) -> Path:
    path = repository / "build" / "nightly" / "exports.md"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file():
        path.write_text(HEADER, encoding="utf-8")
    return path


@pytest.mark.parametrize("extension", ["pte", "tflite"])
@pytest.mark.parametrize("state", ["untrained", "trained"])
@pytest.mark.parametrize("model_id", IDS.values())
def test_export(model_id: str, state: str, extension: str, table: Path, tmp_path: Path) -> None:
    script = Path(__file__).with_name("export_one.py")
    command = [sys.executable, str(script), model_id, extension, state, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if _is_training_only(model_id.rpartition("_x")[0]):
        assert done.returncode != 0
        assert "for comparison in training" in done.stderr
        return
    assert done.returncode == 0, done.stderr[-3000:]
    got = json.loads(done.stdout.splitlines()[-1])
    cells = [model_id, state, f".{extension}", got["seconds"], got["mebibytes"], got["bytes"], got["ours"]]
    cells += [got["partitions"], "exact" if got["psnr"] == float("inf") else got["psnr"]]
    with table.open("a", encoding="utf-8") as file:
        file.write("| " + " | ".join(str(cell) for cell in cells) + f" | <!-- {date.today()} -->\n")
