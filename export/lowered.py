"""What every exporter gives back."""

from dataclasses import dataclass

from bitsr.export.delegation import DelegationTable


@dataclass(frozen=True)
class Lowered:
    """A lowered model: the artefact's bytes, where its ops run, and the memory that ``max_pixels`` pixels plan."""

    content: bytes
    table: DelegationTable
    arena_bytes: int
    max_pixels: int
