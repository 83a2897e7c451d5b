"""Our ops in onnx2tf: a module for each, under the name that it looks for, with a ``make_node``."""

import sys
import types
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx2tf.onnx2tf
import tensorflow as tf
import tf_keras
from onnx2tf.utils.common_functions import (
    get_replacement_parameter,
    inverted_operation_enable_disable,
    make_tf_node_info,
    print_node_info,
)

from bitsr.artifact.program import CUSTOM_OPS, OpInfo
from bitsr.export.errors import ExportError
from bitsr.export.tflite import stock_ops
from bitsr.export.tflite.nodes import (
    ATTENTION,
    CHANNEL_ORDER,
    CIRCULAR_PAD,
    CROP,
    ERF,
    FLIP,
    GELU,
    PIXEL_UNSHUFFLE,
    REFLECT_PAD,
    REPLICATE_PAD,
    ROLL,
    SHUFFLE_CHANNELS,
)
from bitsr.export.tflite.swin_tf import LAYERS

# Of calls while it converts; its import sets the largest number that there is.
_DEEP = 100_000
# What a node of ours becomes of stock ops, from its operands and attributes.
_STOCK_LAYERS: dict[str, Callable[..., Any]] = {
    **LAYERS,
    CHANNEL_ORDER: stock_ops.order_channels,
    CIRCULAR_PAD: stock_ops.circular_pad,
    CROP: stock_ops.crop,
    ERF: stock_ops.erf,
    FLIP: stock_ops.flip,
    GELU: stock_ops.gelu,
    PIXEL_UNSHUFFLE: stock_ops.pixel_unshuffle,
    REFLECT_PAD: stock_ops.reflect_pad,
    REPLICATE_PAD: stock_ops.replicate_pad,
    ROLL: stock_ops.roll,
    SHUFFLE_CHANNELS: stock_ops.shuffle_channels,
}


@contextmanager
def plugins(*, fused: bool) -> Iterator[None]:
    """Within it onnx2tf knows our ops, may recurse as deep as it likes and does not download anything.

    Args:
        fused: as custom ops; otherwise as stock ops.
    """
    makers = {f"onnx2tf.ops.{name}": _make_node(info, fused=fused) for name, info in CUSTOM_OPS.items()}
    makers[f"onnx2tf.ops.{ATTENTION}"] = _decorated(_make_attention)
    makers.update({f"onnx2tf.ops.{name}": _decorated(_make_stock(layer)) for name, layer in _STOCK_LAYERS.items()})
    for name, maker in makers.items():
        module = types.ModuleType(name)
        module.make_node = maker  # type: ignore[attr-defined]
        sys.modules[name] = module
    download, limit = onnx2tf.onnx2tf.download_test_image_data, sys.getrecursionlimit()
    sys.setrecursionlimit(_DEEP)
    # Fetched from the network for models with one static input of three channels, and only shown to the user.
    onnx2tf.onnx2tf.download_test_image_data = lambda: np.zeros((1, 128, 128, 3), np.float32)
    try:
        yield
    finally:
        sys.setrecursionlimit(limit)
        onnx2tf.onnx2tf.download_test_image_data = download
        for name in makers:
            del sys.modules[name]


def _make_node(info: OpInfo, *, fused: bool) -> Callable[..., None]:
    def make_node(*, graph_node: Any, tf_layers_dict: dict[str, Any], **_: Any) -> None:
        options = {key: int(value) for key, value in graph_node.attrs.items()}
        inputs, constants = info.operands(options["operands"])
        operands = iter(graph_node.inputs)
        tensors = {
            name: tf_layers_dict[operand.name]["tf_node"] for name, operand in zip(inputs, operands, strict=False)
        }
        layouts = {constant.name: constant.layout for constant in info.constants}
        arrays = {}
        for name, operand in zip(constants, operands, strict=True):
            if not hasattr(operand, "values"):
                raise ExportError(
                    f"{info.torch_ops[0]} needs '{name}' as a constant, but it is computed; it can not be exported"
                )
            arrays[name] = np.ascontiguousarray(layouts[name](np.asarray(operand.values)))
        layer = _Layer(info, arrays, options, fused=fused, name=_layer_name(graph_node.outputs[0].name))
        for output, result in zip(graph_node.outputs, layer(tensors), strict=True):
            tf_layers_dict[output.name] = _entry(graph_node.op, output, tensors, result)

    return _decorated(make_node)


def _make_attention(*, graph_node: Any, tf_layers_dict: dict[str, Any], **_: Any) -> None:
    (output,) = graph_node.outputs
    maps = {operand.name: tf_layers_dict[operand.name]["tf_node"] for operand in graph_node.inputs}
    result = stock_ops.attend_pixels(*maps.values())
    tf_layers_dict[output.name] = _entry(graph_node.op, output, maps, result)


def _make_stock(layer: Callable[..., tf.Tensor]) -> Callable[..., None]:
    """A node that ``layer`` makes of stock ops, from its operands and attributes."""

    def make_node(*, graph_node: Any, tf_layers_dict: dict[str, Any], **_: Any) -> None:
        (output,) = graph_node.outputs
        given = {
            operand.name: np.asarray(operand.values)
            if hasattr(operand, "values")
            else tf_layers_dict[operand.name]["tf_node"]
            for operand in graph_node.inputs
        }
        result = layer(*given.values(), **graph_node.attrs)
        tf_layers_dict[output.name] = _entry(graph_node.op, output, given, result)

    return make_node


def _entry(op: str, output: Any, tensors: dict[str, Any], result: Any) -> dict[str, Any]:
    """What onnx2tf keeps of a node's output."""
    return {
        "optype": op,
        "shape": output.shape,
        "dtype": output.dtype,
        "nhwc": len(result.shape) == 4,
        "tf_node": result,
        "tf_node_info": make_tf_node_info(
            node_info={"tf_op_type": op, "tf_inputs": tensors, "tf_outputs": {"output": result}}
        ),
    }


def _decorated(make_node: Callable[..., None]) -> Callable[..., None]:
    return print_node_info(inverted_operation_enable_disable(get_replacement_parameter(make_node)))


def _layer_name(output: str) -> str:
    return "bitsr_" + "".join(c if c.isalnum() else "_" for c in output)


class _Layer(tf_keras.layers.Layer):  # type: ignore[misc]
    """Calls the stock ops, wrapped where wanted in a function that the converter makes a custom op of."""

    def __init__(
        self,
        info: OpInfo,
        constants: dict[str, np.ndarray[Any, Any]],
        options: dict[str, int],
        *,
        fused: bool,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self._info = info
        self._arrays = constants
        self._options = options
        self._function = self._fusable() if fused else None

    def call(self, tensors: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        if self._function is None:
            return self._stock(tensors)
        inputs, constants = self._info.operands(self._options["operands"])
        operands = [tensors[name] for name in inputs]
        # Python arrays may not be read in the function: what it does not take as an argument the op loses.
        operands += [tf.constant(self._arrays[name]) for name in constants]
        return list(self._function(*operands))

    def _stock(self, tensors: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        return stock_ops.STOCK_OPS[self._info.kind]({**tensors, **self._arrays}, self._options)

    def _outline(self, tensors: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        """Tensors of the right shapes: the converter drops the body of a function that becomes a custom op.

        The stock ops would put a layer's weights as float32, 4 or 32 times their size, in every copy of the graph.
        """
        if "out_channels" in self._options:
            return [tf.tile(tensors["x"][..., :1], (1, 1, 1, self._options["out_channels"]))]
        return self._stock(tensors)

    def _fusable(self) -> Callable[..., Any]:
        attributes = " ".join(f'attr {{ key: "{key}" value {{ i: {value} }} }}' for key, value in self._options.items())
        mark = 'attr { key: "tfl_fusable_op" value { b: true } }'
        inputs, _ = self._info.operands(self._options["operands"])

        @tf.function(  # type: ignore[untyped-decorator]
            experimental_implements=f'name: "{self._info.tflite_name}" {attributes} {mark}', autograph=False
        )
        def function(*operands: tf.Tensor) -> list[tf.Tensor]:
            return self._outline(dict(zip(inputs, operands, strict=False)))

        return function
