"""The check of an artifact before it is written: run from memory beside the deploy form.

Networks of signs amplify rounding: a value on its threshold falls to the other side, and every layer behind it sees
another picture. So what a whole picture may differ is measured on the reference itself, by a picture that is changed in
its last bit; and whether the artifact's ops hold the reference's numbers is checked op by op, bit for bit.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import cycle

import torch
from torch import Tensor, nn

from bitsr.export.errors import ExportError
from bitsr.export.parity.artifact_ops import content_ops
from bitsr.export.parity.matching import difference, match
from bitsr.export.parity.recording import OpCall, Recording, record
from bitsr.runtime.network import Network

# An artifact's output against the deploy form's, on noise and on a smooth picture, relative to the output's range.
# Another order of float sums flips a few signs near their thresholds; a wrong program is far below.
MIN_AGREEMENT_DB = 30.0
# How much worse than the reference's own answer to a rounding an artifact's may be, which rounds in every layer.
SENSITIVITY_MARGIN_DB = 6.0
# What is asked for however much the network amplifies roundings: another picture altogether is at 5 to 9 dB.
MIN_SENSITIVE_DB = 12.0
# Relative changes of the pictures, in turns: the least that float32 has.
PERTURBATIONS = (2.0**-23, -(2.0**-23))


@dataclass(frozen=True)
class Verification:
    """How an artifact compares with the deploy form in PyTorch on the check's inputs: the worst of them.

    ``psnr`` in dB is relative to the range of the reference's values, infinite where nothing differs. ``sensitivity``
    is the same for the reference alone, on pictures times 1 + 2^-23 or 1 - 2^-23: what one rounding can do. ``ops`` of
    the artifact have the same constants as the reference's calls, bit for bit. ``exact`` ones are all that it has: then
    no value may differ.
    """

    psnr: float
    largest_difference: float
    sensitivity: float
    ops: int = 0
    exact: bool = False

    @property
    def least(self) -> float:
        """The psnr that is asked for: a fixed one, or less where the network itself answers a rounding with less."""
        if self.exact:
            return math.inf
        return max(MIN_SENSITIVE_DB, min(MIN_AGREEMENT_DB, self.sensitivity - SENSITIVITY_MARGIN_DB))

    @property
    def passed(self) -> bool:
        return self.psnr >= self.least

    def __str__(self) -> str:
        if self.exact and self.passed:
            return f"{self.ops} ops with the same numbers bit for bit, and identical pictures"
        moved = "" if math.isinf(self.sensitivity) else f" (a rounding of the input: {self.sensitivity:.1f} dB)"
        ops = f"{self.ops} ops with the same numbers bit for bit; " if self.ops else ""
        return f"{ops}{self.psnr:.1f} dB, largest difference {self.largest_difference:.2g}{moved}"


class Reference:
    """Outputs for the check's inputs, and what becomes of them by a rounding: computed once for all artifacts.

    ``run`` computes all outputs of a call.
    """

    # Calls of ops for the first inputs, where it is a deploy form, and whether it has no others.
    calls: list[OpCall] | None = None
    exact = False

    def __init__(self, run: Callable[[tuple[Tensor, ...]], Sequence[Tensor]], inputs: list[tuple[Tensor, ...]]) -> None:
        self.inputs = inputs
        self.outputs = [run(given) for given in inputs]
        self.sensitivity = math.inf
        for given, outputs, change in zip(inputs, self.outputs, cycle(PERTURBATIONS), strict=False):
            moved = run(tuple(x * (1 + change) if x.is_floating_point() else x for x in given))
            answers = [agreement(y, known)[0] for y, known in zip(moved, outputs, strict=True)]
            self.sensitivity = min(self.sensitivity, *answers)

    @classmethod
    def of(cls, deployed: nn.Module, inputs: list[tuple[Tensor, ...]], *, pixels: bool = False) -> "Reference":
        """The deploy form in eager PyTorch; with ``pixels`` between inputs and outputs of 8 bits."""

        first: list[Recording] = []

        def run(given: tuple[Tensor, ...]) -> Sequence[Tensor]:
            given = tuple(map(whole_levels, given)) if pixels else given
            if not first:
                first.append(record(deployed, *given))
                output = first[0].output
            else:
                with torch.no_grad():
                    output = deployed(*given)
            return [whole_levels(output) if pixels else output]

        made = cls(run, inputs)
        made.calls, made.exact = first[0].calls, first[0].exact
        return made

    def compare(self, run: Callable[[tuple[Tensor, ...]], Sequence[Tensor]]) -> Verification:
        """How what an artifact computes compares."""
        found = [
            agreement(y, known)
            for given, outputs in zip(self.inputs, self.outputs, strict=True)
            for y, known in zip(run(given), outputs, strict=True)
        ]
        return Verification(min(psnr for psnr, _ in found), max(largest for _, largest in found), self.sensitivity)


def verify(
    content: bytes,
    reference: Reference,
    *,
    kind: str,
    ours: bool,
    name: str,
    framework_ops: tuple[str, ...] = (),
) -> tuple[Verification | None, str]:
    """How ``content``, an artifact of ``kind``, compares with the deploy form.

    ``ours`` says that it needs our delegate; ``framework_ops`` are named where it does not run. Returns
    ``(None, reason)`` where the native library is not built.

    Raises:
        ExportError: they agree to less than :attr:`Verification.least`, an op has other numbers, or it does not run.
    """
    from bitsr.runtime import RuntimeLibraryError
    from bitsr.runtime.litert import TfliteError, TfliteNetwork
    from bitsr.runtime.pte import PteError, PteNetwork

    network: Network
    count = len(reference.inputs[0])
    try:
        if kind == "tflite":
            network = TfliteNetwork(content, name=name, delegate=ours, inputs=count)
        else:
            network = PteNetwork(content, name=name, inputs=count)
        equal = _check_ops(content, reference, kind=kind, name=name) if ours else 0
        exact = ours and reference.exact
        found = replace(reference.compare(lambda given: [run_tensors(network, *given)]), ops=equal, exact=exact)
    except RuntimeLibraryError as error:
        return None, str(error)
    except (PteError, TfliteError) as error:
        raise ExportError(
            f"{name} was lowered, but does not run ({error}); not in our kernels nor in XNNPACK are: "
            f"{', '.join(framework_ops) or 'none of its ops'}; write them with other ops; nothing was written"
        ) from error
    if found.exact and not found.passed:
        raise ExportError(
            f"{name} does not compute what the deploy form computes: every op of it is exact, but they differ by up to "
            f"{found.largest_difference:.2g} ({found.psnr:.1f} dB); nothing was written; report it with the model"
        )
    if not found.passed:
        raise ExportError(
            f"{name} does not compute what the deploy form computes: they agree to {found.psnr:.1f} dB, expected at "
            f"least {found.least:.1f} (the deploy form answers a change of its input's last bit with "
            f"{found.sensitivity:.1f} dB); nothing was written; report it with the model"
        )
    return found, ""


def whole_levels(x: Tensor) -> Tensor:
    """What 8 bits make of a map in [0, 1]: clipped, rounded half up to a whole number of 1/255, float32."""
    return torch.floor(x.nan_to_num(0).clamp(0, 1) * 255 + 0.5) / 255


def run_tensors(network: Network, *inputs: Tensor) -> Tensor:
    """A loaded artifact on tensors: a map float32 (1, C, H, W), and the other inputs, if there are any."""
    return torch.from_numpy(network.run(*(value.numpy() for value in inputs)))


def _check_ops(content: bytes, reference: Reference, *, kind: str, name: str) -> int:
    """How many ops of ours the artifact has; each of them has the numbers of a call of the reference.

    Raises:
        ExportError: one has not.
    """
    if reference.calls is None:
        return 0
    # Additions and shuffles have none.
    own = [item for item in content_ops(content, kind=kind, name=name) if item.op.constants]
    found, _ = match(own, reference.calls)
    for index, item in enumerate(own):
        wrong = difference(item, found[index]) if index in found else "the deploy form has no such call"
        if wrong is not None:
            where = f", the module '{found[index].module}'" if index in found else ""
            raise ExportError(
                f"op {index} of {name} ({item.op.kind.name.lower()}{where}) is not the deploy form's: {wrong}; "
                "nothing was written; report it with the model"
            )
    return len(own)


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
