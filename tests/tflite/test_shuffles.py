"""Pixel shuffles behind float layers as stock ONNX ops."""

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from torch import nn

from bitsr.artifact.program import OPS, OpKind
from bitsr.export.tflite.nodes import DOMAIN
from bitsr.export.tflite.onnx_pixel_shuffle import expand_pixel_shuffles


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_the_producer_is_permuted_unless_it_has_groups(groups: int) -> None:
    """3x3 convolution 4 -> 12 channels and a shuffle by 2, whose height and width are not known."""
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 12, 3, padding=1, groups=groups)
    constants = [
        numpy_helper.from_array(array.detach().numpy(), name)
        for name, array in (("weight", conv.weight), ("bias", conv.bias))
    ]
    graph = helper.make_graph(
        [
            helper.make_node("Conv", ["x", "weight", "bias"], ["maps"], pads=[1, 1, 1, 1], group=groups),
            helper.make_node(OPS[OpKind.PIXEL_SHUFFLE].tflite_name, ["maps"], ["y"], domain=DOMAIN, factor=2),
        ],
        "shuffle",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4, "h", "w"])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 3, "h2", "w2"])],
        constants,
        value_info=[helper.make_tensor_value_info("maps", TensorProto.FLOAT, [1, 12, "h", "w"])],
    )
    expand_pixel_shuffles(graph)
    ops = [node.op_type for node in graph.node]
    assert ops == (["Conv", "DepthToSpace"] if groups == 1 else ["Conv", "Conv", "DepthToSpace"])

    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(model)
    x = torch.randn(1, 4, 5, 7)
    with torch.no_grad():
        expected = torch.pixel_shuffle(conv(x), 2).numpy()
    (y,) = ReferenceEvaluator(model).run(None, {"x": x.numpy()})
    np.testing.assert_allclose(y, expected, atol=1e-5)
