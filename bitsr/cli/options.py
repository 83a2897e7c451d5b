"""Values that several commands take."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum

from bitsr.common.errors import MissingExtraError


class Runtime(StrEnum):
    """What runs a network: its deploy form in PyTorch, ExecuTorch, or LiteRT."""

    eager = "eager"
    pte = "pte"
    tflite = "tflite"


@contextmanager
def needs(extra: str, *packages: str, purpose: str) -> Iterator[None]:
    """Name the extra to install where an import fails because one of its ``packages`` is missing."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in packages:
            raise
        raise MissingExtraError(package, extra=extra, purpose=purpose) from error
