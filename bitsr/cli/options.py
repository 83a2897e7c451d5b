"""Values that several commands take."""

from enum import StrEnum


def example(*commands: str) -> str:
    """The last lines of a command's --help."""
    return "\n\n".join(("Example:" if len(commands) == 1 else "Examples:", *commands))


class Runtime(StrEnum):
    """What runs a network: its deploy form in PyTorch, ExecuTorch, or LiteRT."""

    eager = "eager"
    pte = "pte"
    tflite = "tflite"
