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

from bitsr.export.errors import ExportError
from bitsr.export.tflite import emulation
from bitsr.export.tflite.roles import (
    ATTENTION,
    BINARY_CONV2D,
    CHANNEL_GATE,
    CHANNEL_ORDER,
    CUSTOM_OPS,
    PIXEL_SHUFFLE,
    QUANTIZED_SPATIAL_GATE,
    SPATIAL_GATE,
    CustomOp,
)
from bitsr.export.tflite.window_layers import LAYERS


@contextmanager
def plugins(*, fused: bool) -> Iterator[None]:
    """Within it onnx2tf knows our ops and does not download anything.

    Args:
        fused: as custom ops; otherwise as plain TensorFlow, for the float twin.
    """
    makers = {f"onnx2tf.ops.{op.name}": _make_node(op, fused=fused) for op in CUSTOM_OPS.values()}
    makers[f"onnx2tf.ops.{ATTENTION}"] = _decorated(_make_attention)
    makers[f"onnx2tf.ops.{CHANNEL_ORDER}"] = _decorated(_make_stock(emulation.order_channels))
    makers.update({f"onnx2tf.ops.{name}": _decorated(_make_stock(layer)) for name, layer in LAYERS.items()})
    for name, maker in makers.items():
        module = types.ModuleType(name)
        module.make_node = maker  # type: ignore[attr-defined]
        sys.modules[name] = module
    download = onnx2tf.onnx2tf.download_test_image_data
    # Fetched from the network for models with one static input of three channels, and only shown to the user.
    onnx2tf.onnx2tf.download_test_image_data = lambda: np.zeros((1, 128, 128, 3), np.float32)
    try:
        yield
    finally:
        onnx2tf.onnx2tf.download_test_image_data = download
        for name in makers:
            del sys.modules[name]


def _make_node(op: CustomOp, *, fused: bool) -> Callable[..., None]:
    def make_node(*, graph_node: Any, tf_layers_dict: dict[str, Any], **_: Any) -> None:
        options = {key: int(value) for key, value in graph_node.attrs.items()}
        given = dict(zip(op.roles(options["operands"]), graph_node.inputs, strict=True))
        tensors, constants = {}, {}
        for role, operand in given.items():
            if role in op.inputs:
                tensors[role] = tf_layers_dict[operand.name]["tf_node"]
            elif hasattr(operand, "values"):
                constants[role] = _of_layout(op, role, np.asarray(operand.values))
            else:
                raise ExportError(f"{op.name} needs '{role}' as a constant, but it is computed; it can not be exported")
        layer = _Layer(op, constants, options, fused=fused, name=_layer_name(graph_node.outputs[0].name))
        results = layer(tensors)
        for output, result in zip(graph_node.outputs, results, strict=True):
            tf_layers_dict[output.name] = _entry(graph_node.op, output, tensors, result)

    return _decorated(make_node)


def _make_attention(*, graph_node: Any, tf_layers_dict: dict[str, Any], **_: Any) -> None:
    (output,) = graph_node.outputs
    maps = {operand.name: tf_layers_dict[operand.name]["tf_node"] for operand in graph_node.inputs}
    result = emulation.attend_pixels(*maps.values())
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


def _of_layout(op: CustomOp, role: str, array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if op in (SPATIAL_GATE, QUANTIZED_SPATIAL_GATE) and role == "weight":  # (1, C, k, k) -> (k, k, C)
        return np.ascontiguousarray(array[0].transpose(1, 2, 0))
    return array


class _Layer(tf_keras.layers.Layer):  # type: ignore[misc]
    """Calls the emulation, wrapped where wanted in a function that the converter makes a custom op of."""

    def __init__(
        self,
        op: CustomOp,
        constants: dict[str, np.ndarray[Any, Any]],
        options: dict[str, int],
        *,
        fused: bool,
        name: str,
    ) -> None:
        super().__init__(name=name)
        self._op = op
        self._arrays = constants
        self._options = options
        self._function = self._fusable() if fused else None

    def call(self, tensors: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        if self._function is None:
            return self._emulate(tensors)
        ordered = [tensors[role] for role in self._op.inputs if role in tensors]
        # Python arrays may not be read in the function: what it does not take as an argument the op loses.
        ordered += [tf.constant(self._arrays[role]) for role in self._op.constants if role in self._arrays]
        return list(self._function(*ordered))

    def _emulate(self, tensors: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        given = {**tensors, **self._arrays}
        if self._op is BINARY_CONV2D:
            return emulation.binary_conv2d(given)
        if self._op is CHANNEL_GATE:
            return emulation.channel_gate(given, linear=self._options["linear_count"])
        if self._op is PIXEL_SHUFFLE:
            return emulation.pixel_shuffle(given, factor=self._options["factor"])
        if self._op is QUANTIZED_SPATIAL_GATE:
            levels = {name: self._options[name] for name in ("negative", "positive")}
            return emulation.quantized_spatial_gate(given, **levels)
        return emulation.spatial_gate(given)

    def _outline(self, tensors: dict[str, tf.Tensor]) -> list[tf.Tensor]:
        """Tensors of the right shapes: the converter drops the body of a function that becomes a custom op.

        The emulation would put a binary layer's signs as float32, 32 times its bits, in every copy of the graph.
        """
        if self._op is BINARY_CONV2D:
            return [tf.tile(tensors["x"][..., :1], (1, 1, 1, self._options["out_channels"]))]
        return self._emulate(tensors)

    def _fusable(self) -> Callable[..., Any]:
        attributes = " ".join(f'attr {{ key: "{key}" value {{ i: {value} }} }}' for key, value in self._options.items())
        mark = 'attr { key: "tfl_fusable_op" value { b: true } }'
        roles = self._op.roles(self._options["operands"])

        @tf.function(  # type: ignore[untyped-decorator]
            experimental_implements=f'name: "{self._op.name}" {attributes} {mark}', autograph=False
        )
        def function(*operands: tf.Tensor) -> list[tf.Tensor]:
            tensors = {role: operand for role, operand in zip(roles, operands, strict=True) if role in self._op.inputs}
            return self._outline(tensors)

        return function
