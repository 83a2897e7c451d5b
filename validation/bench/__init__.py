"""How fast our kernels are against the stock runtimes, in one run on one machine.

Cases: one layer (3x3, 64 to 64 channels) and whole x4 networks, at 128x128 input pixels. Candidates of a case and a
thread count take turns: the binary networks with each of our kernels, and the float networks of the same geometry (and
the SRResNet that EBSR-light replaces) in float32 and int8, in ExecuTorch and LiteRT; Larq Compute Engine where a Python
with its package is named.
"""

from bitsr.validation.bench.rows import Row
from bitsr.validation.bench.run import Bench, run_bench

__all__ = ["Bench", "Row", "run_bench"]
