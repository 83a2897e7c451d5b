"""bitsr-run: its contract (runtime/runner/README.md) for a .pte and for replays, natively and on arm64 under QEMU."""

import hashlib
import importlib.resources
import json
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import bitsr
from bitsr.artifact.artifact import Artifact
from bitsr.artifact.formats import sidecar_path
from bitsr.artifact.info import LIMITS
from bitsr.artifact.program import Op, OpKind, Program, Value, ValueKind, write_program
from bitsr.artifact.program.words import words_per_tap
from bitsr.common.errors import ArtifactError
from bitsr.export import ops
from bitsr.export.executorch.lower import lower
from bitsr.export.export import ExportResult, export_model
from bitsr.export.verification import run_tensors
from bitsr.runtime import TFLITE_LIBRARY, RuntimeLibraryError, find_library
from bitsr.runtime.pte import PteNetwork
from bitsr.training.models import create_model

MODEL = "test_ebsr_plus_x2"
# The arenas that are planned for it: far more than a run on a small picture may take.
MAX_PIXELS = 4096 * 1024
HEIGHT, WIDTH = 11, 14
# The core alone has tests of its own (test_core_network.py).
IN_EXECUTORCH = ("--runtime", "framework")


@dataclass(frozen=True)
class Runner:
    """Runs a bitsr-run, perhaps under an emulator."""

    command: tuple[str, ...]

    def __call__(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        words = [*self.command, *(str(word) for word in arguments)]
        return subprocess.run(words, capture_output=True, text=True, timeout=300, check=False)

    def report(self, *arguments: object) -> dict[str, Any]:
        done = self(*arguments, "--json", "-")
        assert done.returncode == 0, done.stderr
        return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def native_runner() -> Runner:
    try:
        return Runner((str(find_library("bitsr-run")), *IN_EXECUTORCH))
    except RuntimeLibraryError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=["cortex-a53", "cortex-a76"])
def arm64_runner(request: pytest.FixtureRequest, native: Any) -> Runner:
    built, sysroot = native.root / "build" / "arm64" / "runner" / "bitsr-run", Path("/usr/aarch64-linux-gnu")
    emulator = shutil.which(native.emulator)
    if platform.machine() == "aarch64" or emulator is None or not built.is_file() or not sysroot.is_dir():
        pytest.skip("needs QEMU, an x86 host, g++-aarch64-linux-gnu and `make arm64`")
    return Runner((emulator, "-cpu", request.param, "-L", str(sysroot), str(built), *IN_EXECUTORCH))


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> ExportResult:
    torch.manual_seed(5)
    model = create_model(MODEL).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.rand_like(parameter) - 0.1)
    return export_model(model, output=tmp_path_factory.mktemp("runner"), max_pixels=MAX_PIXELS)


@pytest.fixture(scope="module")
def model(exported: ExportResult) -> Path:
    return exported.files["pte"].path


@pytest.fixture(scope="module")
def pixels() -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


def maps(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


def write_ppm(path: Path, pixels: np.ndarray) -> Path:
    path.write_bytes(b"P6\n# a comment\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + pixels.tobytes())
    return path


def read_ppm(path: Path) -> np.ndarray:
    magic, size, largest, data = path.read_bytes().split(b"\n", 3)
    assert (magic, largest) == (b"P6", b"255")
    width, height = (int(side) for side in size.split())
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def test_a_tensor_gives_what_python_gives(
    native_runner: Runner, model: Path, pixels: np.ndarray, tmp_path: Path
) -> None:
    x = maps(pixels)
    (tmp_path / "in.f32").write_bytes(x.tobytes())
    arguments = ("--input", tmp_path / "in.f32", "--shape", f"1,3,{HEIGHT},{WIDTH}", "--output", tmp_path / "out.f32")
    facts = native_runner.report(model, *arguments, "--warmup", 2, "--runs", 5, "--threads", 2, "--profile")
    y = np.fromfile(tmp_path / "out.f32", np.float32).reshape(facts["output_shape"])
    assert np.array_equal(y, run_tensors(PteNetwork(model), torch.from_numpy(x)).numpy())
    assert facts["schema"] == 1
    assert facts["model"]["path"] == str(model)
    assert facts["model"]["format"] == "pte"
    assert facts["model"]["bytes"] == model.stat().st_size
    assert facts["model"]["scale"] == facts["model"]["sidecar"]["scale"] == 2
    assert facts["device"]["machine"] == platform.machine()
    assert facts["device"]["threads"] == 2
    assert facts["device"]["kernel"] in facts["device"]["isa"] or facts["device"]["kernel"] == "portable"
    assert set(facts["build"]) == {"type", "compiler", "bitsr"}
    assert facts["versions"]["executorch"].startswith("1.5")
    assert len(facts["samples_ms"]) == 5
    assert min(facts["load_ms"], facts["first_ms"], *facts["samples_ms"]) > 0
    assert facts["input_shape"] == [1, 3, HEIGHT, WIDTH]
    assert sum("binary_conv2d" in row["name"] for row in facts["profile"] if row["kind"] == "bitsr") > 0


@pytest.mark.parametrize("key", ["scale", "value_range", "max_pixels", "versions", "model"])
def test_a_changed_sidecar_is_refused(native_runner: Runner, model: Path, tmp_path: Path, key: str) -> None:
    """What is written is still whole and plausible; only the digest tells."""
    shutil.copy(model, tmp_path / "net.pte")
    text = sidecar_path(model).read_text(encoding="utf-8")
    start = text.index(f'"{key}"') + len(key) + 2
    place = next(at for at in range(start, len(text)) if text[at] in "123456789")
    changed = text[:place] + ("2" if text[place] == "1" else "1") + text[place + 1 :]
    (tmp_path / "net.json").write_text(changed, encoding="utf-8")
    done = native_runner(tmp_path / "net.pte", "--info")
    assert done.returncode == 1
    assert "the sidecar of" in done.stderr
    assert "was changed" in done.stderr
    with pytest.raises(ArtifactError, match="was changed"):
        bitsr.load(tmp_path / "net.pte")


LIMITED = {
    "scale": LIMITS["scale"],
    "in_channels": LIMITS["channels"],
    "out_channels": LIMITS["channels"],
    "receptive_field_radius": LIMITS["side"],
    "min_side": LIMITS["side"],
    "multiple": LIMITS["side"],
    "max_pixels": LIMITS["pixels"],
}


def with_field(text: str, key: str, value: str) -> bytes:
    """A sidecar with another value, and with the digest that belongs to it."""
    changed = re.sub(rf'("{key}": )(\[[^]]*\]|[^,\n]*)', rf"\g<1>{value}", text)
    zeros = re.sub(r'("metadata_sha256": ")[0-9a-f]{64}', r"\g<1>" + "0" * 64, changed)
    return zeros.replace('"metadata_sha256": "' + "0" * 64, f'"metadata_sha256": "{sha(zeros)}').encode()


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize(
    ("key", "value", "taken"),
    [
        *[(key, str(most + more), not more) for key, most in LIMITED.items() for more in (0, 1)],
        *[(key, "0", key == "receptive_field_radius") for key in LIMITED],
        *[(key, value, False) for key in LIMITED for value in ("-1", "2.5", "1e400", "true", '"2"', str(1 << 70))],
        *[
            (key, value, False)
            for key in ("format_version", "ops_version")
            for value in ('"2"', "2.0", "null", "1" * 20)
        ],
        ("value_range", "[-1048576, 1048576]", True),
        ("value_range", "[0.0, 255]", True),
        ("value_range", "[0, 1048577]", False),
        ("value_range", "[-3e38, 3e38]", False),
        ("value_range", "[1e39, 1e40]", False),
        ("value_range", "[1.0, 1.00000000001]", False),
        ("value_range", "[0.0, 1e-60]", False),
        ("value_range", "[1.0, 0.0]", False),
    ],
)
def test_python_and_the_runner_have_the_same_limits(
    native_runner: Runner, model: Path, tmp_path: Path, key: str, value: str, taken: bool
) -> None:
    shutil.copy(model, tmp_path / "net.pte")
    text = with_field(sidecar_path(model).read_text(encoding="utf-8"), key, value)
    (tmp_path / "net.json").write_bytes(text)
    done = native_runner(tmp_path / "net.pte", "--info")
    if taken:
        Artifact.open(tmp_path / "net.pte")
        assert done.returncode == 0, done.stderr
        return
    with pytest.raises(ArtifactError, match=key):
        Artifact.open(tmp_path / "net.pte")
    assert done.returncode == 1
    assert key in done.stderr


def build_session_tests(native: Any, program: str) -> Path:
    native.need("cmake", "ninja", "c++")
    options = ("-DCMAKE_BUILD_TYPE=Release", f"-DPython_EXECUTABLE={sys.executable}", "-DBITSR_TESTS=ON")
    switches = ("-DBITSR_EXECUTORCH=ON", "-DBITSR_TFLITE=OFF", "-DBITSR_RUNNER=ON")
    return Path(native.build("executorch-tests", *options, *switches, target=program)) / "runner" / program


def test_the_library(native: Any, tmp_path: Path) -> None:
    """Session by its own tests (runtime/runner/session_test.cpp)."""
    # A head that the kernels lack: ExecuTorch runs it in several instructions, between which a run can be cancelled.
    mixed = create_model("test_bbcu_l_x2").eval()
    mixed.head = nn.Conv2d(3, 8, 5, padding=2)
    exported = export_model(mixed, output=tmp_path, max_pixels=MAX_PIXELS)
    program = build_session_tests(native, "bitsr_session_tests")
    assert "[  PASSED  ] 10 tests" in native.run(program, BITSR_TEST_MODEL=str(exported.files["pte"].path))


def test_the_library_over_litert(native: Any, tmp_path: Path) -> None:
    """Session over LiteRT by its own tests (runtime/runner/tflite_session_test.cpp)."""
    if not all(find_spec(package) for package in ("ai_edge_litert", "onnx2tf", "tensorflow")):
        pytest.skip("needs bitsr[export]")
    try:
        delegate = find_library(TFLITE_LIBRARY)
    except RuntimeLibraryError as error:
        pytest.skip(str(error))
    litert = Path(str(importlib.resources.files("ai_edge_litert"))) / "libLiteRt.so"
    program = build_session_tests(native, "bitsr_tflite_session_tests")
    exported = export_model(create_model(MODEL).eval(), output=tmp_path, formats=("tflite",), max_pixels=64 * 64)
    variables = {"MODEL": exported.files["tflite"].path, "DELEGATE": delegate, "LITERT": litert}
    done = native.run(program, **{f"BITSR_TEST_{name}": str(path) for name, path in variables.items()})
    assert "[  PASSED  ] 3 tests" in done


def test_a_picture(native_runner: Runner, model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    source = write_ppm(tmp_path / "in.ppm", pixels)
    done = native_runner(model, "--input", source, "--output", tmp_path / "out.ppm")
    assert done.returncode == 0, done.stderr
    y = run_tensors(PteNetwork(model), torch.from_numpy(maps(pixels))).numpy()[0].transpose(1, 2, 0)
    expected = np.floor(np.clip(y, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)
    assert np.array_equal(read_ppm(tmp_path / "out.ppm"), expected)


def test_arenas_cost_what_is_used(native_runner: Runner, exported: ExportResult, model: Path) -> None:
    facts = native_runner.report(model, "--shape", "1,3,32,32")
    planned = exported.files["pte"].arena_bytes
    assert planned > 200 << 20
    # A third of what the largest picture would take.
    assert facts["peak_rss_bytes"] < planned / 3


def test_models_in_turns(native_runner: Runner, model: Path) -> None:
    facts = native_runner.report(f"{model}@portable", model, "--shape", "1,3,9,9", "--runs", 3)
    assert facts["models"][0]["device"]["kernel"] == "portable"
    assert [len(one["samples_ms"]) for one in facts["models"]] == [3, 3]


def test_info_runs_nothing(native_runner: Runner, model: Path) -> None:
    facts = native_runner.report(model, "--info")
    assert facts["input_shape"] == [1, 3, 0, 0]
    assert "samples_ms" not in facts


def test_layers_have_the_same_bits_on_every_kernel(native_runner: Runner, model: Path, tmp_path: Path) -> None:
    check_layers(native_runner, native_runner, model, tmp_path)


def test_layers_on_arm64(arm64_runner: Runner, native_runner: Runner, model: Path, tmp_path: Path) -> None:
    done = arm64_runner(model, "--info")
    if "there is no ExecuTorch" in done.stderr:
        pytest.skip("`make arm64` had no aarch64 wheel of executorch")
    check_layers(arm64_runner, native_runner, model, tmp_path)


def check_layers(one: Runner, other: Runner, model: Path, folder: Path) -> None:
    """All layers of the network, bit for bit."""
    for name, runner, kernel in (("one", one, "auto"), ("other", other, "portable")):
        (folder / name).mkdir()
        done = runner(model, "--shape", "1,3,10,13", "--kernel", kernel, "--dump-layers", folder / name)
        assert done.returncode == 0, done.stderr
    tables = [(folder / name / "layers.tsv").read_text().splitlines() for name in ("one", "other")]
    assert tables[0] == tables[1]
    assert tables[0][0] == "index\tkind\tname\tshape\tfile"
    assert len(tables[0]) > 4
    for index, line in enumerate(tables[0][1:]):
        number, kind, _, shape, file = line.split("\t")
        assert int(number) == index
        values = [np.fromfile(folder / name / file, np.float32) for name in ("one", "other")]
        assert values[0].size == np.prod([int(side) for side in shape.split(",")])
        np.testing.assert_array_equal(*values, err_msg=f"{index} {kind}")


def conv_case(rng: np.random.Generator, channels: int, out: int, kernel: int) -> tuple[Program, np.ndarray, np.ndarray]:
    """A binary convolution with skip and slope, an input, and what the eager op gives."""
    words = words_per_tap(channels)
    bits = rng.integers(0, 1 << 63, (1, out, kernel, kernel, words), np.uint64)
    if channels % 64:
        bits[..., -1] &= np.uint64((1 << channels % 64) - 1)
    threshold, scale, slope = (rng.standard_normal(n).astype(np.float32) for n in (channels, out, out))
    program = Program(inputs=[0, 1], outputs=[2])
    for count in (channels, out, out):
        program.add_value(Value(ValueKind.MAP, count))
    constants = (threshold, bits, scale[None], None, None, None, slope)
    program.ops = [Op(OpKind.BINARY_CONV2D, (0, None, None, None, 1), (2,), constants, (out, kernel, 1))]
    x = rng.standard_normal((1, channels, 7, 9)).astype(np.float32)
    skip = rng.standard_normal((1, out, 7, 9)).astype(np.float32)
    y = ops.binary_conv2d(
        torch.from_numpy(x),
        torch.from_numpy(threshold),
        torch.from_numpy(bits.view(np.int64)),
        torch.from_numpy(scale[None]),
        residual=torch.from_numpy(skip),
        slope=torch.from_numpy(slope),
    )
    return program, np.concatenate([x.ravel(), skip.ravel()]), y.numpy()


def write_cases(folder: Path) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    lines, expected = [], []
    for channels, out, kernel in ((64, 64, 3), (70, 5, 3), (8, 16, 1)):
        program, inputs, y = conv_case(rng, channels, out, kernel)
        name = f"conv{channels}"
        (folder / f"{name}.bsrp").write_bytes(write_program(program))
        (folder / f"{name}_x.f32").write_bytes(inputs[: channels * 63].tobytes())
        (folder / f"{name}_r.f32").write_bytes(inputs[channels * 63 :].tobytes())
        lines.append(f"{name}\t{name}.bsrp\t7\t9\t{name}_x.f32,{name}_r.f32\t{name}_y.f32")
        expected.append(y)
    (folder / "cases.tsv").write_text("\n".join(lines) + "\n")
    return expected


def check_replay(runner: Runner, folder: Path, *flags: str) -> None:
    expected = write_cases(folder)
    facts = runner.report("--replay", folder, *flags)
    assert [case["name"] for case in facts["cases"]] == ["conv64", "conv70", "conv8"]
    for case, y in zip(facts["cases"], expected, strict=True):
        got = np.fromfile(folder / f"{case['name']}_y.f32", np.float32).reshape(case["output_shapes"][0])
        assert np.array_equal(got, y)


@pytest.mark.parametrize("flags", [(), ("--kernel", "portable"), ("--threads", "2")], ids=" ".join)
def test_replay(native_runner: Runner, tmp_path: Path, flags: tuple[str, ...]) -> None:
    check_replay(native_runner, tmp_path, *flags)


def test_replay_on_arm64(arm64_runner: Runner, tmp_path: Path) -> None:
    check_replay(arm64_runner, tmp_path)


def spoil_nothing(folder: Path) -> None:
    (folder / "cases.tsv").unlink()


def spoil_size(folder: Path) -> None:
    (folder / "conv64_x.f32").write_bytes(b"1234")


def spoil_program(folder: Path) -> None:
    content = bytearray((folder / "conv64.bsrp").read_bytes())
    content[100] ^= 1
    (folder / "conv64.bsrp").write_bytes(content)


def spoil_folder(folder: Path) -> None:
    (folder / "cases.tsv").write_text("a\t../a.bsrp\t7\t9\tx.f32\ty.f32\n")


@pytest.mark.parametrize("spoil", [spoil_nothing, spoil_size, spoil_program, spoil_folder])
def test_a_bad_replay_fails(native_runner: Runner, tmp_path: Path, spoil: Callable[[Path], None]) -> None:
    write_cases(tmp_path)
    spoil(tmp_path)
    done = native_runner("--replay", tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("bitsr-run: error: ")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((), "no model"),
        (("--frobnicate",), "no such flag"),
        (("m.pte", "--threads", "0"), "--threads needs"),
        (("m.pte", "--threads"), "needs a value"),
        (("m.pte", "--kernel", "sse2"), "--kernel needs"),
        (("m.pte", "--shape", "1,3,0,4"), "--shape needs"),
        (("m.pte", "--shape", "1,99999999,99999999,99999999"), "--shape needs"),
        (("m.pte", "--input", "x.png"), "pictures are .ppm"),
        (("m.pte", "--input", "x.f32"), "needs --shape"),
        (("a.pte", "b.pte", "--output", "y.f32"), "a single model"),
        (("--replay", "d", "m.pte"), "takes no model"),
    ],
)
def test_wrong_usage(native_runner: Runner, arguments: tuple[str, ...], reason: str) -> None:
    done = native_runner(*arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_failures_are_one_line(native_runner: Runner, model: Path, pixels: np.ndarray, tmp_path: Path) -> None:
    cut, text, alone, stale = (tmp_path / name for name in ("cut.pte", "text.pte", "alone.pte", "stale.pte"))
    cut.write_bytes(model.read_bytes()[:3000])
    text.write_text("no model at all, only words")
    stale.write_bytes(model.read_bytes())
    stale.with_suffix(".json").write_text(model.with_suffix(".json").read_text().replace('_bytes": ', '_bytes": 1'))
    alone.write_bytes(model.read_bytes())
    torn = write_ppm(tmp_path / "torn.ppm", pixels)
    torn.write_bytes(torn.read_bytes()[:-1])
    for arguments, reason in (
        ((tmp_path / "none.pte",), "No such file"),
        ((tmp_path,), "no regular file"),
        ((cut,), "ExecuTorch does not read"),
        ((text,), "neither a .pte nor a .tflite"),
        ((stale,), "do not belong together"),
        ((model, "--shape", "1,4,8,8"), "takes 1x3xHxW"),
        ((model, "--shape", "1,3,8192,1024"), "takes 1x3xHxW"),
        ((model, "--input", torn), "bytes of pixels"),
        ((model, "--shape", "1,3,8,8", "--output", tmp_path / "none" / "y.f32"), "cannot write"),
        ((model, "--kernel", "neon" if platform.machine() == "x86_64" else "avx2"), "lacks the kernel"),
    ):
        done = native_runner(*arguments)
        assert done.returncode == 1, arguments
        assert reason in done.stderr
        assert done.stderr.startswith("bitsr-run: error: ")
    assert "scale" not in native_runner.report(alone, "--info")["model"]


def test_maps_come_back_as_nchw(native_runner: Runner, tmp_path: Path) -> None:
    """A layer that reads and writes channels-last maps is given its input so, and its output comes back as NCHW."""

    class Double(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.pixel_shuffle(x, 2) * 2

    path = tmp_path / "double.pte"
    path.write_bytes(lower(Double().eval(), channels=4, max_pixels=1024).content)
    x = np.random.default_rng(1).random((1, 4, 5, 6), np.float32)
    (tmp_path / "x.f32").write_bytes(x.tobytes())
    facts = native_runner.report(
        path, "--input", tmp_path / "x.f32", "--shape", "1,4,5,6", "--output", tmp_path / "y.f32"
    )
    y = np.fromfile(tmp_path / "y.f32", np.float32).reshape(facts["output_shape"])
    assert np.array_equal(y, 2 * torch.pixel_shuffle(torch.from_numpy(x), 2).numpy())
