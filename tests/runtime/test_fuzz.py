"""Short runs of the fuzz targets (runtime/fuzz) under ASan and UBSan; `make fuzz` runs long."""

import shutil
from pathlib import Path
from typing import Any

import pytest

SECONDS = 4
SEED = 1
OPTIONS = (
    "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
    "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O1",
    "-DCMAKE_CXX_COMPILER=clang++",
    "-DBITSR_FUZZ=ON",
    "-DBITSR_EXECUTORCH=OFF",
    "-DBITSR_TFLITE=OFF",
)


@pytest.fixture(scope="module")
def programs(native: Any) -> Path:
    """The folder of all fuzz targets."""
    native.need("cmake", "ninja", "clang++")
    return native.build("fuzz", *OPTIONS, target="bitsr_fuzz") / "fuzz"


@pytest.mark.parametrize("target", ["artifact", "program", "options", "texts", "upscale"])
def test_no_input_breaks_a_parser(native: Any, programs: Path, target: str, tmp_path: Path) -> None:
    program = programs / f"bitsr_fuzz_{target}"
    seeds = native.root / "runtime" / "fuzz" / "corpus" / target
    corpus = tmp_path / "corpus"
    shutil.copytree(seeds, corpus)
    # The peak memory that libFuzzer reads is at least that of the process that started it, pytest's: no limit on that.
    memory = ("-rss_limit_mb=0", "-malloc_limit_mb=1024")
    limits = (f"-max_total_time={SECONDS}", f"-seed={SEED}", "-max_len=4096", *memory)
    # A finding is written where the test's other files are, and named in the output.
    said = native.run(program, *limits, f"-artifact_prefix={tmp_path}/", corpus)
    assert "Done " in said
