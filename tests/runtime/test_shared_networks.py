"""A network of Python that several threads share, or that a forked child uses, gives what it gives alone."""

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from bitsr.runtime.core import CoreNetwork
from bitsr.runtime.litert import TfliteNetwork
from bitsr.runtime.network import Network
from bitsr.runtime.pte import PteNetwork

THREADS, RUNS = 4, 40
# After which a child counts as hanging.
SECONDS = 60


@pytest.fixture(params=["pte", "tflite with 1 thread", "tflite with 2 threads", "core with 1 thread", "core with 2"])
def network(request: pytest.FixtureRequest, artifacts: dict[str, Path], alone_artifacts: dict[str, Path]) -> Network:
    kind, *_ = request.param.split()
    threads = 1 if "1" in request.param else 2
    if kind == "core":
        return CoreNetwork(alone_artifacts["tflite"], threads=threads)
    if kind not in artifacts:
        pytest.skip(f"no .{kind} here")
    if kind == "pte":
        return PteNetwork(artifacts["pte"])
    return TfliteNetwork(artifacts["tflite"], threads=threads)


@pytest.fixture
def maps() -> list[NDArray[np.float32]]:
    return [np.random.default_rng(seed).random((1, 3, 24, 31 + seed), dtype=np.float32) for seed in range(THREADS)]


def test_threads_take_turns(network: Network, maps: list[NDArray[np.float32]]) -> None:
    expected = [network.run(x) for x in maps]
    right: list[bool] = []

    def work(number: int) -> None:
        for _ in range(RUNS):
            right.append(np.array_equal(network.run(maps[number]), expected[number]))

    workers = [threading.Thread(target=work, args=(number,)) for number in range(THREADS)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert right == [True] * (THREADS * RUNS)


def test_a_forked_child_gets_the_same(network: Network, maps: list[NDArray[np.float32]]) -> None:
    expected = network.run(maps[0])
    for _ in range(2):
        assert in_child(lambda: np.array_equal(network.run(maps[0]), expected)) == 0
        assert np.array_equal(network.run(maps[0]), expected)


def in_child(body: Callable[[], bool]) -> int:
    """The child's status: 0 where the body gives True. One that hangs is killed."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        try:
            os._exit(0 if body() else 1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1]
