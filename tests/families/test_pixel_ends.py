"""An artifact of uint8 gives the picture of the one of float32, bit for bit, wherever it runs."""

import ctypes
import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

import bitsr
from bitsr.artifact.artifact import read_artifact
from bitsr.common.errors import BitsrError
from bitsr.export.errors import ExportError
from bitsr.export.export import export_model
from bitsr.inference.tiled import to_8bit
from bitsr.runtime import KERNEL_VARIABLE, RuntimeLibraryError, find_library, isa_names
from bitsr.runtime.capi import NCHW, NHWC, Options, Tensor, check, library
from bitsr.runtime.core import CoreNetwork
from bitsr.runtime.network import from_levels, to_levels
from bitsr.training.models import create_model

MODEL = "ebsr_light_plus_tiny_x3"
FORMATS = ("pte", "tflite")
MAX_SIDE, PICTURES, SEED = 40, 5, 23
UINT8 = 3  # BITSR_UINT8
Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Both artifacts of each type."""
    made = {}
    for io in ("float32", "uint8"):
        made[io] = tmp_path_factory.mktemp(io)
        export_model(MODEL, output=made[io], formats=FORMATS, max_pixels=MAX_SIDE**2, io=io)  # type: ignore[arg-type]
    return made


def pictures() -> list[Pixels]:
    rng = np.random.default_rng(SEED)
    return [rng.integers(0, 256, (*rng.integers(1, MAX_SIDE, 2), 3), dtype=np.uint8) for _ in range(PICTURES)]


@pytest.fixture(scope="module")
def expected(folders: dict[str, Path]) -> list[Pixels]:
    session = bitsr.load(folders["float32"] / f"{MODEL}.tflite")
    assert session.info.runtime == "core"
    return [session.upscale(rgb) for rgb in pictures()]


def test_the_metadata_say_it(folders: dict[str, Path]) -> None:
    for io, folder in folders.items():
        for kind in FORMATS:
            info = read_artifact(folder / f"{MODEL}.{kind}")
            assert (info.dtype, info.blob_version) == (io, 2)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("isa", isa_names())
def test_the_same_picture(
    kind: str, isa: str, folders: dict[str, Path], expected: list[Pixels], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(KERNEL_VARIABLE, isa)
    for runtime in ("core", kind):
        session = bitsr.load(folders["uint8"] / f"{MODEL}.{kind}", runtime=runtime)
        for rgb, wanted in zip(pictures(), expected, strict=True):
            assert np.array_equal(session.upscale(rgb), wanted), (runtime, rgb.shape)


def test_in_litert_itself(folders: dict[str, Path], expected: list[Pixels]) -> None:
    """Bytes go in and come out, without a conversion around."""
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    try:
        delegate = interpreter.load_delegate(str(find_library("libbitsr_tflite.so")))
    except RuntimeLibraryError as error:
        pytest.skip(str(error))
    path = str(folders["uint8"] / f"{MODEL}.tflite")
    network = interpreter.Interpreter(model_path=path, experimental_delegates=[delegate])
    (given,), (made,) = network.get_input_details(), network.get_output_details()
    assert given["dtype"] is made["dtype"] is np.uint8
    for rgb, wanted in zip(pictures(), expected, strict=True):
        network.resize_tensor_input(given["index"], (1, *rgb.shape))
        network.allocate_tensors()
        network.set_tensor(given["index"], rgb[None])
        network.invoke()
        assert np.array_equal(network.get_tensor(made["index"])[0], wanted)


@pytest.mark.parametrize("io", ["float32", "uint8"])
@pytest.mark.parametrize("layout", [NCHW, NHWC], ids=["NCHW", "NHWC"])
def test_bytes_through_the_c_abi(io: str, layout: int, folders: dict[str, Path], expected: list[Pixels]) -> None:
    """Of both artifacts: the type of a caller's memory is its own matter."""
    content, native = (folders[io] / f"{MODEL}.tflite").read_bytes(), library()
    handle, options = ctypes.c_void_p(), Options(size=ctypes.sizeof(Options), threads=1, isa=b"auto", runtime=b"core")
    check(native.bitsr_open_memory(content, len(content), None, options, ctypes.byref(handle)))
    for rgb, wanted in zip(pictures(), expected, strict=True):
        made = np.empty_like(wanted)
        given, result = ((a if layout == NHWC else a.transpose(2, 0, 1).copy()) for a in (rgb, made))
        tensors = []
        for values, (height, width, channels) in ((given, rgb.shape), (result, made.shape)):
            sides = (ctypes.c_int64 * 4)(1, channels, height, width)
            tensors.append(Tensor(values.ctypes.data, values.nbytes, UINT8, layout, 4, sides))
        check(native.bitsr_run(handle, tensors[0], 1, tensors[1]))
        assert np.array_equal(result if layout == NHWC else result.transpose(1, 2, 0), wanted)
    native.bitsr_close(handle)


@pytest.mark.parametrize("kind", FORMATS)
def test_in_the_runner(kind: str, folders: dict[str, Path], expected: list[Pixels], tmp_path: Path) -> None:
    runner = Path("build/native/runner/bitsr-run")
    if not runner.exists():
        pytest.skip("bitsr-run is not built (make build)")
    rgb, wanted = pictures()[0], expected[0]
    header = f"P6\n{rgb.shape[1]} {rgb.shape[0]}\n255\n".encode()
    (tmp_path / "in.ppm").write_bytes(header + rgb.tobytes())
    for runtime in ("core", "framework"):
        command = [runner, folders["uint8"] / f"{MODEL}.{kind}", "--runtime", runtime, "--warmup", "0", "--runs", "1"]
        done = subprocess.run(
            [*map(str, command), "--input", str(tmp_path / "in.ppm"), "--output", str(tmp_path / "out.ppm")],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "out.ppm").read_bytes().endswith(wanted.tobytes()), runtime


def test_floats_are_rounded(folders: dict[str, Path]) -> None:
    """A framework's network of uint8 takes floats too, as those of 8 bits that are next to them."""
    x = np.random.default_rng(SEED).random((1, 3, 9, 8), dtype=np.float32)
    path = folders["uint8"] / f"{MODEL}.tflite"
    whole = CoreNetwork(path).run(from_levels(to_levels(x)))
    for kind in FORMATS:
        session = bitsr.load(folders["uint8"] / f"{MODEL}.{kind}", runtime=kind)
        assert np.array_equal(to_8bit(session.run(x)[0]), to_8bit(whole[0]))


def test_networks_of_other_ops_are_refused(tmp_path: Path) -> None:
    for kind in FORMATS:
        with pytest.raises(ExportError, match="ops that are not ours"):
            export_model(create_model("test_srresnet_x2"), output=tmp_path, formats=(kind,), io="uint8")
    assert not list(tmp_path.iterdir())


def test_a_type_that_the_metadata_do_not_know(folders: dict[str, Path], tmp_path: Path) -> None:
    """C++ and Python refuse it, as they do all metadata that were changed."""
    for name in (f"{MODEL}.pte", f"{MODEL}.json"):
        shutil.copy(folders["uint8"] / name, tmp_path)
    text = json.loads((tmp_path / f"{MODEL}.json").read_text())
    (tmp_path / f"{MODEL}.json").write_text(json.dumps({**text, "dtype": "int4"}))
    with pytest.raises(BitsrError, match="dtype"):
        read_artifact(tmp_path / f"{MODEL}.pte")
