"""Values that several commands take."""

from enum import StrEnum


class Runtime(StrEnum):
    """What runs a network."""

    eager = "eager"
    pte = "pte"
