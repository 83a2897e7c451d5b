"""Float binary models of others, rewritten to our op."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bitsr.artifact.artifact import read_artifact
from bitsr.artifact.flatbuffer import graph_ops
from bitsr.cli import main
from bitsr.common.errors import ArtifactError, UsageError
from bitsr.export.errors import ExportError
from bitsr.export.tflite.convert_file import convert
from bitsr.export.verification import run_tensors
from bitsr.runtime import find_library
from bitsr.runtime.litert import TfliteNetwork

CHANNELS = 8
RANDOM = np.random.default_rng(0)
SIGNS = np.where(RANDOM.random((3, 3, CHANNELS, CHANNELS)) < 0.5, -1, 1).astype(np.float32)
FLOATS = RANDOM.normal(size=(3, 3, CHANNELS, CHANNELS)).astype(np.float32)
NUMBERS = RANDOM.normal(size=CHANNELS).astype(np.float32)


@pytest.fixture(scope="session")
def make_tflite(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """``make_tflite(layers, shape=..., **settings)``: a stock conversion of ``layers(tf, x)``."""
    import torch._dynamo  # noqa: F401 (before TensorFlow; see export/tflite/lower.py)

    def make(
        layers: Callable[[Any, Any], Any],
        shape: tuple[int | None, ...] = (1, None, None, CHANNELS),
        **settings: Any,
    ) -> Path:
        import tensorflow as tf

        @tf.function(input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
        def network(x: Any) -> Any:
            return layers(tf, x)

        converter = tf.lite.TFLiteConverter.from_concrete_functions([network.get_concrete_function()])
        for name, value in settings.items():
            setattr(converter, name, value)
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
    torch.testing.assert_close(
        run_tensors(TfliteNetwork(target), x), run_tensors(TfliteNetwork(source, delegate=False), x)
    )


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
    assert f"bitsr-run {target} --shape 1,{CHANNELS},27,37" in said.out
    assert target.read_bytes() != source.read_bytes()

    with pytest.raises(ArtifactError, match=r"of `bitsr convert`.*run it with bitsr-run"):
        read_artifact(target)

    before = target.read_bytes()
    for arguments, code, message in (
        ([source, target], 2, "exists"),
        ([tmp_path / "none.tflite", tmp_path / "new.tflite"], 2, "there is no file"),
        ([target, tmp_path / "new.tflite"], 1, "no layer that can be rewritten"),
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
        depthwise = tf.nn.depthwise_conv2d(tf.sign(x), SIGNS[:, :, :, :1].copy(), [1, 1, 1, 1], "SAME")
        positive = tf.nn.conv2d(tf.sign(tf.nn.relu(x)), SIGNS[:, :, ::-1].copy(), 1, "SAME")
        sums = ours + scaled + dilated + zeros + depthwise + positive
        return sums + tf.pad(valid, [[0, 0], [1, 1], [1, 1], [0, 0]])

    result = convert(make_tflite(layers), tmp_path / "ours.tflite")
    assert len(result.rewritten.replaced) == 2
    reasons = sorted(result.rewritten.refused.values())
    expected = ["it is depthwise", "its dilation is 2x2", "its sign follows a ReLU"]
    expected += ["its weights are binary, but its operand is not", "its weights are not -a and +a"]
    assert [reason[: len(start)] for reason, start in zip(reasons, expected, strict=True)] == expected


def _larq(tf: Any, x: Any) -> Any:
    return tf.sign(tf.sign(x) + 0.1)


# Ways to write a sign; where they differ from ours at exactly 0, the test's values do not.
SIGN_FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "larq": _larq,
    "ones-like": lambda tf, x: tf.where(x >= 0.0, tf.ones_like(x), -tf.ones_like(x)),
    "greater": lambda tf, x: tf.where(x > 0.0, 1.0, -1.0),
    "less": lambda tf, x: tf.where(x < NUMBERS, -1.0, 1.0),
    "turned": lambda tf, x: tf.where(x >= 0.25, -1.0, 1.0),
    "heaviside": lambda tf, x: 2.0 * tf.cast(x >= 0.0, tf.float32) - 1.0,
    "round": lambda tf, x: tf.round(tf.clip_by_value(x * 0.5 + 0.5, 0.0, 1.0)) * 2.0 - 1.0,
    "ones times": lambda tf, x: tf.ones_like(x) * tf.where(x >= 0.0, 1.0, -1.0),
    "zeros-like": lambda tf, x: tf.where(x >= tf.zeros_like(x), tf.ones_like(x), tf.ones_like(x) * -1.0),
    "integers": lambda tf, x: tf.cast(tf.cast(x >= 0.0, tf.int32) * 2 - 1, tf.float32),
    "floor": lambda tf, x: 2.0 * tf.minimum(1.0, tf.floor(tf.nn.relu(x + 1.0))) - 1.0,
    "shifted": lambda tf, x: tf.clip_by_value(tf.sign(x + 1e-8), -1.0, 1.0),
}


@pytest.mark.parametrize("sides", [(9, 11), (None, None)], ids=["fixed", "free"])
@pytest.mark.parametrize("form", SIGN_FORMS)
def test_every_way_to_write_a_sign(
    form: str, sides: tuple[int | None, ...], make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    """On integers and thresholds themselves as well, where ``>`` and ``>=`` differ."""
    source = make_tflite(
        lambda tf, x: tf.nn.conv2d(SIGN_FORMS[form](tf, x), SIGNS, 1, "SAME"), shape=(1, *sides, CHANNELS)
    )
    target = tmp_path / "ours.tflite"
    assert convert(source, target).rewritten.refused == {}
    values = torch.tensor([-1.0, 0.0, 0.25, 1e-30, -1e-30, *NUMBERS.tolist()])
    choice = torch.randint(len(values), (1, CHANNELS, 9, 11), generator=torch.Generator().manual_seed(2))
    x = values[choice]
    if form == "shifted":  # its own 0 lies at -1e-8
        x = x + 0.5
    torch.testing.assert_close(
        run_tensors(TfliteNetwork(target), x), run_tensors(TfliteNetwork(source, delegate=False), x)
    )


def test_a_straight_through_estimator_that_was_left_in_the_graph(
    make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    """``x + (sign(x) - x)`` is a sign but for its rounding."""
    for number, layers in enumerate(
        (
            lambda tf, x: x + tf.stop_gradient(tf.where(x >= 0.0, 1.0, -1.0) - x),
            lambda tf, x: tf.stop_gradient(_larq(tf, x) - x) + x,
        )
    ):
        source = make_tflite(lambda tf, x, layers=layers: tf.nn.conv2d(layers(tf, x - 0.5), SIGNS, 1, "SAME"))
        result = convert(source, tmp_path / f"{number}.tflite")
        assert (len(result.rewritten.replaced), result.rewritten.refused) == (1, {})
        assert result.verification.psnr > 100


def test_binary_weights_behind_what_is_no_sign_are_told(make_tflite: Callable[..., Path], tmp_path: Path) -> None:
    source = make_tflite(lambda tf, x: tf.nn.conv2d(x / (tf.abs(x) + 1e-3), SIGNS, 1, "SAME"))
    with pytest.raises(ExportError, match=r"its weights are binary, but its operand is not .* \(DIV of "):
        convert(source, tmp_path / "ours.tflite")


@pytest.mark.parametrize(
    ("stride", "padding", "kernel_size", "side"),
    [(1, "VALID", 3, None), (2, "SAME", 3, 10), (2, "SAME", 3, 11), (2, "VALID", 3, 10), (2, "SAME", 1, 9)],
)
def test_less_padding_and_more_stride_are_cut_out(
    stride: int, padding: str, kernel_size: int, side: int | None, make_tflite: Callable[..., Path], tmp_path: Path
) -> None:
    weight = SIGNS if kernel_size == 3 else SIGNS[:1, :1]
    source = make_tflite(
        lambda tf, x: tf.nn.relu6(tf.nn.conv2d(_larq(tf, x - 0.5), weight, stride, padding)),
        shape=(1, side, side, CHANNELS),
    )
    result = convert(source, tmp_path / "ours.tflite")
    assert (len(result.rewritten.replaced), result.rewritten.refused) == (1, {})
    assert result.verification.largest_difference == 0


def test_padding_with_ones_behind_the_sign(make_tflite: Callable[..., Path], tmp_path: Path) -> None:
    def layers(tf: Any, x: Any) -> Any:
        bits = tf.where(x >= 0.5, -1.0, 1.0)
        padded = tf.pad(bits, [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=1.0)
        return tf.nn.conv2d(padded, SIGNS, 1, "VALID")

    result = convert(make_tflite(layers), tmp_path / "ours.tflite")
    assert len(result.rewritten.replaced) == 1
    assert result.verification.largest_difference == 0


@pytest.mark.parametrize("batch", [1, 4, None])
def test_a_classifier_with_dense_layers(
    batch: int | None, make_tflite: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    dense = np.where(RANDOM.random((8 * 8 * CHANNELS, 10)) < 0.5, -1, 1).astype(np.float32)

    def layers(tf: Any, x: Any) -> Any:
        y = tf.nn.conv2d(_larq(tf, x - 0.5), SIGNS, 1, "VALID") * 0.1 + 0.05  # no sum is at its threshold
        y = tf.matmul(_larq(tf, tf.reshape(y, [-1, 8 * 8 * CHANNELS])), dense) * 0.02
        return tf.nn.softmax(y)

    source, target = make_tflite(layers, shape=(batch, 10, 10, CHANNELS)), tmp_path / "ours.tflite"
    result = convert(source, target)
    assert (len(result.rewritten.replaced), result.rewritten.refused) == (2, {})
    assert result.verification.largest_difference < 1e-6
    # It gives no map, so that bitsr-run is not the way to run it.
    capfd.readouterr()
    assert main(["convert", str(source), str(target), "--overwrite"]) == 0
    said = capfd.readouterr()
    assert "next:" not in said.out
    code = said.err.splitlines()[-1].partition("this one runs in LiteRT: ")[2]
    from ai_edge_litert.interpreter import Interpreter, load_delegate

    interpreter = eval(code, {"Interpreter": Interpreter, "load_delegate": load_delegate})
    interpreter.allocate_tensors()
    interpreter.invoke()
    command = [find_library("bitsr-run"), target, "--shape", f"{batch or 1},{CHANNELS},10,10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "run it in its runtime itself, with our delegate" in done.stderr


@pytest.mark.parametrize("types", ["float16", "int8"])
def test_weights_of_fewer_bits(types: str, make_tflite: Callable[..., Path], tmp_path: Path) -> None:
    import tensorflow as tf

    settings: dict[str, Any] = {"optimizations": [tf.lite.Optimize.DEFAULT]}
    if types == "float16":
        settings["target_spec"] = tf.lite.TargetSpec(supported_types=[tf.float16])
    weight = np.tile(SIGNS, (1, 1, 1, 8)) * 0.3  # large enough for the converter to make fewer bits of
    source = make_tflite(lambda tf, x: tf.nn.conv2d(_larq(tf, x - 0.5), weight, 1, "SAME"), **settings)
    result = convert(source, tmp_path / "ours.tflite")
    assert (len(result.rewritten.replaced), result.rewritten.refused) == (1, {})
    assert result.verification.psnr > 60


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
