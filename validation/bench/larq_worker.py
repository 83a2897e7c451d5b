"""Runs in the Python that has larq and larq_compute_engine, never in ours: times its binary convolutions.

usage: python larq_worker.py CASE THREADS

CASE is "layer" or "network" (x4, 32 binary layers, the geometry of EBSR-light), at 128x128 pixels. It writes a line
``ready VERSION`` and then, for each line that it reads, runs the network once and writes ``done`` and the milliseconds
of processor time.
"""

import os
import sys
import time
from importlib.metadata import version
from typing import Any

del sys.path[0]  # the script's folder, whose modules have the names of packages

SIDE, CHANNELS, LAYERS, SCALE = 128, 64, 32, 4


def binary_layer(tf: Any, lq: Any, x: Any) -> Any:
    """Sign, 3x3 binary convolution, scale, skip; one-padding, which its fused kernel has."""
    y = lq.layers.QuantConv2D(
        CHANNELS,
        3,
        padding="same",
        pad_values=1.0,
        input_quantizer="ste_sign",
        kernel_quantizer="ste_sign",
        kernel_constraint="weight_clip",
        use_bias=False,
    )(x)
    return tf.keras.layers.Add()([tf.keras.layers.BatchNormalization()(y), x])


def build(tf: Any, lq: Any, case: str) -> Any:
    if case == "layer":
        x = tf.keras.Input((SIDE, SIDE, CHANNELS), batch_size=1)
        return tf.keras.Model(x, binary_layer(tf, lq, x))
    x = tf.keras.Input((SIDE, SIDE, 3), batch_size=1)
    head = y = tf.keras.layers.Conv2D(CHANNELS, 3, padding="same")(x)
    for _ in range(LAYERS):
        y = binary_layer(tf, lq, y)
    y = tf.keras.layers.Conv2D(3 * SCALE**2, 3, padding="same")(tf.keras.layers.Add()([y, head]))
    return tf.keras.Model(x, tf.nn.depth_to_space(y, SCALE))


def main() -> None:
    case, threads = sys.argv[1], int(sys.argv[2])
    # The libraries write to standard output, which is ours for the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import larq as lq
    import larq_compute_engine as lce
    import numpy as np
    import tensorflow as tf
    from larq_compute_engine.tflite.python.interpreter import Interpreter

    model = build(tf, lq, case)
    interpreter = Interpreter(
        lce.convert_keras_model(model), num_threads=threads, use_indirect_bgemm=True, use_xnnpack=True
    )
    x = [np.random.default_rng(0).normal(size=model.input_shape).astype(np.float32)]
    # Its interpreter has no call without handing over input and output; `predict` of the package adds a second copy.
    run = interpreter.interpreter.predict
    run(x)
    answers.write(f"ready {version('larq-compute-engine')}\n")
    answers.flush()
    for _ in sys.stdin:
        worked = time.process_time()
        run(x)
        answers.write(f"done {(time.process_time() - worked) * 1000}\n")
        answers.flush()


if __name__ == "__main__":
    main()
