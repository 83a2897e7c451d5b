"""A .tflite through LiteRT's C API, as an application in C uses it: natively, and on arm64 under QEMU."""

import importlib.util
import os
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bitsr.export.export import ExportResult
from bitsr.runtime import find_library
from bitsr.runtime.litert import TFLITE_LIBRARY, TfliteNetwork

RUNNER = "bitsr_litert_run"
HEIGHT, WIDTH = 19, 26


def litert_library() -> Path:
    (folder,) = importlib.util.find_spec("ai_edge_litert").submodule_search_locations
    return Path(folder) / "libLiteRt.so"


def run(command: list[str | Path], model: Path, x: Tensor, folder: Path) -> tuple[Tensor, str]:
    source, target = folder / "in.bin", folder / "out.bin"
    source.write_bytes(x.permute(0, 2, 3, 1).contiguous().numpy().tobytes())
    arguments = [*command, model, HEIGHT, WIDTH, x.shape[1], source, target]
    done = subprocess.run([str(item) for item in arguments], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    shape = [int(side) for side in done.stdout.split()]
    y = torch.from_numpy(np.fromfile(target, np.float32).reshape(shape))
    return y.permute(0, 3, 1, 2), done.stderr


def test_the_c_api_gives_what_the_interpreter_gives(
    ebsr_export: ExportResult, make_map: Callable[..., Tensor], tmp_path: Path
) -> None:
    path = ebsr_export.files["tflite"].path
    x = make_map(HEIGHT, WIDTH)
    command = [find_library(RUNNER), litert_library(), find_library(TFLITE_LIBRARY)]
    y, errors = run(command, path, x, tmp_path)
    assert errors.count("bitsr: partition of") == 1
    assert torch.equal(y, TfliteNetwork(path, threads=1).run(x))


def test_a_broken_model_is_an_error_of_the_c_api(ebsr_export: ExportResult, tmp_path: Path) -> None:
    broken = tmp_path / "net.tflite"
    broken.write_bytes(ebsr_export.files["tflite"].path.read_bytes()[:2000])
    command = [find_library(RUNNER), litert_library(), find_library(TFLITE_LIBRARY), broken, 8, 8, 3, broken, broken]
    done = subprocess.run([str(item) for item in command], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1
    assert "failed with status" in done.stderr


@pytest.mark.skipif(platform.machine() == "aarch64", reason="the native test covers arm64 here")
def test_arm64_under_qemu(
    repository: Path, ebsr_export: ExportResult, make_map: Callable[..., Tensor], tmp_path: Path
) -> None:
    emulator, library = shutil.which("qemu-aarch64-static"), os.environ.get("BITSR_LITERT_ARM64")
    built, sysroot = repository / "build" / "arm64" / "tflite", Path("/usr/aarch64-linux-gnu")
    if library is None or emulator is None or not (built / RUNNER).is_file() or not sysroot.is_dir():
        pytest.skip("needs BITSR_LITERT_ARM64 (libLiteRt.so of the arm64 wheel), QEMU and `make arm64`")
    # XNNPACK asks /proc/cpuinfo about the processor and needs an ARM answer; the root of -L goes before the real one.
    root = tmp_path / "root"
    (root / "proc").mkdir(parents=True)
    (root / "lib").symlink_to(sysroot / "lib")
    features = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
    lines = ["processor\t: 0", f"Features\t: {features}", "CPU implementer\t: 0x41", "CPU architecture: 8"]
    lines += ["CPU variant\t: 0x4", "CPU part\t: 0xd0b", "CPU revision\t: 1", ""]
    (root / "proc" / "cpuinfo").write_text("\n".join(lines))
    path = ebsr_export.files["tflite"].path
    x = make_map(HEIGHT, WIDTH)
    emulated = [emulator, "-cpu", "cortex-a76", "-L", root]
    y, errors = run([*emulated, built / RUNNER, library, built / TFLITE_LIBRARY], path, x, tmp_path)
    assert "kernel neon" in errors
    # The body has the same bits; XNNPACK's float layers sum in another order on another processor.
    torch.testing.assert_close(y, TfliteNetwork(path).run(x), rtol=0, atol=1e-5)
