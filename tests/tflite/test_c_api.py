"""A .tflite through LiteRT's C API by bitsr-run, without Python: natively, and on arm64 under QEMU."""

import importlib.util
import json
import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from bitsr.export.export import ExportResult
from bitsr.export.verification import run_tensors
from bitsr.runtime import TFLITE_LIBRARY, RuntimeLibraryError, find_library
from bitsr.runtime.litert import TfliteNetwork

RUNNER, LITERT = "bitsr-run", "libLiteRt.so"
HEIGHT, WIDTH = 19, 26


@pytest.fixture(scope="session")
def native() -> list[str | Path]:
    """bitsr-run and the libraries that it opens."""
    try:
        program = find_library(RUNNER)
    except RuntimeLibraryError as error:
        pytest.skip(str(error))
    (folder,) = importlib.util.find_spec("ai_edge_litert").submodule_search_locations
    return [
        program,
        "--runtime",
        "framework",
        "--litert",
        Path(folder) / LITERT,
        "--delegate",
        find_library(TFLITE_LIBRARY),
    ]


def run(command: list[str | Path], model: Path, x: Tensor, folder: Path) -> tuple[Tensor, dict[str, Any]]:
    source, target = folder / "in.f32", folder / "out.f32"
    source.write_bytes(x.contiguous().numpy().tobytes())
    shape = ",".join(map(str, x.shape))
    options = ["--input", source, "--shape", shape, "--output", target, "--threads", "1", "--json", "-"]
    done = call([*command, model, *options])
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    return torch.from_numpy(np.fromfile(target, np.float32).reshape(facts["output_shape"])), facts


def call(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(item) for item in command], capture_output=True, text=True, timeout=300, check=False)


def test_the_c_api_gives_what_the_interpreter_gives(
    native: list[str | Path], ebsr_export: ExportResult, make_map: Callable[..., Tensor], tmp_path: Path
) -> None:
    path = ebsr_export.files["tflite"].path
    x = make_map(HEIGHT, WIDTH)
    y, facts = run(native, path, x, tmp_path)
    assert facts["model"]["format"] == "tflite"
    assert facts["device"]["kernel"] in ("portable", "avx2", "avx512", "dotprod", "neon")
    assert torch.equal(y, run_tensors(TfliteNetwork(path, threads=1), x))


def test_broken_models_are_one_error_line_of_the_c_api(
    native: list[str | Path], ebsr_export: ExportResult, tmp_path: Path
) -> None:
    content = ebsr_export.files["tflite"].path.read_bytes()
    path = tmp_path / "net.tflite"
    for size in (0, 100, 2000, len(content) // 2, len(content) - 1000):
        path.write_bytes(content[:size])
        done = call([*native, path, "--shape", "1,3,8,8"])
        assert done.returncode == 1, (size, done.stderr)
        assert done.stderr.splitlines()[-1].startswith("bitsr-run: error: "), (size, done.stderr)


def test_a_library_that_is_no_runtime_is_refused(native: list[str | Path], ebsr_export: ExportResult) -> None:
    program, *_ = native
    done = call(
        [program, "--runtime", "framework", ebsr_export.files["tflite"].path, "--info", "--litert", "libm.so.6"]
    )
    assert done.returncode == 1
    assert "libm.so.6 is neither LiteRT nor a TensorFlow Lite with its C API" in done.stderr
    done = call(
        [program, "--runtime", "framework", ebsr_export.files["tflite"].path, "--info", "--litert", "libnowhere.so"]
    )
    assert "LiteRT does not load" in done.stderr


@pytest.mark.skipif(platform.machine() == "aarch64", reason="the native test covers arm64 here")
def test_arm64_under_qemu(
    repository: Path, ebsr_export: ExportResult, make_map: Callable[..., Tensor], tmp_path: Path
) -> None:
    emulator, sysroot = shutil.which("qemu-aarch64-static"), Path("/usr/aarch64-linux-gnu")
    program = repository / "build" / "arm64" / "runner" / RUNNER
    delegate = repository / "build" / "arm64" / "tflite" / TFLITE_LIBRARY
    library = repository / "build" / "arm64-wheels" / "ai_edge_litert" / LITERT
    needed = {"qemu-user-static": emulator, "libc6-dev-arm64-cross": sysroot.is_dir()}
    needed["`make arm64`"] = all(path.is_file() for path in (program, delegate, library))
    if missing := [name for name, found in needed.items() if not found]:
        pytest.skip(f"needs {', '.join(missing)}")
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
    emulated = [
        emulator,
        "-cpu",
        "cortex-a76",
        "-L",
        root,
        program,
        "--runtime",
        "framework",
        "--litert",
        library,
        "--delegate",
        delegate,
    ]
    y, facts = run(emulated, path, x, tmp_path)
    assert (facts["device"]["machine"], facts["device"]["kernel"]) == ("aarch64", "dotprod")
    assert torch.equal(y, run_tensors(TfliteNetwork(path), x))
