"""Loads models in LiteRT with a delegate that was built with sanitizers; run with their runtime preloaded.

usage: python sanitized_host.py libbitsr_tflite.so MODEL...

Writes a line ``MODEL ok SUM`` or ``MODEL refused MESSAGE`` for each. It imports no package that the sanitizers would
find fault with.
"""

import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter, load_delegate

SIZES = ((6, 7), (3, 2), (9, 11))


def run(library: str, model: str) -> str:
    total = 0.0
    try:
        delegate = load_delegate(library, {"threads": "2"})
        interpreter = Interpreter(model_path=model, experimental_delegates=[delegate])
        (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
        for height, width in SIZES:
            shape = (1, height, width, int(taken["shape"][3]))
            interpreter.resize_tensor_input(taken["index"], shape)
            interpreter.allocate_tensors()
            interpreter.set_tensor(
                taken["index"], np.linspace(-1, 1, int(np.prod(shape)), dtype=np.float32).reshape(shape)
            )
            interpreter.invoke()
            total += float(interpreter.get_tensor(given["index"]).sum())
    except (RuntimeError, ValueError) as error:
        return "refused " + " ".join(str(error).split())
    return f"ok {total:.6g}"


for path in sys.argv[2:]:
    print(path, run(sys.argv[1], path), flush=True)
