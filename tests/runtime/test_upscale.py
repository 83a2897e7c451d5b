"""bitsr_upscale (runtime/capi) gives the pixels of bitsr.inference.upscale for the same artifact."""

import ctypes
import importlib.resources
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bitsr.cli import main
from bitsr.common.pictures import Picture, write_picture
from bitsr.inference.load import load
from bitsr.inference.session import Session
from bitsr.inference.upscale import upscale_rows
from bitsr.runtime import TFLITE_LIBRARY, RuntimeLibraryError, find_library
from bitsr.runtime.capi import check, library

SCALE = 2
Pixels = NDArray[np.uint8]
_Rows = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64, ctypes.POINTER(ctypes.c_uint8), ctypes.c_int64
)
_Progress = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class Options(ctypes.Structure):
    """``bitsr_options``."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("threads", ctypes.c_int32),
        ("isa", ctypes.c_char_p),
        ("litert", ctypes.c_char_p),
        ("delegate", ctypes.c_char_p),
        ("pte", ctypes.c_char_p),
        ("runtime", ctypes.c_char_p),
    )


class Image(ctypes.Structure):
    """``bitsr_image``."""

    _fields_ = (
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
        ("width", ctypes.c_int64),
        ("height", ctypes.c_int64),
        ("stride", ctypes.c_int64),
        ("channels", ctypes.c_int32),
    )


class UpscaleOptions(ctypes.Structure):
    """``bitsr_upscale_options``."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("tile_pixels", ctypes.c_int64),
        ("context", ctypes.c_void_p),
        ("progress", _Progress),
        ("rows", _Rows),
    )


def image(pixels: Pixels) -> Image:
    """The memory of (H, W, C), whose rows may lie apart."""
    height, width, channels = pixels.shape
    stride = pixels.strides[0]
    return Image(pixels.ctypes.data, (height - 1) * stride + width * channels, width, height, stride, channels)


class NativeSession:
    """A session of the C ABI, as far as these tests need one."""

    def __init__(self, path: Path, *, runtime: str) -> None:
        options = Options(ctypes.sizeof(Options), 1, b"auto", None, None, None, runtime.encode())
        if runtime == "core":
            pass  # no library but ours
        elif path.suffix == ".tflite":
            litert = Path(str(importlib.resources.files("ai_edge_litert"))) / "libLiteRt.so"
            options.litert, options.delegate = str(litert).encode(), str(find_library(TFLITE_LIBRARY)).encode()
        else:
            options.pte = str(find_library("libbitsr_pte.so")).encode()
        self._library = library()
        self.handle = ctypes.c_void_p()
        check(self._library.bitsr_open(str(path).encode(), ctypes.byref(options), ctypes.byref(self.handle)))

    def upscale(self, pixels: Pixels, *, tile_pixels: int) -> Pixels:
        """Into memory whose rows lie apart."""
        height, width, channels = pixels.shape
        memory = np.zeros((SCALE * height, SCALE * width + 3, channels), np.uint8)
        result = memory[:, : SCALE * width]
        options = UpscaleOptions(ctypes.sizeof(UpscaleOptions), tile_pixels)
        source, target = image(pixels), image(result)
        call = self._library.bitsr_upscale
        check(call(self.handle, ctypes.byref(source), ctypes.byref(target), ctypes.byref(options)))
        assert not memory[:, SCALE * width :].any()
        return result

    def upscale_rows(self, pixels: Pixels, *, tile_pixels: int) -> list[Pixels]:
        """Row of tiles by row of tiles; they come in order."""
        parts: list[Pixels] = []

        def take(_: None, top: int, count: int, rows: "ctypes._Pointer[ctypes.c_uint8]", stride: int) -> int:
            assert top == sum(len(part) for part in parts)
            array = np.ctypeslib.as_array(rows, (count, stride)).copy()
            parts.append(array.reshape(count, SCALE * pixels.shape[1], pixels.shape[2]))
            return 0

        options = UpscaleOptions(ctypes.sizeof(UpscaleOptions), tile_pixels, None, _Progress(), _Rows(take))
        source = image(pixels)
        check(self._library.bitsr_upscale(self.handle, ctypes.byref(source), None, ctypes.byref(options)))
        return parts

    def close(self) -> None:
        """End the session."""
        self._library.bitsr_close.argtypes = (ctypes.c_void_p,)
        self._library.bitsr_close(self.handle)


@pytest.fixture(scope="module", params=["pte framework", "tflite framework", "tflite core"])
def kind_and_runtime(request: pytest.FixtureRequest) -> tuple[str, str]:
    kind, runtime = request.param.split()
    return kind, runtime


@pytest.fixture(scope="module")
def artifact(kind_and_runtime: tuple[str, str], artifacts: dict[str, Path], alone_artifacts: dict[str, Path]) -> Path:
    kind, runtime = kind_and_runtime
    if runtime == "core":
        return alone_artifacts[kind]
    if kind not in artifacts:
        pytest.skip(f"no .{kind} here")
    try:
        library()
    except RuntimeLibraryError as error:
        pytest.skip(str(error))
    return artifacts[kind]


@pytest.fixture(scope="module")
def native_session(artifact: Path, kind_and_runtime: tuple[str, str]) -> Iterator[NativeSession]:
    session = NativeSession(artifact, runtime=kind_and_runtime[1])
    yield session
    session.close()


@pytest.fixture(scope="module")
def python_session(artifact: Path, kind_and_runtime: tuple[str, str]) -> Session:
    kind, runtime = kind_and_runtime
    return load(artifact, runtime="core" if runtime == "core" else kind)


def expected_of(session: Session, pixels: Pixels, *, tile_pixels: int) -> Pixels:
    """What Python gives; a picture without colour is grey there too."""
    channels = pixels.shape[2]
    colours = pixels[..., :1].repeat(3, axis=2) if channels < 3 else np.ascontiguousarray(pixels[..., :3])
    alpha = np.ascontiguousarray(pixels[..., -1]) if channels in (2, 4) else None
    picture = Picture(colours, alpha=alpha, grey=channels < 3)
    return np.concatenate(list(upscale_rows(session, picture, tile_pixels=tile_pixels)))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
@pytest.mark.parametrize(
    ("height", "width", "tile_pixels"),
    [(1, 1, 512 * 512), (37, 53, 512 * 512), (61, 90, 48 * 48), (90, 61, 40 * 64), (3, 200, 2000), (200, 3, 2000)],
)
def test_the_pixels_are_pythons(
    native_session: NativeSession, python_session: Session, channels: int, height: int, width: int, tile_pixels: int
) -> None:
    memory = np.random.default_rng(height + channels).integers(0, 256, (height, width + 2, channels), np.uint8)
    pixels = memory[:, :width]
    expected = expected_of(python_session, pixels, tile_pixels=tile_pixels)
    got = native_session.upscale(pixels, tile_pixels=tile_pixels)
    assert np.array_equal(got, expected)
    parts = native_session.upscale_rows(np.ascontiguousarray(pixels), tile_pixels=tile_pixels)
    assert np.array_equal(np.concatenate(parts), expected)
    assert len(parts) > 1 or (height, width) != (90, 61)


@pytest.mark.parametrize("kind", ["pte", "tflite"])
def test_a_tile_larger_than_the_artifact_takes_is_named(
    kind: str, artifacts: dict[str, Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    write_picture(tmp_path / "a.png", Picture(np.zeros((8, 9, 3), np.uint8)))
    for tile, remark in (("2000", True), ("100", False)):
        words = ["upscale", tmp_path / "a.png", tmp_path / f"{tile}.png", "-m", artifacts[kind], "--tile", tile]
        capfd.readouterr()
        assert main([str(word) for word in words]) == 0
        said = capfd.readouterr().err
        assert ("--tile 2000 has no effect" in said) is remark
        assert ("takes tiles of at most 512x512 pixels" in said) is remark


def test_threads_that_a_runtime_does_not_take_are_named(
    artifacts: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    for kind, path in artifacts.items():
        caplog.clear()
        load(path, runtime=kind, threads=2).close()
        assert ("threads=2 has no effect" in caplog.text) is (kind == "pte")
