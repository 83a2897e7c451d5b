"""Counted instructions and modelled cycles of arm64 programs."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bitsr.validation.arm.__main__ import main
from bitsr.validation.arm.cycles import PROCESSORS, cycles_per_run
from bitsr.validation.arm.program import ArmProgram, Region, short_name
from bitsr.validation.arm.tools import DISASSEMBLER, EMULATOR, MODEL
from bitsr.validation.errors import TargetError

COMPILER = "aarch64-linux-gnu-g++"
LOOP = """
#include <cstdlib>
__attribute__((noinline)) static void turn(int count) {
  for (int i = 0; i < count; ++i) asm volatile("cnt v0.16b, v0.16b\\n eor v1.16b, v1.16b, v0.16b" ::: "v0", "v1");
}
int main(int argc, char** argv) {
  turn(argc > 1 ? atoi(argv[1]) : 0);
  return argc > 2 ? 3 : 0;
}
"""


def _need(*tools: str) -> None:
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)} (make bench-arm installs them)")


@pytest.fixture(scope="module")
def plugin(repository: Path) -> Path:
    _need(EMULATOR, MODEL, DISASSEMBLER, COMPILER, "c++")
    return _built(repository, "host", "bitsr_block_counter") / "libbitsr_block_counter.so"


def _built(repository: Path, folder: str, target: str, *options: str) -> Path:
    """The folder with a target of runtime/bench, as `make bench-arm` builds it."""
    path = repository / "build" / "bench-arm" / folder
    tools = Path(sys.executable).parent
    switches = [f"-DBITSR_{name}=OFF" for name in ("EXECUTORCH", "TFLITE", "RUNNER")]
    configure = [tools / "cmake", "-S", repository / "runtime", "-B", path, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=Release"]
    make_program = f"-DCMAKE_MAKE_PROGRAM={tools / 'ninja'}"
    for command in (
        [*configure, make_program, "-DBITSR_BENCH=ON", *switches, *options],
        [tools / "cmake", "--build", path, "--target", target],
    ):
        done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return path / "bench"


@pytest.fixture(scope="module")
def loop(plugin: Path, tmp_path_factory: pytest.TempPathFactory) -> ArmProgram:
    folder = tmp_path_factory.mktemp("loop")
    (folder / "loop.cpp").write_text(LOOP)
    program = folder / "loop"
    subprocess.run([COMPILER, "-O2", "-static", "-no-pie", folder / "loop.cpp", "-o", program], check=True)
    return ArmProgram(program, plugin=plugin)


@pytest.mark.parametrize(("few", "many"), [(0, 1), (10, 1010), (3, 77_777)])
def test_every_instruction_is_counted(loop: ArmProgram, few: int, many: int) -> None:
    regions = loop.regions([str(few)], [str(many)], processor="cortex-a53")
    runs = [region.runs for region in regions for line in region.instructions if line.startswith("cnt ")]
    assert runs == [many - few]
    (counted,) = (region for region in regions if any(line.startswith("cnt ") for line in region.instructions))
    assert counted.function == "turn"
    assert any(line.startswith("eor v1.16b") for line in counted.instructions)


def test_a_failing_program_is_an_error(loop: ArmProgram) -> None:
    with pytest.raises(TargetError, match="ended with 3"):
        loop.regions(["1"], ["2", "fail"], processor="cortex-a53")


def test_models_differ_by_their_pipes() -> None:
    _need(MODEL)
    independent = tuple(f"cnt v{number}.16b, v31.16b" for number in range(16))
    dependent = tuple("cnt v0.16b, v0.16b" for _ in range(16))
    cycles = {
        processor: cycles_per_run([Region("f", independent, 1), Region("f", dependent, 1)], processor=processor)
        for processor in PROCESSORS
    }
    assert cycles["neoverse-v1"][0] < cycles["neoverse-n1"][0] < cycles["cortex-a55"][0]
    for several in cycles.values():
        assert several[0] < several[1]


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("bitsr::neon::(anonymous namespace)::conv_row(bitsr::ConvRow const&)", "neon::conv_row"),
        (
            "void bitsr::neon::(anonymous namespace)::finish_strip<24>(bitsr::ConvRow const&, long)",
            "neon::finish_strip<24>",
        ),
        (
            "void bitsr::dotprod::(anonymous namespace)::tile<2, 2>(bitsr::dotprod::MatrixStrip const&, int)",
            "dotprod::tile<2, 2>",
        ),
        ("main", "main"),
    ],
)
def test_short_names(symbol: str, name: str) -> None:
    assert short_name(symbol) == name


def test_the_command_counts_our_kernels(
    repository: Path, plugin: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    toolchain = repository / "runtime" / "cmake" / "aarch64-linux-gnu.cmake"
    program = _built(repository, "gcc", "bitsr_run_case", f"-DCMAKE_TOOLCHAIN_FILE={toolchain}") / "bitsr_run_case"
    options = ["--program", str(program), "--plugin", str(plugin), "--output", str(tmp_path), "--side", "12"]
    assert main([*options, "--kernel", "neon", "--kernel", "portable", "binary", "tail"]) == 0
    assert "inner loop, for 2048 multiply-accumulates" in capsys.readouterr().out
    cases = json.loads((tmp_path / "results.json").read_text())["cases"]
    assert [(case["case"], case["kernel"]) for case in cases] == [
        ("binary", "neon"),
        ("tail", "neon"),
        ("binary", "portable"),
        ("tail", "portable"),
    ]
    for case in cases:
        assert case["instructions"] == sum(function["instructions"] for function in case["functions"])
        assert all(case["cycles"][processor] > 0 for processor in PROCESSORS)
    assert cases[0]["instructions"] < cases[2]["instructions"]
    assert main([*options, "no_such_case"]) == 1
    assert "ended with 1" in capsys.readouterr().err
