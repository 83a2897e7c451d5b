"""ONNX -> SavedModel -> .tflite. Imports TensorFlow, so it is imported where it is used."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

# Before the first import of TensorFlow: onnx2tf builds on Keras 2, and the C++ side has much to say.
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import onnx
import onnx2tf
import tensorflow as tf
from numpy.typing import NDArray

from bitsr.artifact.flatbuffer import schema
from bitsr.common.errors import first_line
from bitsr.common.quiet import quiet, silent_stderr
from bitsr.export.errors import ExportError
from bitsr.export.tflite.onnx2tf_ops import plugins
from bitsr.export.tflite.signature import INPUT_NAMES, OUTPUT_NAME
from bitsr.export.tflite.to_onnx import describe


def to_tflite(model: onnx.ModelProto, *, fused: bool) -> bytes:
    """Convert the graph of :mod:`bitsr.export.tflite.to_onnx`; maps become (N, H, W, C).

    Raises:
        ExportError: onnx2tf or TensorFlow refuses it.
    """
    with _saved_model(model, fused=fused) as path:
        converter = _converter(path)
        converter.allow_custom_ops = fused
        try:
            content: bytes = converter.convert()
        except Exception as error:  # the converter's own class is not public everywhere
            raise ExportError(
                f"TensorFlow can not convert the network ({first_line(error)}); write the op that it names with other "
                "ops, or export the network to .pte"
            ) from error
    graph = schema().ModelT.InitFromPackedBuf(content).subgraphs[0]
    if not graph.operators:
        # So ends a transposed convolution of free sides that has no sub-pixel form.
        kinds = ", ".join(sorted({node.op_type for node in model.graph.node}))
        raise ExportError(
            f"onnx2tf makes an empty graph of the network, which has the ops {kinds}; write a transposed convolution "
            "so that it enlarges by its stride (output_padding = stride + 2 * padding - kernel_size, one group), or as "
            "a convolution and nn.PixelShuffle; or export the network to .pte"
        )
    return content


def to_int8(model: onnx.ModelProto, *, samples: list[NDArray[np.float32]]) -> bytes:
    """Convert a graph without ops of ours to int8, inside, in and out; ``samples`` (N, H, W, C) calibrate its ranges.

    Raises:
        ExportError: onnx2tf or TensorFlow refuses it.
    """
    with _saved_model(model, fused=False) as path:
        converter = _converter(path)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        converter.representative_dataset = lambda: ([sample] for sample in samples)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        converter.inference_input_type = converter.inference_output_type = tf.int8
        with silent_stderr():
            content: bytes = converter.convert()
        return content


def _culprit(error: BaseException | None, model: onnx.ModelProto) -> str:
    """The node that onnx2tf was converting when ``error`` came, and the module that calls it."""
    while error is not None:
        traceback = error.__traceback__
        name = None
        while traceback is not None:
            found = traceback.tb_frame.f_locals.get("graph_node")
            name = getattr(found, "name", name)
            traceback = traceback.tb_next
        node = next((node for node in model.graph.node if name and node.name == name), None)
        if node is not None:
            return describe(node, model.graph)
        error = error.__context__
    return "the network"


def _converter(path: str) -> Any:
    # From the SavedModel: from_concrete_functions would inline our functions and lose the custom ops.
    return tf.lite.TFLiteConverter.from_saved_model(path, signature_keys=["serving_default"])


@contextmanager
def _saved_model(model: onnx.ModelProto, *, fused: bool) -> Iterator[str]:
    with tempfile.TemporaryDirectory(prefix="bitsr-") as folder, quiet(), plugins(fused=fused):
        path = Path(folder) / "model.onnx"
        onnx.save(model, path)
        try:
            with redirect_stdout(StringIO()):
                network = onnx2tf.convert(
                    input_onnx_file_path=str(path),
                    output_folder_path=folder,
                    not_use_onnxsim=True,
                    disable_model_save=True,
                    # Else it tries all pairs of transpositions on maps of ones for each sum and product whose shape it
                    # does not know. So the caller compares what it makes with the deploy form: the export and the
                    # benchmark do for float. An int8 file has no such check, it only stands for its speed.
                    disable_strict_mode=True,
                    non_verbose=True,
                )
        # It reports what it can not do by leaving the process, and what it did not think of by whatever comes first.
        except (SystemExit, Exception) as error:
            reason = "" if isinstance(error, SystemExit) else f" ({first_line(error)})"
            raise ExportError(
                f"onnx2tf can not convert {_culprit(error, model)}{reason}; write it with other ops: convolutions, "
                "activations, arithmetic, means, interpolation, padding, slices, chunk and cat, nn.PixelShuffle, "
                "nn.PixelUnshuffle and nn.ChannelShuffle instead of reshapes; or export the network to .pte"
            ) from error
        signature = [
            tf.TensorSpec(taken.shape, taken.dtype, name=name)
            for taken, name in zip(network.inputs, INPUT_NAMES, strict=False)
        ]

        @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
        def serve(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {OUTPUT_NAME: network(inputs if len(inputs) > 1 else inputs[0])}

        saved = str(Path(folder) / "saved")
        # Not the Keras model itself, which would write a description of every layer, for longer than all the rest.
        holder = tf.Module()
        function = serve.get_concrete_function()
        # A grouped convolution has a variable that is none of the network's.
        holder.kept, holder.stray = network.variables, function.variables
        tf.saved_model.save(holder, saved, signatures=function)
        yield saved
