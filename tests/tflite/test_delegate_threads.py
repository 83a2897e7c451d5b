"""The delegate's threads: one pool for all partitions and interpreters."""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter, load_delegate
from numpy.typing import NDArray
from torch import Tensor

from bitsr.export.export import ExportResult
from bitsr.runtime import TFLITE_LIBRARY, find_library

THREADS = 3


def interpreter(path: Path, delegate: Any, shape: tuple[int, ...]) -> Any:
    """Ready to run on inputs of that shape; its float layers get no threads of their own."""
    made = Interpreter(str(path), experimental_delegates=[delegate], num_threads=1)
    made.resize_tensor_input(made.get_input_details()[0]["index"], shape, strict=True)
    made.allocate_tensors()
    return made


def outputs(made: Any, x: NDArray[np.float32], runs: int) -> list[NDArray[np.float32]]:
    found = []
    for _ in range(runs):
        made.set_tensor(made.get_input_details()[0]["index"], x)
        made.invoke()
        found.append(made.get_tensor(made.get_output_details()[0]["index"]))
    return found


def thread_count() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="the system does not list threads under /proc")
def test_interpreters_share_the_threads_of_a_delegate(
    ebsr_export: ExportResult, make_map: Callable[..., Tensor]
) -> None:
    path = ebsr_export.files["tflite"].path
    x = make_map(24, 31).permute(0, 2, 3, 1).contiguous().numpy()
    library = str(find_library(TFLITE_LIBRARY))
    (expected,) = outputs(interpreter(path, load_delegate(library, {"threads": "1"}), x.shape), x, 1)

    delegate = load_delegate(library, {"threads": str(THREADS)})
    before = thread_count()
    pair = [interpreter(path, delegate, x.shape) for _ in range(2)]
    assert thread_count() - before == THREADS - 1

    with ThreadPoolExecutor(len(pair)) as callers:
        found = list(callers.map(lambda made: outputs(made, x, 20), pair))
    for one in (y for run in found for y in run):
        np.testing.assert_array_equal(one, expected)

    del pair
    deadline = time.monotonic() + 10
    while (
        thread_count() > before and time.monotonic() < deadline
    ):  # a thread that was joined leaves the list a moment later
        time.sleep(0.01)
    assert thread_count() == before
