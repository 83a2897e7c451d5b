"""The .tflite file: its ops, alignment, metadata and partitions."""

import socket
from pathlib import Path

import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter, load_delegate

from bitsr.artifact.artifact import read_artifact
from bitsr.artifact.flatbuffer import graph_ops
from bitsr.artifact.tflite import METADATA
from bitsr.common.errors import ArtifactError, UsageError
from bitsr.export.delegation import OURS
from bitsr.export.export import STOCK_OPS, ExportResult, export_model
from bitsr.runtime import TFLITE_LIBRARY, find_library
from bitsr.training.models import SuperResolutionModel

CUSTOM_OPS = {
    "BitsrBinaryConv2d",
    "BitsrChannelGate",
    "BitsrPixelShuffle",
    "BitsrQuantizedConv2d",
    "BitsrSpatialGate",
}
PLAIN_OPS = {
    "ADD",
    "CONCATENATION",
    "CONV_2D",
    "DEPTH_TO_SPACE",
    "EQUAL",
    "FULLY_CONNECTED",
    "GATHER",
    "GREATER_EQUAL",
    "LESS",
    "LOGISTIC",
    "MAXIMUM",
    "MEAN",
    "MINIMUM",
    "MUL",
    "RANGE",
    "RELU",
    "RESHAPE",
    "ROUND",
    "SELECT_V2",
    "SHAPE",
    "STRIDED_SLICE",
    "SUB",
}


def content(exported: ExportResult, item: str = "tflite") -> bytes:
    return exported.files[item].path.read_bytes()


def test_only_our_ops_and_an_addition(ebsr_export: ExportResult) -> None:
    ops = graph_ops(content(ebsr_export), name="it")
    names = [op.name for op in ops]
    assert set(names) == CUSTOM_OPS | {"ADD"}
    assert names.count("BitsrQuantizedConv2d") == 2
    assert names.count("BitsrBinaryConv2d") == ebsr_export.binary_layers
    assert {op.name for op in ops if op.custom} == CUSTOM_OPS


def test_the_conversion_needs_no_network(ebsr_export: ExportResult, connections: list[object]) -> None:
    assert ebsr_export.files["tflite"].path.is_file()
    assert connections == []


def test_onnx2tf_shows_its_user_no_downloaded_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would fetch one for every network with an input of three channels and a fixed size."""
    import bitsr.export.tflite.lower  # noqa: F401 (the order in which it imports matters)
    from bitsr.export.tflite.onnx2tf_ops import onnx2tf, plugins

    def refuse(*arguments: object, **_: object) -> None:
        raise AssertionError(f"connected to {arguments}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    with plugins(fused=True):
        assert onnx2tf.onnx2tf.download_test_image_data().shape[-1] == 3


def test_the_file_in_stock_ops_has_no_others(ebsr_export: ExportResult) -> None:
    ops = graph_ops(content(ebsr_export, STOCK_OPS), name="it")
    assert not any(op.custom for op in ops)
    assert {op.name for op in ops} <= PLAIN_OPS


def test_height_and_width_are_dynamic(ebsr_export: ExportResult) -> None:
    for item in ("tflite", STOCK_OPS):
        graph = schema.ModelT.InitFromPackedBuf(content(ebsr_export, item)).subgraphs[0]
        (taken,), (given,) = graph.inputs, graph.outputs
        assert list(graph.tensors[taken].shapeSignature) == [1, -1, -1, 3]
        assert list(graph.tensors[given].shapeSignature) == [1, -1, -1, 3]


def test_constants_are_aligned_to_64_bytes(ebsr_export: ExportResult) -> None:
    data = content(ebsr_export)
    model = schema.Model.GetRootAs(data, 0)
    offsets = []
    for index in range(model.BuffersLength()):
        buffer = model.Buffers(index)
        if buffer.DataLength():
            offsets.append(buffer._tab.Vector(buffer._tab.Offset(4)))
    assert len(offsets) > 10
    assert all(offset % 64 == 0 for offset in offsets)


def test_nothing_is_stored_that_nobody_reads(ebsr_export: ExportResult) -> None:
    model = schema.ModelT.InitFromPackedBuf(content(ebsr_export))
    graph = model.subgraphs[0]
    named = {*graph.inputs, *graph.outputs}
    assert all(bool(tensor.name) == (number in named) for number, tensor in enumerate(graph.tensors))
    assert not any(tensor.quantization for tensor in graph.tensors)
    constants = [bytes(buffer.data) for buffer in model.buffers if buffer.data is not None]
    large = [data for data in constants if len(data) > 64]
    assert len(set(large)) == len(large)


def test_weights_take_a_bit_each(ebsr_export: ExportResult) -> None:
    model = schema.ModelT.InitFromPackedBuf(content(ebsr_export))
    graph = model.subgraphs[0]
    packed = [t for t in graph.tensors if t.type == schema.TensorType.INT64]
    assert len(packed) == ebsr_export.binary_layers
    # 8 channels are one 64-bit word a tap: (planes, Co, k, k, words).
    assert [list(tensor.shape) for tensor in packed] == [[1, 8, 3, 3, 1]] * len(packed)


def test_the_metadata_says_what_a_sidecar_says(ebsr_export: ExportResult) -> None:
    tflite, pte = ebsr_export.files["tflite"], ebsr_export.files["pte"]
    info = read_artifact(tflite.path)
    assert info == tflite.info
    assert (info.kind, info.layout, info.artifact_bytes) == ("tflite", "NHWC", tflite.path.stat().st_size)
    same = {"kind", "layout", "artifact_bytes", "artifact_sha256", "metadata_sha256", "versions"}
    said, beside = info.fields(), pte.info.fields()
    assert {said[name] == beside[name] or name for name in said.keys() - same} == {True}
    model = schema.ModelT.InitFromPackedBuf(tflite.path.read_bytes())
    assert [entry.name for entry in model.metadata].count(METADATA.encode()) == 1


def test_a_changed_byte_anywhere_is_refused(ebsr_export: ExportResult, tmp_path: Path) -> None:
    data = bytearray(content(ebsr_export))
    path = tmp_path / "net.tflite"
    for position in range(9, len(data), len(data) // 40):
        changed = bytes([*data[:position], data[position] ^ 0x10, *data[position + 1 :]])
        path.write_bytes(changed)
        with pytest.raises(ArtifactError, match=r"net\.tflite"):
            read_artifact(path)


def test_a_truncated_file_is_refused(ebsr_export: ExportResult, tmp_path: Path) -> None:
    data = content(ebsr_export)
    path = tmp_path / "net.tflite"
    for size in (0, 3, 8, 100, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(ArtifactError, match=r"export the model again"):
            read_artifact(path)


def test_the_delegate_makes_the_partitions_of_the_table(ebsr_export: ExportResult) -> None:
    table = ebsr_export.files["tflite"].table
    assert table.partitions[OURS] == 1
    assert not table.not_lowered()
    counts = {row.op: row.count for row in table.rows if row.place == OURS}
    kinds = ("binary_conv2d", "channel_gate", "spatial_gate")
    ends = {"bitsr::quantized_conv2d": 2, "bitsr::pixel_shuffle": 1}
    assert counts == {**{f"bitsr::{kind}": 4 for kind in kinds}, **ends, "aten::add": 1}
    interpreter = Interpreter(
        model_content=content(ebsr_export), experimental_delegates=[load_delegate(str(find_library(TFLITE_LIBRARY)))]
    )

    def delegates() -> int:
        return sum(details["op_name"] == "DELEGATE" for details in interpreter._get_ops_details())

    assert delegates() == 1  # XNNPACK joins with the memory
    interpreter.allocate_tensors()
    assert delegates() == sum(table.partitions.values())


def test_stock_ops_need_a_tflite(ebsr: SuperResolutionModel, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="add tflite"):
        export_model(ebsr, output=tmp_path, formats=("pte",), stock_ops=True)
