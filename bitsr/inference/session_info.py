"""Facts of an open network, and how a diffusion model samples."""

from dataclasses import dataclass

from bitsr.artifact.info import DEFAULT_STEPS


@dataclass(frozen=True)
class SessionInfo:
    """Facts of a session's network.

    Attributes:
        model: model id.
        scale: enlargement factor.
        runtime: "core", "eager", or "pte" and "tflite" for the framework of that format.
        max_pixels: most pixels (H * W) of one input, or None where only the memory limits it.
        min_side: shortest side of an input in pixels.
        multiple: both sides of an input are multiples of this.
        fixed_side: side of the square that is the only input, or None where there is a choice.
        bytes_per_pixel: an upper bound of the memory that a run takes for each pixel of its input.
        fixed_bytes: an upper bound of what it takes beside that, whatever the size of its input.
        receptive_field_radius: pixels of the input that an output pixel depends on, to each side, without global
            pooling.
        global_pooling: an output pixel depends on means over the whole input as well, so that tiles approximate.
    """

    model: str
    scale: int
    runtime: str
    max_pixels: int | None
    receptive_field_radius: int
    global_pooling: bool
    min_side: int = 1
    multiple: int = 1
    fixed_side: int | None = None
    bytes_per_pixel: int = 0
    fixed_bytes: int = 0


@dataclass(frozen=True)
class Sampling:
    """How a diffusion model samples a picture: the same numbers give the same picture in the same runtime."""

    steps: int = DEFAULT_STEPS
    seed: int = 0

    @classmethod
    def asked(cls, *, steps: int | None, seed: int | None) -> "Sampling | None":
        """What is left out has its default; None where nobody asked for anything."""
        if steps is None and seed is None:
            return None
        return cls(cls.steps if steps is None else steps, cls.seed if seed is None else seed)
