"""Values that several commands take."""

from enum import StrEnum


def example(*commands: str) -> str:
    """The last lines of a command's --help."""
    return "\n".join(("Example:" if len(commands) == 1 else "Examples:", *(f"  {line}" for line in commands)))


class Runtime(StrEnum):
    """What runs a network: our library alone, LiteRT, ExecuTorch, or its deploy form in PyTorch."""

    core = "core"
    tflite = "tflite"
    pte = "pte"
    eager = "eager"
