"""Float binary models of others, rewritten to our op."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bitsr.artifact.flatbuffer import graph_ops
from bitsr.cli import main
from bitsr.common.errors import ArtifactError, UsageError
from bitsr.export.errors import ExportError
from bitsr.export.tflite.conversion import convert
from bitsr.runtime.litert import TfliteNetwork

CHANNELS = 8
RANDOM = np.random.default_rng(0)
SIGNS = np.where(RANDOM.random((3, 3, CHANNELS, CHANNELS)) < 0.5, -1, 1).astype(np.float32)
FLOATS = RANDOM.normal(size=(3, 3, CHANNELS, CHANNELS)).astype(np.float32)
NUMBERS = RANDOM.normal(size=CHANNELS).astype(np.float32)


@pytest.fixture(scope="session")
def make_tflite(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``make_tflite(layers)``: a stock conversion of ``layers(tf, x)``, x being (1, any, any, 8)."""
    import torch._dynamo  # noqa: F401 (before TensorFlow; see export/tflite/lower.py)

    def make(layers: Callable[[Any, Any], Any]) -> Path:
        import tensorflow as tf

        @tf.function(input_signature=[tf.TensorSpec((1, None, None, CHANNELS), tf.float32)], autograph=False)
        def network(x: Any) -> Any:
            return layers(tf, x)

        converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
        path = tmp_path_factory.mktemp("other") / "model.tflite"
        path.write_bytes(converter.convert())
        return path

    return make


def test_signs_selections_paddings_biases_and_activations(make_tflite: Callable[..., Path], tmp_path: Path) -> None:
    def layers(tf: Any, x: Any) -> Any:
        x = tf.nn.conv2d(x - 0.5, FLOATS, 1, "SAME")
        y = tf.nn.relu(tf.nn.conv2d(tf.sign(x), SIGNS, 1, "SAME") + NUMBERS) * 0.1 + x
        bits = tf.where(y >= NUMBERS, 1.0, -1.0)
        y = tf.nn.conv2d(tf.pad(bits, [[0, 0], [1, 1], [1, 1], [0, 0]]), -SIGNS, 1, "VALID") * 0.1 + y
        return tf.nn.conv2d(tf.where(y >= 0.25, 1.0, -1.0), SIGNS[1:2, 1:2], 1, "SAME")

    source, target = make_tflite(layers), tmp_path / "ours.tflite"
    result = convert(source, target)
    assert (len(result.rewritten.replaced), result.rewritten.refused) == (3, {})
    ops = [op.name for op in graph_ops(target.read_bytes(), name="it")]
    assert ops.count("BitsrBinaryConv2d") == 3
    assert ops.count("CONV_2D") == 1
    assert not {"SIGN", "SELECT_V2", "GREATER_EQUAL", "PAD"} & set(ops)
    assert target.stat().st_size < source.stat().st_size
    # Integers, biases and scales are the same; the rounding of the float layers before them is, too.
    x = torch.rand(1, CHANNELS, 19, 23, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(TfliteNetwork(target).run(x), TfliteNetwork(source, delegate=False).run(x))


def test_the_command(make_tflite: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def layers(tf: Any, x: Any) -> Any:
        ours = tf.nn.conv2d(tf.sign(x - 0.5), SIGNS, 1, "SAME")
        return ours + tf.nn.conv2d(tf.sign(x - 0.25), FLOATS, 1, "SAME")

    source, target = make_tflite(layers), tmp_path / "ours.tflite"
    capfd.readouterr()
    assert main(["convert", str(source), str(target)]) == 0
    said = capfd.readouterr()
    assert f"written: {target}" in said.out
    assert "bitsr kernels" in said.out
    assert "its weights are not -a and +a" in said.out
    assert [line.partition(":")[0] for line in said.err.splitlines()] == ["size", "compared with the original"]
    assert target.read_bytes() != source.read_bytes()

    before = target.read_bytes()
    for arguments, code, message in (
        ([source, target], 2, "exists"),
        ([tmp_path / "none.tflite", tmp_path / "new.tflite"], 2, "there is no file"),
        ([target, tmp_path / "new.tflite"], 1, "no convolution that can be rewritten"),
        ([source], 2, "target"),
    ):
        assert main(["convert", *map(str, arguments)]) == code
        (line,) = capfd.readouterr().err.splitlines()
        assert line.startswith("error: ")
        assert message in line.lower()
    assert target.read_bytes() == before
    assert not (tmp_path / "new.tflite").exists()


def test_what_does_not_match_stays_with_its_reason(make_tflite: Callable[..., Path], tmp_path: Path) -> None:
    def layers(tf: Any, x: Any) -> Any:
        x = x - 0.5
        ours = tf.nn.conv2d(tf.sign(x), SIGNS, 1, "SAME")
        scaled = tf.nn.conv2d(tf.sign(x), FLOATS, 1, "SAME")
        valid = tf.nn.conv2d(tf.sign(x), -SIGNS, 1, "VALID")
        dilated = tf.nn.conv2d(tf.sign(x), SIGNS[::-1].copy(), 1, "SAME", dilations=2)
        zeros = tf.nn.conv2d(tf.where(x >= 0.0, 1.0, 0.0), SIGNS[:, ::-1].copy(), 1, "SAME")
        return ours + scaled + dilated + zeros + tf.pad(valid, [[0, 0], [1, 1], [1, 1], [0, 0]])

    result = convert(make_tflite(layers), tmp_path / "ours.tflite")
    assert len(result.rewritten.replaced) == 1
    reasons = sorted(result.rewritten.refused.values())
    expected = ["its input chooses 1 or 0", "its padding is 0", "its strides and dilations", "its weights are not -a"]
    assert [reason[: len(start)] for reason, start in zip(reasons, expected, strict=True)] == expected


def test_a_model_without_binary_convolutions(make_tflite: Callable[..., Path], tmp_path: Path) -> None:
    source, target = make_tflite(lambda tf, x: tf.nn.conv2d(x, FLOATS, 1, "SAME")), tmp_path / "ours.tflite"
    with pytest.raises(ExportError, match="none has a sign before it"):
        convert(source, target)
    assert not target.exists()


def test_files_that_can_not_be_converted(tmp_path: Path) -> None:
    other, target = tmp_path / "other.tflite", tmp_path / "ours.tflite"
    with pytest.raises(UsageError, match="there is no file"):
        convert(other, target)
    other.write_bytes(b"not a model, but more than eight bytes")
    with pytest.raises(ArtifactError, match=r"is no \.tflite"):
        convert(other, target)
    with pytest.raises(UsageError, match="is the input"):
        convert(other, other, overwrite=True)
    target.write_bytes(b"")
    with pytest.raises(UsageError, match="exists"):
        convert(other, target)
