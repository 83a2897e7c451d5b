"""docs/runtimes.md, done: every block but the Kotlin is run, without bitsr around it, and gives what bitsr gives."""

import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import bitsr
from bitsr.export.export import export_model
from bitsr.runtime import EXECUTORCH_LIBRARY, TFLITE_LIBRARY, RuntimeLibraryError, find_library
from bitsr.training.models import create_model

HEIGHT, WIDTH, SCALE = 48, 64, 2
PYTHON = ["LiteRT in Python", "tf.lite in Python", "ExecuTorch in Python", "CompiledModel, GPU and NPU"]


def block(page: str, heading: str, language: str) -> str:
    """The only block of a language below a heading."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", section, flags=re.DOTALL | re.MULTILINE)
    return str(found)


@pytest.fixture(scope="module")
def page(repository: Path) -> str:
    return (repository / "docs" / "runtimes.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """net.tflite, net.pte and net_stock.tflite beside the libraries of bitsr."""
    if not all(importlib.util.find_spec(name) for name in ("executorch", "onnx2tf", "tensorflow", "ai_edge_litert")):
        pytest.skip("needs bitsr[export,executorch]")
    folder = tmp_path_factory.mktemp("plain")
    try:
        for name in (TFLITE_LIBRARY, EXECUTORCH_LIBRARY):
            (folder / name).symlink_to(find_library(name))
    except RuntimeLibraryError as error:
        pytest.skip(str(error))
    torch.manual_seed(6)
    model = create_model("test_ebsr_plus_x2").eval()
    export_model(model, output=folder, name="net", formats=("tflite", "pte"), stock_ops=True, max_pixels=64 * 64)
    return folder


@pytest.fixture(scope="module")
def expected(folder: Path) -> NDArray[np.float32]:
    """(1, 3, H, W), by bitsr."""
    return bitsr.load(folder / "net.tflite").run(np.full((1, 3, HEIGHT, WIDTH), 0.5, np.float32))


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=300, check=False
    )


@pytest.mark.parametrize("heading", PYTHON)
def test_python(page: str, folder: Path, expected: NDArray[np.float32], heading: str) -> None:
    code = block(page, heading, "python")
    after = "\nimport sys\nassert 'bitsr' not in sys.modules\nnp = __import__('numpy'); np.save('out.npy', enlarged)\n"
    done = run_python(code + after, folder)
    assert done.returncode == 0, done.stderr
    y = np.load(folder / "out.npy")
    y = y if heading == "ExecuTorch in Python" else y.transpose(0, 3, 1, 2)
    np.testing.assert_allclose(y, expected, atol=1e-3 if "CompiledModel" in heading else 1e-5)


def test_options_that_the_delegate_does_not_know(page: str, folder: Path) -> None:
    code = block(page, "LiteRT in Python", "python").replace('"threads": "2"', '"thread": "2"')
    done = run_python(code, folder)
    assert done.returncode != 0
    assert "expected kernel, threads or verbose" in done.stderr


def test_without_our_library(page: str, folder: Path) -> None:
    for heading, language, line, words in (
        (
            "LiteRT in Python",
            "python",
            "experimental_delegates=[delegate], ",
            "Encountered unresolved custom op: Bitsr",
        ),
        (
            "tf.lite in Python",
            "python",
            "experimental_delegates=[delegate], ",
            "Encountered unresolved custom op: Bitsr",
        ),
        ("ExecuTorch in Python", "python", 'ctypes.CDLL("./libbitsr_executorch.so")', "0x:20"),
    ):
        code = block(page, heading, language)
        assert line in code
        done = run_python(code.replace(line, ""), folder)
        assert done.returncode != 0
        assert words in done.stderr


def test_cpp(page: str, folder: Path, expected: NDArray[np.float32], tmp_path: Path) -> None:
    if not all(map(shutil.which, ("cmake", "ninja", "c++"))):
        pytest.skip("needs cmake, ninja and a C++ compiler")
    (tmp_path / "plain.cpp").write_text(block(page, "ExecuTorch in C++", "cpp"))
    (tmp_path / "CMakeLists.txt").write_text(block(page, "ExecuTorch in C++", "cmake"))
    spec = importlib.util.find_spec("executorch")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    executorch = Path(next(iter(spec.submodule_search_locations)))
    ours = find_library(EXECUTORCH_LIBRARY).parent
    run("cmake", "-S", tmp_path, "-B", tmp_path / "b", "-G", "Ninja", f"-DEXECUTORCH={executorch}", f"-DBITSR={ours}")
    run("cmake", "--build", tmp_path / "b")
    said = run(tmp_path / "b" / "plain", cwd=folder, LD_LIBRARY_PATH=f"{executorch / 'lib'}{os.pathsep}{ours}")
    assert said.strip().endswith(f"{WIDTH * SCALE} x {HEIGHT * SCALE}")
    y = np.fromfile(folder / "enlarged.f32", np.float32).reshape(expected.shape)
    np.testing.assert_allclose(y, expected, atol=1e-5)


@pytest.mark.parametrize("kind", ["tflite", "pte"])
def test_c(page: str, folder: Path, repository: Path, tmp_path: Path, kind: str) -> None:
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    (tmp_path / "include").symlink_to(repository / "runtime" / "capi" / "include")
    (tmp_path / "lib").symlink_to(find_library("libbitsr.so").parent)
    (tmp_path / "app.c").write_text(block(page, "C", "c"))
    command = block(page, "C", "sh").strip().replace("$BITSR", str(tmp_path))
    run(*shlex.split(command), "-Wall", "-Wextra", "-Werror", cwd=tmp_path)
    (package,) = importlib.util.find_spec("ai_edge_litert").submodule_search_locations  # type: ignore[union-attr, misc]
    run(tmp_path / "app", folder / f"net.{kind}", Path(package) / "libLiteRt.so", cwd=tmp_path)
    pixels = np.fromfile(tmp_path / "enlarged.rgb", np.uint8).reshape(HEIGHT * SCALE, WIDTH * SCALE, 3)
    grey = np.full((HEIGHT, WIDTH, 3), 128, np.uint8)
    assert np.array_equal(pixels, bitsr.load(folder / f"net.{kind}").upscale(grey))


def run(*command: object, cwd: Path | None = None, **variables: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
