"""Candidates in ExecuTorch's Python runtime."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bitsr.common.quiet import quiet, silent_stderr
from bitsr.runtime import KERNEL_VARIABLE
from bitsr.validation.bench.candidates import EXECUTORCH, FLOAT_KERNEL, INT8_KERNEL, Call, Candidate


def lowered(module: nn.Module, *, network: str, example: Tensor, ours: bool, fixed: bool = False) -> Candidate:
    """For the example's size. The input stays where the caller has it: nobody pays for a copy of it.

    One that is ``fixed`` is lowered as `bitsr export` does it, whose passes a larger graph needs; its input is copied,
    and pixel shuffles of a float network are ours, in its favour: ExecuTorch's own are slower.
    """
    if fixed:
        from bitsr.export.executorch.lower import lower

        content = lower(module.eval(), channels=example.shape[1], max_pixels=0, example_inputs=(example,)).content
        return Candidate(network, EXECUTORCH, None if ours else FLOAT_KERNEL, content)
    with quiet():
        from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
        from executorch.exir import ExecutorchBackendConfig, to_edge_transform_and_lower
        from executorch.exir.passes import MemoryPlanningPass

        from bitsr.export.executorch.partitioner import BitsrPartitioner

    with quiet(), torch.no_grad():
        program = torch.export.export(module.eval(), (example,), strict=False)
        edge = to_edge_transform_and_lower(program, partitioner=[BitsrPartitioner(), XnnpackPartitioner()])
        planning = MemoryPlanningPass(alloc_graph_input=False)
        executorch = edge.to_executorch(ExecutorchBackendConfig(memory_planning_pass=planning))
    return Candidate(network, EXECUTORCH, None if ours else FLOAT_KERNEL, bytes(executorch.buffer))


def quantized(module: nn.Module, *, network: str, example: Tensor, samples: list[Tensor]) -> Candidate:
    """Int8 inside, a scale for each filter; float32 in and out. ``samples`` are inputs of the example's size."""
    with quiet():
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    quantizer = XNNPACKQuantizer().set_global(get_symmetric_quantization_config(is_per_channel=True))
    with quiet(), torch.no_grad():
        traced = torch.export.export(module.eval(), (example,), strict=False).module()
        prepared = prepare_pt2e(traced, quantizer)
        for sample in samples:
            prepared(sample)
        converted = convert_pt2e(prepared)
    float_in_and_out = lowered(_Evaluated(converted), network=network, example=example, ours=False)
    return Candidate(network, EXECUTORCH, INT8_KERNEL, float_in_and_out.content)


class _Evaluated(nn.Module):
    """A traced module, which refuses ``eval()``."""

    def __init__(self, traced: nn.Module) -> None:
        super().__init__()
        self._call = traced.forward

    def forward(self, x: Tensor) -> Tensor:
        return self._call(x)


def loaded(candidate: Candidate, *, kernel: str, x: Tensor) -> Call:
    """A call of the network on ``x``; the threads are those of :func:`set_threads`."""
    from executorch.extension.pybindings import portable_lib

    module = portable_lib._load_for_executorch_from_buffer(candidate.content)

    def call() -> int:
        # Outputs stay in the runtime's memory: a copy of them would be timed with fresh pages from the system.
        module.forward([x], clone_outputs=False)
        return len(candidate.content)  # the module reads from these bytes, so they have to live as long as it

    with _kernel(kernel):
        call()  # the first call loads the method, and with it the kernel
    return call


def set_threads(count: int) -> None:
    """Threads of ExecuTorch's pool, which XNNPACK and our kernels share; programs keep the pool that they find."""
    from executorch.extension.pybindings import portable_lib

    with silent_stderr():
        portable_lib._unsafe_reset_threadpool(count)


@contextmanager
def _kernel(name: str) -> Iterator[None]:
    """The runtime reads the kernel's name when a method is loaded."""
    before = os.environ.get(KERNEL_VARIABLE)
    os.environ[KERNEL_VARIABLE] = name
    try:
        yield
    finally:
        if before is None:
            del os.environ[KERNEL_VARIABLE]
        else:
            os.environ[KERNEL_VARIABLE] = before
