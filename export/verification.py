"""The check of an artifact before it is written: run from memory beside the deploy form.

Networks of signs amplify rounding: a value on its threshold falls to the other side, and every layer behind it sees
another picture. So what a whole picture may differ is measured on the reference itself, by a picture that is changed in
its last bit, and whether the artifact holds the reference's numbers is checked op by op, exactly.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from bitsr.export.errors import ExportError
from bitsr.runtime.network import Network

# An artifact's output against the deploy form's, on noise and on a smooth picture, relative to the output's range.
# Another order of float sums flips a few signs near their thresholds; a wrong program is far below.
MIN_AGREEMENT_DB = 30.0
# How much worse than the reference's own answer to a rounding an artifact's may be, which rounds in every layer.
SENSITIVITY_MARGIN_DB = 6.0
# Relative changes of the picture: the least that float32 has.
PERTURBATIONS = (2.0**-23, -(2.0**-23))


@dataclass(frozen=True)
class Verification:
    """How an artifact compares with the deploy form in PyTorch on the check's inputs: the worst of them.

    ``psnr`` in dB is relative to the range of the reference's values, infinite where nothing differs. ``sensitivity``
    is the same for the reference alone, on pictures times 1 + 2^-23 and 1 - 2^-23: what one rounding can do.
    """

    psnr: float
    largest_difference: float
    sensitivity: float

    @property
    def least(self) -> float:
        """The psnr that is asked for: a fixed one, or less where the network itself answers a rounding with less."""
        return min(MIN_AGREEMENT_DB, self.sensitivity - SENSITIVITY_MARGIN_DB)

    @property
    def passed(self) -> bool:
        return self.psnr >= self.least

    def __str__(self) -> str:
        moved = "" if math.isinf(self.sensitivity) else f" (a rounding of the input: {self.sensitivity:.1f} dB)"
        return f"{self.psnr:.1f} dB, largest difference {self.largest_difference:.2g}{moved}"


class Reference:
    """Outputs for the check's inputs, and what becomes of them by a rounding: computed once for all artifacts.

    ``run`` computes all outputs of a call.
    """

    def __init__(self, run: Callable[[tuple[Tensor, ...]], Sequence[Tensor]], inputs: list[tuple[Tensor, ...]]) -> None:
        self.inputs = inputs
        self.outputs = [run(given) for given in inputs]
        self.sensitivity = math.inf
        for change in PERTURBATIONS:
            for given, outputs in zip(inputs, self.outputs, strict=True):
                moved = run(tuple(x * (1 + change) if x.is_floating_point() else x for x in given))
                self.sensitivity = min(
                    self.sensitivity, *(agreement(y, known)[0] for y, known in zip(moved, outputs, strict=True))
                )

    @classmethod
    def of(cls, deployed: nn.Module, inputs: list[tuple[Tensor, ...]]) -> "Reference":
        """The deploy form in eager PyTorch."""

        def run(given: tuple[Tensor, ...]) -> Sequence[Tensor]:
            with torch.no_grad():
                return [deployed(*given)]

        return cls(run, inputs)

    def compare(self, run: Callable[[tuple[Tensor, ...]], Sequence[Tensor]]) -> Verification:
        """How what an artifact computes compares."""
        found = [
            agreement(y, known)
            for given, outputs in zip(self.inputs, self.outputs, strict=True)
            for y, known in zip(run(given), outputs, strict=True)
        ]
        return Verification(min(psnr for psnr, _ in found), max(largest for _, largest in found), self.sensitivity)


def verify(
    content: bytes, reference: Reference, *, kind: str, ours: bool, name: str
) -> tuple[Verification | None, str]:
    """How ``content``, an artifact of ``kind``, compares with the deploy form.

    ``ours`` says that it needs our delegate. Returns ``(None, reason)`` where the native library is not built.

    Raises:
        ExportError: they agree to less than :attr:`Verification.least`.
    """
    from bitsr.runtime import RuntimeLibraryError
    from bitsr.runtime.litert import TfliteNetwork
    from bitsr.runtime.pte import PteNetwork

    network: Network
    count = len(reference.inputs[0])
    try:
        if kind == "tflite":
            network = TfliteNetwork(content, name=name, delegate=ours, inputs=count)
        else:
            network = PteNetwork(content, name=name, inputs=count)
    except RuntimeLibraryError as error:
        return None, str(error)
    found = reference.compare(lambda given: [run_tensors(network, *given)])
    if not found.passed:
        raise ExportError(
            f"{name} does not compute what the deploy form computes: they agree to {found.psnr:.1f} dB, expected at "
            f"least {found.least:.1f} (the deploy form answers a change of its input's last bit with "
            f"{found.sensitivity:.1f} dB); nothing was written; report it with the model"
        )
    return found, ""


def run_tensors(network: Network, *inputs: Tensor) -> Tensor:
    """A loaded artifact on tensors: a map float32 (1, C, H, W), and the other inputs, if there are any."""
    return torch.from_numpy(network.run(*(value.numpy() for value in inputs)))


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
