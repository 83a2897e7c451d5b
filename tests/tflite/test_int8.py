"""Float networks as int8: the opponents of the benchmark."""

import pytest
import torch
from torch import Tensor, nn

from bitsr.artifact.flatbuffer import graph_ops, parse_model, schema
from bitsr.export.deploy import FusedBinaryConv2d
from bitsr.export.errors import ExportError
from bitsr.export.verification import run_tensors
from bitsr.runtime.litert import TfliteNetwork


class Network(nn.Module):
    """Two convolutions and a pixel shuffle: (1, 3, H, W) -> (1, 3, 2 H, 2 W)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, padding=1))
        self.shuffle = nn.PixelShuffle(2)

    def forward(self, x: Tensor) -> Tensor:
        return self.shuffle(self.layers(x))


def test_int8_inside_in_and_out() -> None:
    from bitsr.export.tflite.through_onnx import quantize

    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    network = Network().eval()
    samples = [torch.rand(1, 3, 20, 24, generator=generator) for _ in range(3)]
    content = quantize(network, channels=3, max_pixels=32 * 32, samples=samples)
    names = {op.name for op in graph_ops(content, name="it")}
    assert names == {"CONV_2D", "DEPTH_TO_SPACE"}
    graph = parse_model(content, name="it").subgraphs[0]
    assert {graph.tensors[i].type for i in (*graph.inputs, *graph.outputs)} == {schema().TensorType.INT8}
    with torch.no_grad():
        expected = network(samples[0])
    y = run_tensors(TfliteNetwork(content, delegate=False, threads=1), samples[0])
    # 256 levels over the output's range, and as many over each map in between.
    torch.testing.assert_close(y, expected, rtol=0, atol=0.03 * (expected.max() - expected.min()).item())


def test_binary_layers_have_no_int8_form() -> None:
    from bitsr.export.tflite.through_onnx import quantize

    signs = torch.ones(8, 8, 3, 3)
    layer = FusedBinaryConv2d(signs, torch.ones(8), threshold=torch.zeros(8))
    with pytest.raises(ExportError, match="no int8 form"):
        quantize(layer, channels=8, max_pixels=32 * 32, samples=[torch.rand(1, 8, 8, 8)])
