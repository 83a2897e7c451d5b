"""Candidates in LiteRT's Python interpreter: ours in the delegate, the others in XNNPACK."""

import torch
from torch import Tensor, nn

from bitsr.export.tflite.lower import lower, quantize
from bitsr.runtime.litert import TfliteNetwork
from bitsr.validation.bench.candidates import FLOAT_KERNEL, INT8_KERNEL, LITERT, Call, Candidate


def lowered(module: nn.Module, *, network: str, example: Tensor, ours: bool) -> Candidate:
    """For any size up to the example's."""
    _, channels, height, width = example.shape
    content = lower(module.eval(), channels=channels, max_pixels=height * width, ours=ours).content
    return Candidate(network, LITERT, None if ours else FLOAT_KERNEL, content)


def quantized(module: nn.Module, *, network: str, example: Tensor, samples: list[Tensor]) -> Candidate:
    """Int8 inside, in and out."""
    _, channels, height, width = example.shape
    content = quantize(module.eval(), channels=channels, max_pixels=height * width, samples=samples)
    return Candidate(network, LITERT, INT8_KERNEL, content)


def loaded(candidate: Candidate, *, kernel: str, x: Tensor, threads: int) -> Call:
    """A call of the network on ``x``, which is put into the interpreter's memory beforehand."""
    ours = candidate.kernel is None
    network = TfliteNetwork(
        candidate.content,
        name=candidate.network,
        threads=threads,
        delegate=ours,
        options={"kernel": kernel} if ours else None,
    )
    network.put(x.to(memory_format=torch.contiguous_format))
    return network.invoke
