"""Pixel shuffles behind float layers in the ONNX graph: stock ops in the only order of channels that TFLite has."""

from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

from bitsr.artifact.program import CUSTOM_OPS, OPS, OpKind
from bitsr.export.tflite.nodes import CHANNEL_ORDER, DOMAIN


def expand_pixel_shuffles(graph: onnx.GraphProto) -> None:
    """Shuffles behind float layers become ``DepthToSpace(x' + skip')`` in DCR order, the only one that TFLite has.

    Those behind an op of ours stay: the delegate runs them without leaving its partition.

    x' is x with its channels permuted: in the weights of the convolution that makes it where there is one, else by a
    transposition where its size is known, else by a 1x1 convolution. skip' is the skip repeated factor^2 times, by a
    1x1 convolution: all of these are exact, because their weights are 0 and 1.
    """
    expanded = []
    ours = {output for node in graph.node if node.op_type in CUSTOM_OPS for output in node.output}
    values = {value.name: value for value in [*graph.value_info, *graph.input]}
    for index, node in enumerate(list(graph.node)):
        if node.op_type != OPS[OpKind.PIXEL_SHUFFLE].tflite_name or node.input[0] in ours:
            expanded.append(node)
            continue
        factor = next(a.i for a in node.attribute if a.name == "factor")
        sizes = [side.dim_value for side in values[node.input[0]].type.tensor_type.shape.dim]
        channels = sizes[1]
        colours = channels // factor**2
        # DCR reads channel (i f + j) C + c where PyTorch has c f f + i f + j.
        order = np.arange(channels).reshape(colours, factor**2).T.reshape(-1)
        x = node.input[0]
        if _permute_producer(graph, x, order):
            pass
        elif all(sizes):  # a matrix of 1024 channels would be 4 MiB
            ordered = f"shuffle{index}_order"
            expanded.append(
                onnx.helper.make_node(CHANNEL_ORDER, [x], [ordered], name=ordered, domain=DOMAIN, factor=factor)
            )
            x = ordered
        else:
            matrix = np.eye(channels, dtype=np.float32)[order]
            x = _matrix_conv(graph, expanded, x, matrix, f"shuffle{index}_order")
        if len(node.input) > 1:
            repeat = np.tile(np.eye(colours, dtype=np.float32), (factor**2, 1))
            skip = _matrix_conv(graph, expanded, node.input[1], repeat, f"shuffle{index}_skip")
            summed = f"shuffle{index}_sum"
            expanded.append(onnx.helper.make_node("Add", [x, skip], [summed], name=summed))
            x = summed
        expanded.append(
            onnx.helper.make_node(
                "DepthToSpace", [x], list(node.output), name=f"shuffle{index}", blocksize=factor, mode="DCR"
            )
        )
    del graph.node[:]
    graph.node.extend(expanded)


def _permute_producer(graph: onnx.GraphProto, name: str, order: np.ndarray[Any, Any]) -> bool:
    """Permute the output channels of the convolution that makes ``name``, if nothing else reads it or its weights.

    One with groups is left as it is.
    """
    constants = {tensor.name: tensor for tensor in graph.initializer}
    producer = next((node for node in graph.node if name in node.output), None)
    readers = [read for node in graph.node for read in node.input] + [output.name for output in graph.output]
    if producer is None or producer.op_type != "Conv" or readers.count(name) != 1:
        return False
    if next((attribute.i for attribute in producer.attribute if attribute.name == "group"), 1) != 1:
        return False  # the place of an output channel says which input channels it reads
    weights = list(producer.input[1:])
    if any(weight not in constants or readers.count(weight) != 1 for weight in weights):
        return False
    for weight in weights:
        array = numpy_helper.to_array(constants[weight])[order]
        constants[weight].CopyFrom(numpy_helper.from_array(np.ascontiguousarray(array), weight))
    return True


def _matrix_conv(
    graph: onnx.GraphProto, nodes: list[onnx.NodeProto], x: str, matrix: np.ndarray[Any, Any], name: str
) -> str:
    graph.initializer.append(numpy_helper.from_array(matrix[:, :, None, None], f"{name}_weight"))
    nodes.append(onnx.helper.make_node("Conv", [x, f"{name}_weight"], [name], name=name, kernel_shape=[1, 1]))
    return name
