"""Every registered tiny model becomes both artifacts, and they compute the same in C++ and on emulated arm64."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from bitsr.common.errors import UsageError
from bitsr.export.export import export_model
from bitsr.export.memory import artifact_bytes_in_use
from bitsr.training.models import create_model, list_models, model_info
from bitsr.validation.request import Request
from bitsr.validation.results import Run
from bitsr.validation.validate import run_request

# Left out, and what is exported instead of it: all scales of EBSR+ show what a scale changes.
OTHER_SCALES = {
    "test_bidiffsr_x4": "test_bidiffsr_x2",
    "test_sr3_x4": "test_sr3_x2",
    "test_bbcu_m_x3": "test_bbcu_m_x4",
    "test_e2fif_x3": "test_e2fif_x2",
    "test_e2fif_x4": "test_e2fif_x2",
    "test_srresnet_x3": "test_srresnet_x2",
    "test_srresnet_x4": "test_srresnet_x2",
}
EXPORTED = [name for name in list_models("test_*", kind="direct") if name not in OTHER_SCALES]
# One step of a sampling; tests/families/test_bidiffsr.py exports that of BI-DiffSR.
STEPS = [name for name in list_models("test_*", kind="diffusion") if name not in OTHER_SCALES]


@pytest.mark.parametrize("model_id", EXPORTED)
def test_artifacts_agree(model_id: str, check_artifacts: Callable[..., dict[str, dict[str, int]]]) -> None:
    partitions = check_artifacts(model_id)
    assert set(partitions) == {"pte", "tflite"}


@pytest.mark.parametrize("model_id", STEPS)
def test_steps_agree(model_id: str, export_tiny: Callable[..., Any]) -> None:
    """The export compares both with the deploy form at three timesteps; only sums are added in another order."""
    torch.manual_seed(1)
    files = export_tiny(model_id).result.files
    verifications = [file.verification for file in files.values()]
    assert [verification is not None and verification.psnr > 50 for verification in verifications] == [True, True]


@pytest.fixture(scope="module")
def targets(repository: Path) -> str:
    """The Python runtimes, the C++ runner, and that on an emulated processor with all that LiteRT needs."""
    for build, target in {"native": "make build", "arm64": "make arm64"}.items():
        if not (repository / "build" / build / "runner" / "bitsr-run").is_file():
            pytest.skip(f"needs the runner: {target}")
    if shutil.which("qemu-aarch64-static") is None:
        pytest.skip("needs qemu-aarch64-static: apt-get install qemu-user-static")
    return "host,native,qemu:cortex-a76"


@pytest.fixture(scope="module")
def picture(photo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small original of odd sides."""
    path: Path = tmp_path_factory.mktemp("picture") / "eye.png"
    with Image.open(photo) as opened:
        opened.convert("RGB").crop((120, 60, 195, 126)).save(path)
    return path


def _checked(run: Run, exported: Any) -> None:
    """Every op alone is bit for bit the reference's; `pytest -rP` shows the figures."""
    exact = sum(not op.wrong for op in run.ops)
    print(f"{run.artifact} {run.target}: {exact} of {len(run.ops)} op checks exact", end="; ")
    print(*[f"{p.agreement:.1f} dB, {p.largest} of 255 at most" for p in run.pictures], end=" ")
    print(*[f"timestep {step.timestep}: {step.agreement:.1f} dB" for step in run.steps])
    assert run.passed, (run.artifact, run.target, run.failures)
    assert sum(op.check == "packed bits" for op in run.ops) == exported.result.binary_layers


@pytest.mark.parametrize("model_id", EXPORTED)
def test_targets_agree(model_id: str, export_tiny: Callable[..., Any], targets: str, picture: Path) -> None:
    exported = export_tiny(model_id)
    # A Cortex-A53 has neither dot products nor the atomics that LiteRT needs: its ops are replayed there.
    names = f"{targets},qemu:cortex-a53" if model_id == "test_ebsr_plus_x2" else targets
    request = Request(exported.folder, names, images=picture, weights=exported.weights, runs=0)
    results = run_request(request).results
    assert len(results.runs) == 2 * len(names.split(","))
    for run in results.runs:
        _checked(run, exported)
        without = run.target == "qemu:cortex-a53" and run.artifact.endswith(".tflite")
        assert len(run.pictures) == (0 if without else 1)


def test_nothing_to_compare_is_no_pass(export_tiny: Callable[..., Any]) -> None:
    """LiteRT computes all of a float network that has no shuffle of ours."""
    exported = export_tiny("test_srresnet_x2")
    source = exported.result.files["tflite"].path
    with pytest.raises(UsageError, match="name --images"):
        run_request(Request(source, "host", weights=exported.weights, runs=0))


@pytest.mark.parametrize("model_id", STEPS)
def test_targets_agree_on_steps(model_id: str, export_tiny: Callable[..., Any], targets: str) -> None:
    """Op by op and as a whole."""
    exported = export_tiny(model_id)
    results = run_request(Request(exported.folder, targets, weights=exported.weights, runs=0)).results
    assert len(results.runs) == 6
    for run in results.runs:
        _checked(run, exported)
        assert [step.timestep for step in run.steps] == [0, 1000, 1999]
        assert all(step.agreement > 50 for step in run.steps), run.steps


def test_what_is_left_out_differs_in_its_scale_alone() -> None:
    assert {"test_ebsr_plus_x2", "test_ebsr_plus_x3", "test_ebsr_plus_x4"} < set(EXPORTED)
    assert {*EXPORTED, *STEPS, *OTHER_SCALES} == set(list_models("test_*"))
    for name, exported in OTHER_SCALES.items():
        assert exported in EXPORTED + STEPS
        assert name.rpartition("_x")[0] == exported.rpartition("_x")[0]
        assert model_info(name).scale != model_info(exported).scale


@pytest.mark.parametrize("model_id", ["test_srresnet_x2", "test_frbt_x2"])
def test_planned_memory_is_below_the_bound_that_summary_names(model_id: str, export_tiny: Callable[..., Any]) -> None:
    """Float maps of the upsampler at full resolution are what a network of SRResNet's kind takes most."""
    exported = export_tiny(model_id)
    file = exported.result.files["pte"]
    side = exported.model.fixed_size or 48
    bound = artifact_bytes_in_use(exported.model, height=side, width=side)
    assert file.info.sizes.max_pixels == side**2
    assert 0 < file.arena_bytes <= bound <= 6 * file.arena_bytes


# Peaks of the process after a small picture and after a large one.
_PEAKS = """
import sys
import numpy as np
from bitsr.runtime.core import CoreNetwork
network = CoreNetwork(sys.argv[1], threads=1)
for side in (32, int(sys.argv[2])):
    network.run(np.zeros((1, 3, side, side), np.float32))
    lines = open("/proc/self/status").read().splitlines()
    print(1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1]))
"""


@pytest.mark.parametrize("model_id", ["bbcu_l_x4", "bbcu_m_x4", "ebsr_light_plus_x4"])
def test_memory_of_our_kernels_is_below_the_bound_that_summary_names(model_id: str, tmp_path: Path) -> None:
    """64 channels at 1024x1024 alone would be 256 MiB: no map of the result's size is ever whole."""
    side = 256
    model = create_model(model_id, blocks=1)
    file = export_model(model, output=tmp_path, formats=("tflite",)).files["tflite"]
    ran = subprocess.run(
        [sys.executable, "-c", _PEAKS, str(file.path), str(side)], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    small, large = map(int, ran.stdout.split())
    bound = artifact_bytes_in_use(model, height=side, width=side)
    assert file.info.bytes_per_pixel * side**2 <= bound
    assert large - small <= bound <= 6 * (large - small)
    assert bound < 160 << 20
