"""Candidates in LiteRT's Python interpreter: ours in the delegate, the others in XNNPACK."""

from torch import Tensor, nn

from bitsr.export.tflite.lower import lower
from bitsr.export.tflite.through_onnx import quantize
from bitsr.export.verification import Reference, check_pictures, verify
from bitsr.runtime import RuntimeLibraryError
from bitsr.runtime.litert import TfliteNetwork
from bitsr.validation.bench.candidates import FLOAT_KERNEL, INT8_KERNEL, LITERT, Call, Candidate


def lowered(module: nn.Module, *, network: str, example: Tensor, ours: bool, fixed: bool = False) -> Candidate:
    """For any size up to the example's or for it alone, compared with the module as an export is.

    Raises:
        ExportError: it can not be converted, or computes something else.
        RuntimeLibraryError: ``ours``, and the native library is missing.
    """
    _, channels, height, width = example.shape
    only = (example,) if fixed else None
    content = lower(module.eval(), channels=channels, max_pixels=height * width, ours=ours, example_inputs=only).content
    checks: list[tuple[Tensor, ...]] = [(x,) for x in check_pictures(channels)] if only is None else [only]
    reference = Reference.of(module, checks)
    done, reason = verify(content, reference, kind="tflite", ours=ours, name=f"{network} in {LITERT}")
    if done is None:
        raise RuntimeLibraryError(reason)
    return Candidate(network, LITERT, None if ours else FLOAT_KERNEL, content)


def quantized(module: nn.Module, *, network: str, example: Tensor, samples: list[Tensor]) -> Candidate:
    """Int8 inside, in and out.

    Not compared with the module: 256 levels are further from it than the bound of :func:`lowered`. The graph is the
    one of the float candidate of the same network, which is.
    """
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
    network.put(x.numpy())
    return network.invoke
