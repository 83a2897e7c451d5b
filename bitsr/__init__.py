"""1-bit super-resolution: train in PyTorch, export, and run through bitwise kernels."""

from bitsr.common.errors import BitsrError

__all__ = ["BitsrError"]
