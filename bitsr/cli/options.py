"""Values that several commands take."""

from enum import StrEnum


class Runtime(StrEnum):
    """What runs a network: its deploy form in PyTorch, ExecuTorch, or LiteRT."""

    eager = "eager"
    pte = "pte"
    tflite = "tflite"
