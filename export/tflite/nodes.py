"""Names of the ONNX graph that stands between torch and onnx2tf."""

# Domain of our nodes: the custom ops of the op table, and parts that become stock ops of TensorFlow.
DOMAIN = "bitsr"
ATTENTION = "BitsrAttendPixels"
CHANNEL_ORDER = "BitsrChannelOrder"
ERF = "BitsrErf"
GELU = "BitsrGelu"
REFLECT_PAD = "BitsrReflectPad"
CHANNEL_NORM = "BitsrChannelNorm"
SHIFT_MASK = "BitsrShiftMask"
WINDOW_ATTENTION = "BitsrWindowAttention"
