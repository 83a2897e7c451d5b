"""What every runtime gives for a loaded artifact."""

import os
import threading
import weakref
from types import TracebackType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]
# The runtime without a framework.
CORE = "core"


class Network(Protocol):
    """One loaded network from a map to a map.

    Maps are float32 (1, C, H, W), whatever layout and type the file has. Those of a uint8 file are clipped and rounded
    to levels on their way through a framework; the core takes and gives them as they are. ``channels`` is the C of the
    input, ``runtime`` what runs it: :data:`CORE`, or the name of a format for that format's framework.
    """

    channels: int
    runtime: str

    def run(self, x: Map, *others: NDArray[Any]) -> Map:
        """Run on a map and the other inputs, if there are any; the result is a new contiguous array."""
        ...


class Turns:
    """A network is used by one thread at a time: ``with turns: ...`` waits for the others.

    After ``os.fork()`` the child has a lock of its own, as the parent's may be held for ever.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        _all_turns.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lock.release()

    def begin_anew(self) -> None:
        """In a child process, before anything else runs there."""
        self._lock = threading.Lock()


_all_turns: weakref.WeakSet[Turns] = weakref.WeakSet()


def _in_child() -> None:
    for turns in _all_turns:
        turns.begin_anew()


os.register_at_fork(after_in_child=_in_child)


def to_levels(x: Map) -> NDArray[np.uint8]:
    """Values in [0, 1] as 8 bits: clipped, rounded half up, NaN as 0; as the core writes pixels."""
    bounded = np.where(x > 0, np.where(x < 1, x, np.float32(1)), np.float32(0))
    return np.floor(bounded * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def from_levels(levels: NDArray[np.uint8]) -> Map:
    """8 bits as float32 values in [0, 1]."""
    return levels.astype(np.float32) / np.float32(255)
