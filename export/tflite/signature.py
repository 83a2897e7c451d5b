"""Names of a .tflite's inputs and output in its signature."""

# Of the inputs, in order; only diffusion networks have the second.
INPUT_NAMES = ("x", "timestep")
OUTPUT_NAME = "y"
