"""Replay one-op programs in the native library, as the runner does on other targets."""

import os
from pathlib import Path

from bitsr.common.errors import BitsrError
from bitsr.runtime import KERNEL_VARIABLE
from bitsr.runtime.program import NativeProgram
from bitsr.validation.errors import TargetError
from bitsr.validation.targets.runner_files import ReplayCase, read_cases, read_map, write_map


def replay(folder: Path) -> None:
    """Run the cases of a replay folder and write their outputs into it.

    Raises:
        TargetError: a broken folder, or a program that the library refuses.
        BitsrError: the native library is missing.
    """
    for case in read_cases(folder):
        program = _program(folder, case)
        shapes = [
            program.input_shape(number, height=case.height, width=case.width) for number in range(program.input_count)
        ]
        inputs = [read_map(folder / file, shape) for file, shape in zip(case.inputs, shapes, strict=True)]
        # The maps lie as LiteRT has them, and as ExecuTorch hands them to a partition behind a convolution.
        outputs = program.run(*inputs, channels_last=True)
        for file, output in zip(case.outputs, outputs, strict=True):
            write_map(folder / file, output)


def _program(folder: Path, case: ReplayCase) -> NativeProgram:
    path = folder / case.program
    try:
        program = NativeProgram(path.read_bytes(), isa=os.environ.get(KERNEL_VARIABLE) or "auto")
    except OSError as error:
        raise TargetError(f"cannot read {path.name}: {error.strerror or error}; write it again") from error
    except BitsrError as error:
        raise TargetError(f"{path.name}: {error}") from error
    given, expected = (len(case.inputs), len(case.outputs)), (program.input_count, program.output_count)
    if given != expected:
        raise TargetError(
            f"{path.name} has {expected[0]} inputs and {expected[1]} outputs, cases.tsv names {given[0]} and "
            f"{given[1]}; write it again"
        )
    return program
