"""The delegate under AddressSanitizer and UndefinedBehaviorSanitizer, on sound and on broken models."""

import fcntl
import os
import random
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from bitsr.artifact.flatbuffer import pack
from bitsr.export.export import ExportResult
from bitsr.runtime import TFLITE_LIBRARY

HOST = Path(__file__).with_name("sanitized_host.py")
BROKEN = 60


@pytest.fixture(scope="session")
def sanitized(repository: Path) -> Path:
    """The delegate, built with the sanitizers of GCC."""
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    if missing := [tool for tool in ("g++", "cmake", "ninja") if shutil.which(tool, path=tools) is None]:
        pytest.skip(f"not installed: {', '.join(missing)}")
    folder = repository / "build" / "tflite-sanitize"
    folder.mkdir(parents=True, exist_ok=True)
    configure = ["cmake", "-S", repository / "runtime", "-B", folder, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Debug"]
    options = ["CMAKE_CXX_COMPILER=g++", "CMAKE_CXX_FLAGS_DEBUG=-O1", "BITSR_SANITIZE=ON"]
    options += ["BITSR_EXECUTORCH=OFF", "BITSR_RUNNER=OFF"]
    build = ["cmake", "--build", folder, "--target", "bitsr_tflite"]
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for command in ([*configure, *(f"-D{option}" for option in options)], build):
            done = subprocess.run(
                [str(part) for part in command],
                env={**os.environ, "PATH": tools},
                capture_output=True,
                text=True,
                check=False,
            )
            assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return folder / "tflite" / TFLITE_LIBRARY


def host(library: Path, models: list[Path]) -> list[str]:
    """What the host says of each model; the sanitizers' report, if there is one, fails the test."""
    runtimes = [
        subprocess.run(["g++", f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    settings = {
        "LD_PRELOAD": " ".join(runtimes),
        # Python and LiteRT keep memory until the process ends.
        "ASAN_OPTIONS": "detect_leaks=0:halt_on_error=1",
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    }
    done = subprocess.run(
        [sys.executable, str(HOST), str(library), *map(str, models)],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-6000:]
    assert "Sanitizer" not in done.stderr
    assert "runtime error" not in done.stderr
    lines = done.stdout.splitlines()
    assert len(lines) == len(models)
    return [line.partition(" ")[2] for line in lines]


def broken(content: bytes, source: random.Random) -> bytes:
    """The model with a fault in one of our ops: its options, an operand's number, or a constant's bytes or shape."""
    model: Any = schema.ModelT.InitFromPackedBuf(content)
    graph = model.subgraphs[0]
    op = source.choice([op for op in graph.operators if model.operatorCodes[op.opcodeIndex].customCode])
    kind = source.choice(["options", "cut options", "operand", "fewer operands", "constant", "shape"])
    if kind == "options":
        data = bytearray(op.customOptions)
        for _ in range(source.randint(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        op.customOptions = np.frombuffer(bytes(data), np.uint8)
    elif kind == "cut options":
        op.customOptions = op.customOptions[: source.randrange(len(op.customOptions))]
    elif kind == "operand":
        op.inputs = op.inputs.copy()  # the reader's is a view of the file
        op.inputs[source.randrange(len(op.inputs))] = source.randrange(len(graph.tensors))
    elif kind == "fewer operands":
        op.inputs = op.inputs[: source.randrange(len(op.inputs))]
    else:
        constants = [graph.tensors[i] for i in op.inputs if model.buffers[graph.tensors[i].buffer].data is not None]
        tensor = source.choice(constants)
        size = source.randrange(int(tensor.shape[0]))
        data = model.buffers[tensor.buffer].data
        tensor.shape = np.array([size, *tensor.shape[1:]], np.int32)
        if kind == "constant":
            # A buffer of its own: another op may share it.
            tensor.buffer = len(model.buffers)
            buffer = schema.BufferT()
            buffer.data = data[: source.randrange(len(data))]
            model.buffers.append(buffer)
    return pack(model)


def test_sound_models_and_resizes(sanitized: Path, ebsr_export: ExportResult, ebsr_bodies: Any) -> None:
    models = [ebsr_export.files["tflite"].path, ebsr_bodies[1].files["tflite"].path]
    said = host(sanitized, [*models, *models])
    assert all(line.startswith("ok ") for line in said)
    assert said[:2] == said[2:]


def test_broken_models_are_refused_without_a_fault(sanitized: Path, ebsr_export: ExportResult, tmp_path: Path) -> None:
    content = ebsr_export.files["tflite"].path.read_bytes()
    source = random.Random(0)
    models = []
    for number in range(BROKEN):
        path = tmp_path / f"{number}.tflite"
        path.write_bytes(broken(content, source))
        models.append(path)
    said = host(sanitized, models)
    refused = [line for line in said if line.startswith("refused ")]
    ours = [line for line in refused if "bitsr: " in line]
    assert len(refused) > BROKEN // 2
    assert len(ours) > BROKEN // 3
