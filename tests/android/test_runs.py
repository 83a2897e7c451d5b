"""The Android builds of bitsr-run: arm64 on Android 6's libc in unidbg, x86-64 on this machine's libc.

An x86-64 build runs here as it is: `bionic/` gives it the C library's names with glibc behind them.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bitsr.export.export import export_model
from bitsr.runtime import isa_names
from bitsr.training.models import create_model
from bitsr.validation.errors import TargetError
from bitsr.validation.parity.pictures import run_network
from bitsr.validation.targets.base import Device, Target
from bitsr.validation.targets.local import LocalTarget
from bitsr.validation.targets.open import open_target
from bitsr.validation.validate import validate

Cases = dict[str, Any]  # what the fixture `golden` gives
LINKER = Path("/lib64/ld-linux-x86-64.so.2")
SHIM = Path(__file__).parent / "bionic" / "shim.py"


def needs_unidbg(android: Path) -> None:
    """Skip where the emulator is not built."""
    if not (android / "unidbg" / "classes").is_dir() or shutil.which("java") is None:
        pytest.skip("needs the emulator: make android-unidbg")


@pytest.fixture(scope="session")
def on_glibc(android: Path, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command that is bitsr-run of the x86-64 build."""
    if not LINKER.is_file() or shutil.which("cc") is None:
        pytest.skip("needs an x86-64 Linux with a C compiler")
    folder = tmp_path_factory.mktemp("bionic")
    subprocess.run([sys.executable, str(SHIM), str(android / "runtimes"), str(folder)], check=True)
    return [str(LINKER), "--library-path", f"{folder}:{android / 'x86_64'}", str(android / "x86_64" / "bitsr-run")]


@pytest.fixture(params=["unidbg:cortex-a53", "unidbg:cortex-a76", "x86_64"])
def target(request: pytest.FixtureRequest, android: Path) -> Iterator[Target]:
    """A place with an Android build of the runner."""
    if request.param == "x86_64":
        command = request.getfixturevalue("on_glibc")
        opened: Target = LocalTarget("x86_64", command, Device("x86_64", "glibc", ""), emulated=True)
    else:
        needs_unidbg(android)
        opened = open_target(request.param)
    yield opened
    opened.close()


def push(target: Target, artifact: Path) -> str:
    """Bring an artifact with its sidecar there."""
    sidecar = artifact.with_suffix(".json")
    if sidecar.is_file():
        target.push(sidecar)
    return target.push(artifact)


@pytest.mark.parametrize("kind", ["tflite", "pte"])
def test_bits_are_those_of_python(target: Target, golden: Cases, kind: str) -> None:
    case = golden[kind]
    model = push(target, case.path)
    output = run_network(target, model, case.given, info=case.info)
    assert np.array_equal(output, case.expected)


def test_facts_of_the_processor_and_the_runtimes(target: Target, golden: Cases) -> None:
    (tflite,) = target.run([push(target, golden["tflite"].path), "--info", "--runtime", "framework"]).models
    (pte,) = target.run([push(target, golden["pte"].path), "--info", "--runtime", "framework"]).models
    assert tflite.versions == {"tflite": "2.16.1"}
    assert "react-native-executorch" in pte.versions["executorch"]
    machine = target.describe().machine
    for run in (tflite, pte):
        assert run.device.machine == machine
        assert run.device.kernel == run.device.isa[0]
        assert run.device.isa[-1] == "portable"
        assert run.build.compiler.startswith("clang")
    if machine == "x86_64":
        assert tflite.device.isa == list(isa_names())
    if machine == "aarch64":
        # Of the emulated ones a Cortex-A53 has no dot products.
        dot_products = ["dotprod"] if "a76" in target.describe().processor.lower() else []
        assert tflite.device.isa == [*dot_products, "neon", "portable"]
        assert tflite.device.processor == f"emulated {target.describe().processor.removeprefix('emulated ')}"


@pytest.mark.parametrize("kind", ["tflite", "pte"])
def test_a_damaged_artifact_is_refused_with_its_reason(
    target: Target, golden: Cases, kind: str, tmp_path: Path
) -> None:
    case = golden[kind]
    content = bytearray(case.path.read_bytes())
    content[len(content) // 2] ^= 1
    damaged = tmp_path / case.path.name
    damaged.write_bytes(content)
    if kind == "pte":
        shutil.copyfile(case.path.with_suffix(".json"), damaged.with_suffix(".json"))
    with pytest.raises(TargetError, match="is damaged or does not belong to its metadata"):
        target.run([push(target, damaged), "--info"])


def test_a_validation_in_unidbg_passes(
    golden: Cases, weights: Path, photo: Path, android: Path, tmp_path: Path
) -> None:
    needs_unidbg(android)
    picture = tmp_path / "eye.png"
    with Image.open(photo) as opened:
        opened.convert("RGB").crop((120, 60, 184, 108)).save(picture)
    results = validate(golden["tflite"].path.parent, on="unidbg", images=picture, weights=weights)
    assert len(results.runs) == 2
    for run in results.runs:
        assert run.verdict == "pass", run.failures
        assert run.ops
        assert run.pictures
        assert run.layers
        assert run.emulated
        assert run.latency == []
        assert run.device.system == "Android 6 libc, emulated processor (unidbg)"
        assert any("parity only" in note for note in run.notes)


@pytest.mark.parametrize(("cpu", "in_order"), [("cortex-a53", True), ("cortex-a76", False)])
def test_xnnpack_takes_the_kernels_of_the_processor(android: Path, tmp_path: Path, cpu: str, in_order: bool) -> None:
    """Of a Cortex-A53, which loads half vectors by general registers (`ins`), or of a Cortex-A76."""
    needs_unidbg(android)
    export_model(create_model("test_float_light_x2").eval(), output=tmp_path, formats=("tflite",), name="net")
    folder = android / "unidbg"
    command = ["java", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dbitsr.count=libtensorflowlite_jni.so"]
    command += ["-cp", f"{folder / 'classes'}:{folder / 'jars'}/*", "org.bitsr.unidbg.Runner", cpu, str(tmp_path)]
    command += [str(android / "arm64-v8a"), "/net.tflite", "--runtime", "framework", "--shape", "1,3,16,16"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    counts = dict(line.removeprefix("count ").split("=") for line in done.stdout.splitlines() if "count " in line)
    assert (int(counts["ins"]) > 0) is in_order
