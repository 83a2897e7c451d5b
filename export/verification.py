"""The check of an artefact before it is written: run from memory beside the deploy form."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitsr.common.installation import how_to_rebuild
from bitsr.export.errors import ExportError

# The artefact's output against the deploy form's, on noise and on a smooth picture, relative to the output's range.
# Another order of float sums flips a few signs near their thresholds; a wrong program is far below.
LEAST_AGREEMENT_DB = 30.0


@dataclass(frozen=True)
class Verification:
    """How an artefact compares with the deploy form in PyTorch on the check's inputs: the worst of both.

    ``psnr`` in dB is relative to the range of the reference's values; infinite where nothing differs.
    """

    psnr: float
    largest_difference: float


def verify(
    content: bytes, deployed: nn.Module, *, kind: str, ours: bool, checks: list[tuple[Tensor, ...]], name: str
) -> tuple[Verification | None, str]:
    """How ``content``, an artefact of ``kind``, compares with the deploy form on the ``checks``.

    ``ours`` says that it needs our delegate. Returns ``(None, reason)`` where the native library is not built.

    Raises:
        ExportError: they agree to less than :data:`LEAST_AGREEMENT_DB`.
    """
    from bitsr.runtime import RuntimeLibraryError
    from bitsr.runtime.litert import TfliteNetwork
    from bitsr.runtime.pte import PteNetwork

    network: PteNetwork | TfliteNetwork
    try:
        if kind == "tflite":
            network = TfliteNetwork(content, name=name, delegate=ours, inputs=len(checks[0]))
        else:
            network = PteNetwork(content, name=name, inputs=len(checks[0]))
    except RuntimeLibraryError as error:
        return None, str(error)
    worst, largest = math.inf, 0.0
    for inputs in checks:
        with torch.no_grad():
            reference = deployed(*inputs)
        psnr, difference = agreement(network.run(*inputs), reference)
        worst, largest = min(worst, psnr), max(largest, difference)
    if not worst >= LEAST_AGREEMENT_DB:
        raise ExportError(
            f"{name} does not compute what the deploy form computes: they agree to {worst:.1f} dB, expected at least "
            f"{LEAST_AGREEMENT_DB:.0f}; nothing was written; the native library may be of another version: "
            f"{how_to_rebuild()}, and report it if that does not help"
        )
    return Verification(worst, largest), ""


def check_pictures(channels: int, *, height: int = 27, width: int = 37) -> Iterator[Tensor]:
    """Noise and smooth waves (1, ``channels``, H, W) in [0, 1].

    By default of odd sides that networks are not traced with, within the smallest pixel budget.
    """
    generator = torch.Generator().manual_seed(0)
    yield torch.rand(1, channels, height, width, generator=generator)
    rows, columns = torch.linspace(0, 6, height)[:, None], torch.linspace(0, 9, width)[None, :]
    waves = [0.5 + 0.5 * torch.sin(rows + 0.5 * c) * torch.cos(columns - 0.3 * c) for c in range(channels)]
    yield torch.stack(waves)[None].contiguous()


def agreement(y: Tensor, reference: Tensor) -> tuple[float, float]:
    """(PSNR relative to the reference's range, largest absolute difference).

    The PSNR is -inf for other shapes, NaN, and where a constant reference is not met.
    """
    if y.shape != reference.shape:
        return -math.inf, math.inf
    difference = (y - reference).double()
    error = difference.square().mean().item()
    if math.isnan(error):
        return -math.inf, math.inf
    largest = difference.abs().max().item()
    if error == 0:
        return math.inf, largest
    span = (reference.max() - reference.min()).double().item()
    return (10 * math.log10(span**2 / error) if span else -math.inf), largest
