"""PyTorch on one thread for a while."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute on the calling thread alone.

    The maps of an export's check are small: a second thread gains nothing there, and where another process has that
    processor, each of some thousand ops waits for it (51 to 89 CPU seconds for the default weights instead of 32).
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
