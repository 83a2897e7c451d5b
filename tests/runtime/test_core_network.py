"""Artifacts in the core alone: the pixels of the frameworks, and files that are no network of ours."""

import random
import re
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import bitsr
from bitsr.cli import main
from bitsr.common.errors import UsageError
from bitsr.runtime import isa_names
from bitsr.runtime.capi import NativeError, NeedsFrameworkError
from bitsr.runtime.core import CoreNetwork

SIZES = [(1, 1), (1, 9), (2, 3), (17, 23), (64, 64)]
FORMATS = ["pte", "tflite"]
MUTATIONS = 1000


def picture(height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(height * width).random((1, 3, height, width), dtype=np.float32)


@pytest.fixture(scope="module")
def eager(alone_artifacts: dict[str, Path]) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    import torch

    from tests.runtime.conftest import our_network

    network = our_network()

    def run(x: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.no_grad():
            return np.asarray(network(torch.from_numpy(x)).numpy())

    return run


@pytest.mark.parametrize("kind", FORMATS)
def test_every_instruction_set_and_thread_count_gives_the_bits_of_pytorch(
    alone_artifacts: dict[str, Path], eager: Callable[..., Any], kind: str
) -> None:
    for kernel in isa_names():
        for threads in (1, 2, 3):
            network = CoreNetwork(alone_artifacts[kind], kernel=kernel, threads=threads)
            assert (network.channels, network.size) == (3, (0, 0))
            for size in SIZES:
                x = picture(*size)
                assert np.array_equal(network.run(x), eager(x)), (kernel, threads, size)


def test_an_emulated_arm64_gives_the_same_bits(
    alone_artifacts: dict[str, Path], eager: Callable[..., Any], native: Any, tmp_path: Path
) -> None:
    program, sysroot = native.root / "build" / "arm64" / "runner" / "bitsr-run", Path("/usr/aarch64-linux-gnu")
    emulator = shutil.which(native.emulator)
    if emulator is None or not program.is_file() or not sysroot.is_dir():
        pytest.skip("needs QEMU, g++-aarch64-linux-gnu and `make arm64`")
    x = picture(17, 23)
    (tmp_path / "in.f32").write_bytes(x.tobytes())
    for path in alone_artifacts.values():
        for processor in ("cortex-a53", "cortex-a76"):  # without and with dot products
            command = [emulator, "-cpu", processor, "-L", sysroot, program, path, "--runtime", "core", "--threads", "2"]
            command += ["--input", tmp_path / "in.f32", "--shape", "1,3,17,23", "--output", tmp_path / "out.f32"]
            native.run(*command)
            assert np.array_equal(np.fromfile(tmp_path / "out.f32", np.float32).reshape(1, 3, 34, 46), eager(x))


def test_the_frameworks_give_the_same_bits(alone_artifacts: dict[str, Path]) -> None:
    from bitsr.runtime.litert import TfliteNetwork
    from bitsr.runtime.pte import PteNetwork

    networks = [
        TfliteNetwork(alone_artifacts["tflite"]),
        PteNetwork(alone_artifacts["pte"]),
        *(CoreNetwork(path) for path in alone_artifacts.values()),
    ]
    for size in SIZES:
        first, *others = (network.run(picture(*size)) for network in networks)
        assert all(np.array_equal(first, other) for other in others), size


def test_what_does_not_fit_is_refused(alone_artifacts: dict[str, Path], tmp_path: Path) -> None:
    network = CoreNetwork(alone_artifacts["tflite"], threads=1)
    x = picture(3, 4)
    for wrong in (x[0], x[:, :2].copy(), x.astype(np.float64), x[:, :, :0]):
        with pytest.raises(NativeError, match="takes a float32"):
            network.run(wrong)
    with pytest.raises(NativeError, match="takes one input"):
        network.run(x, x)
    with pytest.raises(NativeError, match="cannot read"):
        CoreNetwork(tmp_path / "none.tflite")
    for content in (b"", b"no artifact", b"\x00" * 64):
        with pytest.raises(NativeError, match=r"neither a \.pte nor a \.tflite"):
            CoreNetwork(content)


def test_a_session_takes_the_core_where_it_can(alone_artifacts: dict[str, Path]) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (19, 31, 3), np.uint8)
    results = {}
    for kind, path in alone_artifacts.items():
        for runtime, used in ((None, "core"), ("core", "core"), (kind, kind)):
            with bitsr.load(path, runtime=runtime) as session:
                assert session.info.runtime == used
                results[kind, runtime] = session.upscale(pixels)
        with pytest.raises(UsageError, match="runs in the core"):
            bitsr.load(path, runtime="eager")
    first, *others = results.values()
    assert all(np.array_equal(first, other) for other in others)


def test_the_command_line_asks_for_the_core(
    alone_artifacts: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = np.random.default_rng(4).integers(0, 256, (9, 7, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "in.png")
    for runtime in ("core", "tflite"):
        arguments = ["upscale", str(tmp_path / "in.png"), str(tmp_path / f"{runtime}.png"), "-j", "2"]
        assert main([*arguments, "-m", str(alone_artifacts["tflite"]), "--runtime", runtime]) == 0
        assert "has no effect" not in capsys.readouterr().err
    assert (tmp_path / "core.png").read_bytes() == (tmp_path / "tflite.png").read_bytes()


@pytest.fixture(scope="module")
def raw(alone_artifacts: dict[str, Path]) -> dict[str, bytes]:
    """The files without metadata, so that a change in them is met by the reader of programs."""
    from bitsr.artifact.flatbuffer import pack, parse_model

    model = parse_model(alone_artifacts["tflite"].read_bytes(), name="it")
    model.metadata = None
    return {"pte": alone_artifacts["pte"].read_bytes(), "tflite": pack(model)}


def changed_model(content: bytes, change: Callable[[Any], None]) -> bytes:
    from bitsr.artifact.flatbuffer import pack, parse_model

    model = parse_model(content, name="it")
    change(model)
    return pack(model)


def multiply(model: Any) -> None:
    for code in model.operatorCodes:
        if code.customCode is None:
            code.builtinCode = code.deprecatedBuiltinCode = 18


def rename(model: Any) -> None:
    next(code for code in model.operatorCodes if code.customCode).customCode = b"Foreign\x1bConv"


def activate(model: Any) -> None:
    next(op for op in model.subgraphs[0].operators if op.builtinOptions).builtinOptions.fusedActivationFunction = 1


def broadcast(model: Any) -> None:
    graph = model.subgraphs[0]
    add = next(op for op in graph.operators if op.builtinOptions)
    graph.tensors[int(add.inputs[0])].shapeSignature = np.array([1, 1, 1, 70], np.int32)


def two_outputs(model: Any) -> None:
    graph = model.subgraphs[0]
    graph.outputs = np.array([graph.outputs[0], graph.operators[0].outputs[0]], np.int32)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (multiply, "it has MUL, which"),
        (rename, re.escape("it has Foreign?Conv, which")),
        (activate, "it has ADD, which"),
        (broadcast, "it has ADD, which"),
        (two_outputs, "it has 1 inputs and 2 outputs"),
    ],
)
def test_a_tflite_with_other_ops_needs_its_framework(
    raw: dict[str, bytes], change: Callable[[Any], None], words: str
) -> None:
    with pytest.raises(NeedsFrameworkError, match=f"my.tflite is not for the core alone: {words}.*LiteRT runs it"):
        CoreNetwork(changed_model(raw["tflite"], change), name="my.tflite")


def test_a_pte_of_another_delegate_needs_its_framework(raw: dict[str, bytes]) -> None:
    content = raw["pte"].replace(b"BitsrBackend", b"OtherBackend")
    with pytest.raises(NeedsFrameworkError, match=r"it has OtherBackend, which.*ExecuTorch runs it"):
        CoreNetwork(content, name="my.pte")


def newer_options(model: Any) -> None:
    for op in model.subgraphs[0].operators:
        if op.customOptions is not None:
            options = bytes(op.customOptions)
            assert options.count(b"\x02") >= 1
            op.customOptions = np.frombuffer(options.replace(b"version", b"Version"), np.uint8)


def read_before_written(model: Any) -> None:
    model.subgraphs[0].operators.reverse()


def short_weights(model: Any) -> None:
    graph = model.subgraphs[0]
    for tensor in graph.operators[0].inputs[1:]:
        buffer = model.buffers[graph.tensors[int(tensor)].buffer]
        if buffer.data is not None:
            buffer.data = buffer.data[:-4]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (newer_options, "its options have no version"),
        (read_before_written, "export the model again"),
        (short_weights, r"constant \w+ has \d+ bytes, expected \d+"),
        (lambda model: setattr(model, "version", 4), "schema has version 4, this library reads version 3; update"),
        (lambda model: setattr(model, "version", 2), "schema has version 2, .* export the model again"),
    ],
)
def test_a_damaged_or_newer_tflite_says_what_to_do(
    raw: dict[str, bytes], change: Callable[[Any], None], words: str
) -> None:
    with pytest.raises(NativeError, match=f"my.tflite does not load: .*{words}") as caught:
        CoreNetwork(changed_model(raw["tflite"], change), name="my.tflite")
    assert not isinstance(caught.value, NeedsFrameworkError)


def test_a_damaged_or_newer_pte_says_what_to_do(raw: dict[str, bytes]) -> None:
    content = raw["pte"]
    blob = content.index(b"BSRP")
    for changed, words in (
        (content[:4] + b"ET13" + content[8:], "version 'ET13', this library reads 'ET12'; update bitsr"),
        (content[:4] + b"ET11" + content[8:], "version 'ET11', .* export the model again"),
        (content.replace(b"forward", b"forwart"), "methods"),
        (content[:blob] + b"BSRQ" + content[blob + 4 :], "this is no bitsr program"),
        (content[: blob + 4] + struct.pack("<I", 99) + content[blob + 8 :], "version 99"),
    ):
        with pytest.raises(NativeError, match=words):
            CoreNetwork(changed, name="my.pte")


@pytest.mark.parametrize("kind", FORMATS)
def test_no_change_of_a_file_does_harm(raw: dict[str, bytes], kind: str) -> None:
    """Cut or with other bytes, it loads or is refused; `runtime/fuzz/fuzz_artifact.cpp` does the same for long."""
    content, generator, x = raw[kind], random.Random(5), picture(5, 6)
    errors = []
    for number in range(MUTATIONS):
        changed = bytearray(content)
        if number % 10 == 0:
            del changed[generator.randrange(len(changed)) :]
        else:
            for _ in range(generator.choice((1, 1, 4))):
                # The tables are a small part of the file, at either end of it.
                place = generator.randrange(1500) * generator.choice((1, -1))
                changed[place] = generator.choice((0, 1, 127, 255, generator.randrange(256)))
        try:
            CoreNetwork(bytes(changed), threads=1, kernel="portable").run(x)
        except NativeError as error:
            errors.append(str(error))
    assert all(errors)
    assert len(errors) > MUTATIONS // 10
