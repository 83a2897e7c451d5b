"""Partitions, program blobs and refusals; nothing here needs the native library."""

import re
import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bitsr.artifact.program import OpKind, Program, read_program
from bitsr.export.delegation import OURS
from bitsr.export.deploy import FoldedBackbone, FusedBinaryConv2d, deploy_form, fold
from bitsr.export.errors import ExportError
from bitsr.export.executorch import lower as lowering
from bitsr.export.verification import run_tensors
from bitsr.training.models import SuperResolutionModel
from bitsr.training.models.swinir import FLOAT_PARTS, TINY, SwinIr

BINARY = ["test_ebsr_plus_x2", "test_e2fif_x3", "baseline", "spatial", "unfused", "fused"]


def programs(pte: bytes) -> list[Program]:
    """The program blobs in a .pte, in the order of their delegate calls."""
    found = []
    for match in re.finditer(b"BSRP", pte):
        (size,) = struct.unpack_from("<I", pte, match.start() + 8)
        found.append(read_program(pte[match.start() : match.start() + size]))
    return sorted(found, key=lambda program: program.ops[0].kind is OpKind.PIXEL_SHUFFLE)


@pytest.fixture(scope="module")
def lowered(build_model: Callable[[str], SuperResolutionModel]) -> Callable[[str], tuple[nn.Module, Any, list[str]]]:
    """Deploy form, what ``lower`` gives for it, and the types of the nodes that XNNPACK serialized; once per model."""
    import executorch.backends.xnnpack.xnnpack_preprocess as xnnpack

    cache: dict[str, tuple[nn.Module, Any, list[str]]] = {}

    def get(name: str) -> tuple[nn.Module, Any, list[str]]:
        if name not in cache:
            nodes: list[str] = []
            serialize = xnnpack.serialize_xnnpack_binary

            def record(graph: Any, constants: Any) -> bytes:
                nodes.extend(type(node.xnode_union).__name__ for node in graph.xnodes)
                return serialize(graph, constants)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(xnnpack, "serialize_xnnpack_binary", record)
                deployed = fold(build_model(name))
                cache[name] = deployed, lowering.lower(deployed, channels=3, max_pixels=64 * 64), nodes
        return cache[name]

    return get


@pytest.mark.parametrize("name", BINARY)
def test_the_body_is_one_partition(name: str, lowered: Callable[[str], tuple[nn.Module, Any, list[str]]]) -> None:
    deployed, result, xnnpack_nodes = lowered(name)
    body, shuffle = programs(result.content)
    layers = sum(isinstance(m, FusedBinaryConv2d) for m in deployed.modules())
    assert layers > 0
    assert sum(op.kind is OpKind.BINARY_CONV2D for op in body.ops) == layers
    assert body.ops[-1].kind is OpKind.ADD  # the skip around the body
    assert [op.kind for op in shuffle.ops] == [OpKind.PIXEL_SHUFFLE]
    assert result.table.partitions == {"XNNPACK": 2, OURS: 2}
    assert {row.place for row in result.table.rows} == {"XNNPACK", OURS}
    # The picture comes in as NCHW; no other transpose is left around the convolutions.
    assert [node for node in xnnpack_nodes if "Transpose" in node] == ["XNNStaticTranspose"]


@pytest.mark.parametrize("name", BINARY)
def test_with_integer_ends_the_whole_network_is_one_partition(
    name: str, build_model: Callable[[str], SuperResolutionModel]
) -> None:
    result = lowering.lower(deploy_form(build_model(name)), channels=3, max_pixels=64 * 64)
    assert result.table.partitions == {OURS: 1}
    assert {row.place for row in result.table.rows} == {OURS}
    (program,) = programs(result.content)
    kinds = [op.kind for op in program.ops]
    assert kinds[0] == kinds[-2] == OpKind.QUANTIZED_CONV2D
    assert kinds[-1] is OpKind.PIXEL_SHUFFLE


@pytest.mark.parametrize("name", BINARY)
def test_the_blobs_compute_the_deploy_form(
    name: str,
    lowered: Callable[[str], tuple[nn.Module, Any, list[str]]],
    run_program: Callable[[Program, list[Tensor]], list[Tensor]],
    make_picture: Callable[..., Tensor],
) -> None:
    deployed, result, _ = lowered(name)
    assert isinstance(deployed, FoldedBackbone)
    body, shuffle = programs(result.content)
    x = make_picture(11, 14)
    with torch.no_grad():
        head = deployed.features(x)
        (features,) = run_program(body, [head])
        tail = deployed.tail(features)
        # The order of the delegate's inputs is the exporter's choice: the picture is the one with 3 channels.
        inputs = [x if shuffle.values[number].channels == 3 else tail for number in shuffle.inputs]
        (y,) = run_program(shuffle, inputs)
        # The same ops on the same numbers.
        assert torch.equal(y, deployed(x))


def test_pixel_shuffles_of_float_networks_run_in_our_kernel(
    lowered: Callable[[str], tuple[nn.Module, Any, list[str]]],
) -> None:
    _, result, _ = lowered("test_srresnet_x4")
    assert [(row.op, row.count, row.place) for row in result.table.rows if row.op.startswith("bitsr")] == [
        ("bitsr::pixel_shuffle", 2, OURS)
    ]
    # Both are the same program, which the .pte holds once.
    assert [program.ops[0].attributes for program in programs(result.content)] == [(2,)]


class Layer(nn.Module):
    """A binary layer with what a test wants to break."""

    def __init__(self, kernel: int = 3, change: Callable[["Layer", Tensor], Tensor] | None = None) -> None:
        super().__init__()
        self.change = change
        self.conv = FusedBinaryConv2d(torch.ones(4, 4, kernel, kernel), torch.ones(4), threshold=torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) if self.change is None else self.change(self, x)


def computed_weights(layer: Layer, x: Tensor) -> Tensor:
    conv = layer.conv
    return torch.ops.bitsr.binary_conv2d(x, conv.threshold, conv.weight_bits, conv.scale * x.mean())


def float_gain(layer: Layer, x: Tensor) -> Tensor:
    return layer.conv(x, spatial_gain=torch.sigmoid(x[:, :1]))


def swapped_strides(layer: Layer, x: Tensor) -> Tensor:
    strides = (x.shape[1] * x.shape[2] * x.shape[3], x.shape[2] * x.shape[3], 1, x.shape[2])
    return layer.conv(torch.empty_strided(x.shape, strides) + x)


def double_input(layer: Layer, x: Tensor) -> Tensor:
    return layer.conv(x.double())


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (Layer(kernel=5), "the kernel size is 5, expected 1 or 3"),
        (Layer(change=computed_weights), "scale is computed, not a constant"),
        (Layer(change=float_gain), "the spatial gain does not come from bitsr::spatial_gate"),
        (Layer(change=swapped_strides), r"the dimension order of x is \(0, 1, 3, 2\), expected NCHW or NHWC"),
        (Layer(change=double_input), "x is torch.float64"),
    ],
    ids=["kernel", "weights", "gain", "dim-order", "dtype"],
)
def test_a_binary_op_that_is_not_lowered_fails_with_the_reason(layer: nn.Module, reason: str) -> None:
    with pytest.raises(ExportError, match=f"not every binary op was lowered.*bitsr::binary_conv2d x1: {reason}"):
        lowering.lower(layer, channels=4, max_pixels=32 * 32)


def test_without_our_backend_a_binary_op_fails() -> None:
    with pytest.raises(ExportError, match="bitsr::binary_conv2d x1: BitsrBackend was not asked"):
        lowering.lower(Layer(), channels=4, max_pixels=32 * 32, ours=False)


def test_a_pixel_budget_below_the_minimum_is_refused() -> None:
    with pytest.raises(ExportError, match="the pixel budget is 1000, expected at least 1024"):
        lowering.lower(Layer(), channels=4, max_pixels=1000)


class FixedSize(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(1, 4, 24 * 32) * 2


def test_a_module_without_dynamic_sizes_is_refused() -> None:
    with pytest.raises(ExportError, match=r"torch\.export can not capture FixedSize with dynamic sizes"):
        lowering.lower(FixedSize(), channels=4, max_pixels=32 * 32)


def test_shifted_windows_share_one_mask_in_a_tflite() -> None:
    """The converter would sum the mask and each layer's bias to a constant as large as the scores: 75 of 80 MB once."""
    pytest.importorskip("onnx2tf")
    from bitsr.artifact.flatbuffer import parse_model
    from bitsr.export.tflite.lower import lower

    torch.manual_seed(1)
    config = replace(TINY, depths=(4,))  # two shifted layers
    module = fold(SwinIr(FLOAT_PARTS, config, scale=2).eval())
    side, window = config.tile, config.window
    lowered = lower(module, channels=3, max_pixels=side**2, example_inputs=(torch.rand(1, 3, side, side),))
    model = parse_model(lowered.content, name="the model")
    windows, pixels = (side // window) ** 2, window**2
    constants = [
        (t.buffer, list(t.shape)) for t in model.subgraphs[0].tensors if model.buffers[t.buffer].data is not None
    ]
    assert len({number for number, shape in constants if shape == [windows, 1, pixels, pixels]}) == 1
    assert [windows, config.heads, pixels, pixels] not in [shape for _, shape in constants]


class ReluShuffle(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.pixel_shuffle(torch.relu(x - 0.5), 2)


def test_a_shuffle_of_a_known_size_needs_no_matrix_in_a_tflite() -> None:
    pytest.importorskip("onnx2tf")
    from bitsr.artifact.flatbuffer import graph_ops
    from bitsr.export.tflite.lower import lower
    from bitsr.runtime.litert import TfliteNetwork

    x = torch.rand(1, 12, 5, 7, generator=torch.Generator().manual_seed(3))
    lowered = lower(ReluShuffle(), channels=12, max_pixels=32 * 32, example_inputs=(x,))
    names = [op.name for op in graph_ops(lowered.content, name="the model")]
    assert "TRANSPOSE" in names
    assert "CONV_2D" not in names
    assert torch.equal(
        run_tensors(TfliteNetwork(lowered.content, name="the model", delegate=False), x), ReluShuffle()(x)
    )
