"""Names of the ONNX graph that stands between torch and onnx2tf."""

# Domain of our nodes: the custom ops of the op table, and parts that become stock ops of TensorFlow.
DOMAIN = "bitsr"
ATTENTION = "BitsrAttendPixels"
CHANNEL_ORDER = "BitsrChannelOrder"
CIRCULAR_PAD = "BitsrCircularPad"
CROP = "BitsrCrop"
ERF = "BitsrErf"
FLIP = "BitsrFlip"
GELU = "BitsrGelu"
PIXEL_UNSHUFFLE = "BitsrPixelUnshuffle"
REFLECT_PAD = "BitsrReflectPad"
REPLICATE_PAD = "BitsrReplicatePad"
ROLL = "BitsrRoll"
SHUFFLE_CHANNELS = "BitsrShuffleChannels"
SHIFT_MASK = "BitsrShiftMask"
WINDOW_ATTENTION = "BitsrWindowAttention"

# End of a slice that means "to the end".
OPEN_END = 2**31 - 1
