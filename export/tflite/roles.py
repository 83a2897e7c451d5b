"""Our TFLite custom ops: what stands at which place. The delegate (runtime/tflite/ops.h) has the same table.

An op's operands are the inputs, then the constants of the program op in ARCHITECTURE.md; absent ones are left out, and
the option ``operands`` has a bit for each place that is taken. ``results`` does the same for outputs. The other
options are the attributes of the program op. Maps are (N, H, W, C), vectors (N, C), planes (N, H, W, 1).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

# Of our nodes in ONNX.
DOMAIN = "bitsr"
# Of the meaning of operands and options; it is written into every op, and the delegate refuses others.
VERSION = 1
# Version of the operator code in the .tflite; the framework knows no other for custom ops.
OPERATOR_VERSION = 1


@dataclass(frozen=True)
class CustomOp:
    """Name in the .tflite and in ONNX, and the roles by position."""

    name: str
    torch_ops: tuple[str, ...]
    inputs: tuple[str, ...]
    constants: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: tuple[str, ...]

    @property
    def operands(self) -> tuple[str, ...]:
        return self.inputs + self.constants

    def mask(self, present: Sequence[str] | Mapping[str, object]) -> int:
        return sum(1 << place for place, role in enumerate(self.operands) if role in present)

    def roles(self, mask: int) -> list[str]:
        return [role for place, role in enumerate(self.operands) if mask >> place & 1]


BINARY_CONV2D = CustomOp(
    "BitsrBinaryConv2d",
    ("bitsr::binary_conv2d",),
    ("x", "picture_threshold", "channel_gain", "spatial_gain", "residual"),
    ("threshold", "weight_bits", "scale", "shift", "inner_slope", "inner_shift", "slope"),
    ("y",),
    ("out_channels", "kernel", "planes"),
)
CHANNEL_GATE = CustomOp(
    "BitsrChannelGate",
    ("bitsr::channel_gate", "bitsr::channel_shift_gate"),
    ("x",),
    ("w1", "b1", "w2", "b2"),
    ("linear", "sigmoid"),
    ("hidden", "total", "linear_count"),
)
SPATIAL_GATE = CustomOp("BitsrSpatialGate", ("bitsr::spatial_gate",), ("x",), ("weight", "bias"), ("s",), ("kernel",))
QUANTIZED_SPATIAL_GATE = CustomOp(
    "BitsrQuantizedSpatialGate",
    ("bitsr::quantized_spatial_gate",),
    ("x",),
    ("weight", "inverse_step", "scale", "bias"),
    ("s",),
    ("kernel", "negative", "positive"),
)
PIXEL_SHUFFLE = CustomOp("BitsrPixelShuffle", ("bitsr::pixel_shuffle",), ("x", "skip"), (), ("y",), ("factor",))
CUSTOM_OPS = {op.name: op for op in (BINARY_CONV2D, CHANNEL_GATE, SPATIAL_GATE, QUANTIZED_SPATIAL_GATE, PIXEL_SHUFFLE)}
# Nodes of the ONNX graph alone; in the .tflite they are stock ops.
ATTENTION = "BitsrAttendPixels"
CHANNEL_ORDER = "BitsrChannelOrder"
