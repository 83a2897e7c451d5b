"""Replay one-op programs through ExecuTorch's Python runtime.

All programs go into one .pte, a method each, whose only instruction is a call of our delegate.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bitsr.artifact.program import Program, Value, ValueKind, read_program
from bitsr.common.errors import BitsrError
from bitsr.common.quiet import quiet
from bitsr.runtime import EXECUTORCH_BACKEND, load_executorch_backend
from bitsr.validation.errors import TargetError
from bitsr.validation.targets.runner_files import ReplayCase, read_cases, read_map, write_map

_ALIGNMENT = 16


def replay(folder: Path) -> None:
    """Run the cases of a replay folder and write their outputs into it.

    Raises:
        TargetError: a broken folder, or a program that the runtime refuses.
        BitsrError: ExecuTorch or the native library is missing.
    """
    cases = read_cases(folder)
    programs = [_program(folder / case.program) for case in cases]
    load_executorch_backend()
    from executorch.extension.pybindings import portable_lib

    content = methods(list(zip(cases, programs, strict=True)))
    module = portable_lib._load_for_executorch_from_buffer(content)
    for number, (case, program) in enumerate(zip(cases, programs, strict=True)):
        inputs = []
        for file, value in zip(case.inputs, (program.values[i] for i in program.inputs), strict=True):
            array = torch.from_numpy(read_map(folder / file, value_shape(value, case)).copy())
            channels_last = value.kind is ValueKind.MAP
            inputs.append(array.to(memory_format=torch.channels_last) if channels_last else array)
        try:
            outputs = module.run_method(f"m{number}", inputs)
        except RuntimeError as error:
            reason = " ".join(str(error).split())
            raise TargetError(f"ExecuTorch fails on the program of {case.name} ({reason}); export again") from error
        for file, output in zip(case.outputs, outputs, strict=True):
            write_map(folder / file, np.asarray(output.contiguous().numpy()))


def value_shape(value: Value, case: ReplayCase) -> tuple[int, ...]:
    """Shape of a value: (1, C, H, W) for maps and planes, (1, C) for vectors."""
    if value.kind is ValueKind.VECTOR:
        return (1, value.channels)
    return (1, value.channels, case.height * value.up // value.down, case.width * value.up // value.down)


def methods(cases: Sequence[tuple[ReplayCase, Program]]) -> bytes:
    """A .pte with the methods m0, m1, ... of static sizes; maps are channels-last, planes and vectors contiguous."""
    with quiet():
        from executorch.exir._serialize._program import PTEFile, serialize_pte_binary
        from executorch.exir.schema import (
            AllocationDetails,
            BackendDelegate,
            BackendDelegateDataReference,
            BackendDelegateInlineData,
            Buffer,
            Chain,
            ContainerMetadata,
            DataLocation,
            DelegateCall,
            EValue,
            ExecutionPlan,
            Instruction,
            ScalarType,
            SubsegmentOffsets,
            Tensor,
            TensorShapeDynamism,
        )
        from executorch.exir.schema import Program as PteProgram
    from bitsr.artifact.program import write_program

    plans, blobs = [], []
    for number, (case, program) in enumerate(cases):
        values, offset = [], 0
        for value in (program.values[i] for i in (*program.inputs, *program.outputs)):
            sizes = list(value_shape(value, case))
            tensor = Tensor(
                scalar_type=ScalarType.FLOAT,
                storage_offset=0,
                sizes=sizes,
                dim_order=[0, 2, 3, 1] if value.kind is ValueKind.MAP else list(range(len(sizes))),
                requires_grad=False,
                layout=0,
                data_buffer_idx=0,
                allocation_info=AllocationDetails(memory_id=1, memory_offset_low=offset, memory_offset_high=0),
                shape_dynamism=TensorShapeDynamism.STATIC,
            )
            values.append(EValue(tensor))
            offset += -(-4 * int(np.prod(sizes)) // _ALIGNMENT) * _ALIGNMENT
        inputs = list(range(len(program.inputs)))
        outputs = list(range(len(inputs), len(values)))
        delegate = BackendDelegate(
            EXECUTORCH_BACKEND, BackendDelegateDataReference(DataLocation.INLINE, number), compile_specs=[]
        )
        call = Instruction(DelegateCall(delegate_index=0, args=[*inputs, *outputs]))
        plans.append(
            ExecutionPlan(
                name=f"m{number}",
                container_meta_type=ContainerMetadata("", ""),
                values=values,
                inputs=inputs,
                outputs=outputs,
                chains=[Chain([], [], [call], None)],
                operators=[],
                delegates=[delegate],
                non_const_buffer_sizes=[0, max(offset, 1)],
            )
        )
        blobs.append(BackendDelegateInlineData(write_program(program)))
    pte = PteProgram(
        version=0,
        execution_plan=plans,
        constant_buffer=[Buffer(b"")],
        backend_delegate_data=blobs,
        segments=[],
        constant_segment=SubsegmentOffsets(0, []),
    )
    return bytes(serialize_pte_binary(PTEFile(program=pte), extract_delegate_segments=True))


def _program(path: Path) -> Program:
    try:
        return read_program(path.read_bytes())
    except OSError as error:
        raise TargetError(f"cannot read {path.name}: {error.strerror or error}; write it again") from error
    except BitsrError as error:
        raise TargetError(f"{path.name}: {error}") from error
