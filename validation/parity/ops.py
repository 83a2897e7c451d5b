"""Tier 1: golden inputs of the eager reference through each op of the artifact, on the target."""

import hashlib
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitsr.artifact.program import write_program
from bitsr.common.errors import ArtifactError
from bitsr.export.parity.artifact_ops import ArtifactOp
from bitsr.export.parity.matching import pair
from bitsr.export.parity.recording import OpCall
from bitsr.validation.errors import TargetError
from bitsr.validation.parity.op_cases import OpCase, make_op_cases
from bitsr.validation.results import OpResult, Worst, finite
from bitsr.validation.targets.base import Target
from bitsr.validation.targets.runner_files import Map, ReplayCase, read_map, write_cases, write_map

# Size of the golden picture: odd and not square, small enough for an emulator.
GOLDEN_HEIGHT, GOLDEN_WIDTH = 19, 23


def golden_picture(*, seed: int, channels: int = 3, height: int = GOLDEN_HEIGHT, width: int = GOLDEN_WIDTH) -> Tensor:
    """A smooth picture with noise, (1, channels, height, width) in [0, 1], the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)
    phases = 6.3 * torch.rand(channels, 4, generator=generator)
    y, x = torch.linspace(0, 5, height)[:, None], torch.linspace(0, 7, width)[None, :]
    waves = torch.stack(
        [0.5 + 0.3 * torch.sin(y + p[0]) * torch.cos(x + p[1]) + 0.1 * torch.sin(3 * x * y + p[2]) for p in phases]
    )
    return (waves[None] + 0.1 * torch.randn(1, channels, height, width, generator=generator)).clamp(0, 1).contiguous()


def make_cases(own: list[ArtifactOp], calls: list[OpCall], *, only: int | None = None) -> list[OpCase]:
    """All cases of an artifact's ops, or those of the op ``only``; none where no op is our kernels'.

    ``calls`` are the reference's on golden inputs (:func:`bitsr.export.parity.recording.record`).

    Raises:
        TargetError: the artifact's structure is not the network's.
    """
    try:
        pairs = pair(own, calls)
    except ArtifactError as error:
        raise TargetError(str(error)) from error
    return [case for index, item, call in pairs if only in (None, index) for case in make_op_cases(index, item, call)]


def replay(target: Target, cases: Sequence[OpCase]) -> list[OpResult]:
    """Run the cases on a target.

    Raises:
        TargetError: the run failed.
    """
    with tempfile.TemporaryDirectory(prefix="bitsr-replay-") as temporary:
        folder, results = Path(temporary) / "replay", Path(temporary) / "results"
        folder.mkdir()
        files = [write_case(folder, number, case) for number, case in enumerate(cases)]
        write_cases(folder, files)
        there = target.push(folder)
        target.run(["--replay", there])
        target.pull(there, results)
        return [
            judge(
                case,
                [read_map(results / name, e.shape) for name, e in zip(file.outputs, case.expected, strict=True)],
            )
            for case, file in zip(cases, files, strict=True)
        ]


def write_case(folder: Path, number: int, case: OpCase) -> ReplayCase:
    """Write the program and inputs of a case; outputs will be called ``NUMBER_PLACE.out``."""
    program = f"{number}.bsrp"
    (folder / program).write_bytes(write_program(case.program))
    inputs = []
    for values in case.inputs:
        # Many cases share their inputs: a file is called by its content.
        name = f"{hashlib.sha256(values.tobytes()).hexdigest()[:16]}.f32"
        if not (folder / name).exists():
            write_map(folder / name, values)
        inputs.append(name)
    outputs = tuple(f"{number}_{place}.out" for place, _ in enumerate(case.expected))
    height, width = case.inputs[0].shape[2:]
    return ReplayCase(f"op{case.index}-{number}", program, height, width, tuple(inputs), outputs)


def judge(case: OpCase, outputs: Sequence[Map]) -> OpResult:
    """Compare the outputs of a case with what was expected, bit for bit (0 and -0 are one value)."""
    pairs = list(zip(outputs, case.expected, strict=True))
    errors = [_errors(got, expected) for got, expected in pairs]
    number = max(range(len(errors)), key=lambda i: float(errors[i].max()))
    at = tuple(int(i) for i in np.unravel_index(int(errors[number].argmax()), errors[number].shape))
    got, expected = pairs[number]
    return OpResult(
        index=case.index,
        kind=case.kind.name.lower(),
        module=case.module,
        check=case.check,
        elements=sum(expected.size for expected in case.expected),
        wrong=sum(int((error > 0).sum()) for error in errors),
        largest_error=finite(float(errors[number][at])),
        worst=Worst(at=list(at), expected=float(expected[at]), got=finite(float(got[at]))),
    )


def _errors(got: Map, expected: Map) -> NDArray[np.float64]:
    """Distance of every element; NaN where only one is, and infinities of other signs, are infinitely far."""
    with np.errstate(invalid="ignore"):
        error = np.abs(got.astype(np.float64) - expected)
    same = (got == expected) | (np.isnan(got) & np.isnan(expected))
    return np.where(same, 0.0, np.nan_to_num(error, nan=np.inf))
