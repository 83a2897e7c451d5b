"""Candidates in the core alone, without a framework: of networks that are made of our ops."""

from torch import Tensor, nn

from bitsr.export.capture import capture
from bitsr.export.errors import ExportError
from bitsr.export.tflite.from_program import from_program
from bitsr.export.whole import may_be_whole, whole_program
from bitsr.validation.bench.candidates import CORE, Candidate


def lowered(module: nn.Module, *, network: str, example: Tensor, ours: bool, fixed: bool = False) -> Candidate | None:
    """A file of our ops, for any size up to the example's; ``None`` where the network has others or one size.

    Raises:
        ExportError: it was to be lowered to other kernels than ours.
    """
    if not ours:
        raise ExportError("the core has our kernels alone, got a float network; time it in a framework")
    if fixed or not may_be_whole(module):
        return None
    _, channels, height, _ = example.shape
    captured, _ = capture(module.eval(), channels=channels, side=height, refuse=lambda _: None)
    program = whole_program(captured)
    return None if program is None else Candidate(network, CORE, None, from_program(program))
