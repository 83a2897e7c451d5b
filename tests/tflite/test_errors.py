"""Broken models, options and missing libraries: a clear error, never a crash."""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ai_edge_litert import schema_py_generated as schema
from flatbuffers import flexbuffers
from torch import Tensor

from bitsr.artifact.flatbuffer import pack
from bitsr.artifact.program import CUSTOM_OPS_VERSION as VERSION
from bitsr.common.errors import UsageError
from bitsr.export.export import ExportResult
from bitsr.export.verification import run_tensors
from bitsr.runtime import DIRECTORY_VARIABLE, KERNEL_VARIABLE, RuntimeLibraryError
from bitsr.runtime.litert import INTERPRETERS, TfliteError, TfliteNetwork


@pytest.fixture
def model(ebsr_bodies: tuple[Any, ExportResult]) -> Any:
    """The body of EBSR+ as an object of the schema, to be broken."""
    return schema.ModelT.InitFromPackedBuf(ebsr_bodies[1].files["tflite"].path.read_bytes())


def op_of(model: Any, name: str) -> Any:
    for op in model.subgraphs[0].operators:
        if model.operatorCodes[op.opcodeIndex].customCode == name.encode():
            return op
    raise AssertionError(name)


def options_of(op: Any) -> dict[str, int]:
    return flexbuffers.Loads(bytearray(op.customOptions))


def set_options(op: Any, options: dict[str, Any]) -> None:
    op.customOptions = np.frombuffer(bytes(flexbuffers.Dumps(options)), np.uint8)


def run(model: Any, x: Tensor, interpreter: str = "litert") -> Tensor:
    return run_tensors(TfliteNetwork(pack(model), interpreter=interpreter), x)


@pytest.fixture
def features(make_map: Callable[..., Tensor]) -> Tensor:
    return make_map(6, 7, channels=8)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_options_of_another_version(model: Any, features: Tensor, interpreter: str) -> None:
    for version, advice in ((VERSION + 1, "update bitsr"), (0, "export the model again")):
        op = op_of(model, "BitsrBinaryConv2d")
        set_options(op, {**options_of(op), "version": version})
        with pytest.raises(TfliteError, match=f"version {version}.*version {VERSION}; {advice}"):
            run(model, features, interpreter)


@pytest.mark.parametrize("name", ["BitsrBinaryConv2d", "BitsrChannelGate", "BitsrSpatialGate"])
def test_missing_wrong_and_negative_options(model: Any, features: Tensor, name: str) -> None:
    op = op_of(model, name)
    good = options_of(op)
    for key in good:
        for wrong in (None, -1, 2**31, "text"):
            options = {k: v for k, v in good.items() if k != key}
            if wrong is not None:
                options[key] = wrong
            set_options(op, options)
            with pytest.raises(TfliteError, match="bitsr: "):
                run(model, features)
    set_options(op, good)
    assert run(model, features).shape == features.shape


def test_random_options_never_crash(model: Any, features: Tensor) -> None:
    op = op_of(model, "BitsrBinaryConv2d")
    good = bytes(op.customOptions)
    source = random.Random(0)
    refused = 0
    for _ in range(150):
        data = bytearray(good)
        for _ in range(source.randint(1, 4)):
            data[source.randrange(len(data))] = source.randrange(256)
        data = data[: source.choice([len(data), source.randrange(len(data) + 1)])]
        op.customOptions = np.frombuffer(bytes(data), np.uint8)
        try:
            run(model, features)
        except TfliteError:
            refused += 1
    assert refused > 50


def test_a_constant_of_the_wrong_size(model: Any, features: Tensor) -> None:
    graph = model.subgraphs[0]
    op = op_of(model, "BitsrBinaryConv2d")
    # A tensor of its own, so that a shared constant does not break another op first.
    weights = graph.tensors[next(i for i in op.inputs if graph.tensors[i].type == schema.TensorType.INT64)]
    weights.shape = np.array([1, 8, 3, 1, 1], np.int32)
    data = model.buffers[weights.buffer].data
    model.buffers[weights.buffer].data = data[: len(data) // 3]
    with pytest.raises(TfliteError, match="weight"):
        run(model, features)


def test_an_operand_too_few(model: Any, features: Tensor) -> None:
    op = op_of(model, "BitsrSpatialGate")
    op.inputs = op.inputs[:-1]
    with pytest.raises(TfliteError, match="operands are missing"):
        run(model, features)


def test_an_op_that_a_later_bitsr_may_have(model: Any, features: Tensor) -> None:
    for code in model.operatorCodes:
        if code.customCode == b"BitsrSpatialGate":
            code.customCode = b"BitsrSpatialGate2"
    with pytest.raises(TfliteError, match=r"BitsrSpatialGate2.*update bitsr"):
        run(model, features)


@pytest.mark.parametrize("interpreter", INTERPRETERS)
def test_without_the_delegate_the_error_says_how_to_load_it(ebsr_export: ExportResult, interpreter: str) -> None:
    path = ebsr_export.files["tflite"].path
    with pytest.raises(TfliteError, match=r"libbitsr_tflite\.so to load_delegate\(\).*--stock-ops"):
        run_tensors(TfliteNetwork(path, delegate=False, interpreter=interpreter), torch.zeros(1, 3, 4, 4))


def test_a_missing_library(ebsr_export: ExportResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DIRECTORY_VARIABLE, str(tmp_path))
    with pytest.raises(RuntimeLibraryError, match=r"libbitsr_tflite\.so was not found in .*make build"):
        TfliteNetwork(ebsr_export.files["tflite"].path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel": "fast"}, "kernel is 'fast': expected one of auto, .*portable"),
        ({"threads": "-1"}, "threads is '-1': expected a number from 0 to 256"),
        ({"threads": "two"}, "expected a number"),
        ({"verbose": "yes"}, "expected 0 or 1"),
        ({"speed": "1"}, "no such option; expected kernel, threads or verbose"),
    ],
)
def test_wrong_options_of_the_delegate(ebsr_export: ExportResult, options: dict[str, str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        TfliteNetwork(ebsr_export.files["tflite"].path, options=options)


def test_a_wrong_kernel_in_the_environment(ebsr_export: ExportResult, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KERNEL_VARIABLE, "fast")
    with pytest.raises(UsageError, match="BITSR_KERNEL is 'fast'"):
        TfliteNetwork(ebsr_export.files["tflite"].path)


def test_verbose_names_kernel_and_threads(ebsr_export: ExportResult, capfd: pytest.CaptureFixture[str]) -> None:
    options = {"kernel": "portable", "threads": "3", "verbose": "1"}
    TfliteNetwork(ebsr_export.files["tflite"].path, options=options)
    assert "partition of 16 ops, 1 inputs, 1 outputs, kernel portable, threads 3" in capfd.readouterr().err


def test_a_size_or_type_that_the_network_does_not_take(
    ebsr_export: ExportResult, make_map: Callable[..., Tensor]
) -> None:
    network = TfliteNetwork(ebsr_export.files["tflite"].path)
    with pytest.raises(TfliteError, match=r"takes a float32 \(1, 3, H, W\)"):
        run_tensors(network, make_map(4, 4, channels=4))
    with pytest.raises(TfliteError, match="float64"):
        run_tensors(network, make_map(4, 4).double())
    assert run_tensors(network, make_map(4, 5)).shape == (1, 3, 8, 10)


def test_bytes_that_are_no_tflite() -> None:
    with pytest.raises(TfliteError, match="can not be loaded"):
        TfliteNetwork(b"no model at all")
