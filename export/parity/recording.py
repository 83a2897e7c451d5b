"""Golden values: every call of an op of the deploy form, recorded while eager PyTorch computes it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

import bitsr.export.ops  # noqa: F401 (registers the ops)
from bitsr.artifact.program import TORCH_OPS, OpKind
from bitsr.export.calls import bind, schema_name


@dataclass(frozen=True)
class OpCall:
    """One call: the module that made it, its arguments by the names of the op table, its results in order.

    A channel gate's results are (linear, sigmoid), ``None`` where it has no such half.
    """

    index: int
    kind: OpKind
    module: str
    arguments: dict[str, Any]
    results: tuple[Tensor | None, ...]


# What the deploy form computes beside our ops without a rounding of its own.
_COPIES = frozenset(["aten::_to_copy", "aten::clone", "aten::detach"])


@dataclass(frozen=True)
class Recording:
    """A run of the deploy form: its op calls in order of execution, and its output.

    ``exact``: it has no other ops, only copies beside ours and additions. Every rounding of these is fixed, so that an
    artifact must give the same values bit for bit.
    """

    calls: list[OpCall]
    output: Tensor
    exact: bool


def record(network: nn.Module, *inputs: Tensor) -> Recording:
    """Run the deploy form on a map (1, C, H, W), and a timestep.

    Additions count where both sides are maps of one shape, as the partitioner takes them.
    """
    recorder = _Recorder()
    with torch.no_grad(), _module_names(network, recorder), recorder:
        y: Tensor = network(*inputs)
    return Recording(recorder.calls, y, exact=not recorder.others)


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[OpCall] = []
        self.modules: list[str] = []
        self.others: set[str] = set()  # ops that are none of ours, nor copies

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        schema = func._schema
        info = TORCH_OPS.get(schema_name(schema))
        if info is None:
            if schema.name not in _COPIES:
                self.others.add(schema.name)
            return result
        arguments = bind(schema, args, kwargs or {})
        if info.kind is OpKind.ADD:
            if not _adds_maps(arguments):
                self.others.add(schema.name)
                return result
            arguments = {"a": arguments["self"], "b": arguments["other"]}
        if schema.name == "aten::pixel_shuffle":  # a float network's, which the partitioner takes as ours
            arguments = {"x": arguments["self"], "skip": None, "factor": arguments["upscale_factor"]}
        self.calls.append(
            OpCall(
                len(self.calls),
                info.kind,
                self.modules[-1] if self.modules else "",
                arguments,
                _results(schema.name, arguments, result),
            )
        )
        return result


def _adds_maps(arguments: dict[str, Any]) -> bool:
    a, b = arguments["self"], arguments["other"]
    return isinstance(b, Tensor) and a.dim() == 4 and a.shape == b.shape and arguments["alpha"] == 1


def _results(name: str, arguments: dict[str, Any], result: Any) -> tuple[Tensor | None, ...]:
    if name == "bitsr::channel_gate":
        return (None, result) if arguments["sigmoid"] else (result, None)
    return tuple(result) if isinstance(result, (tuple, list)) else (result,)


@contextmanager
def _module_names(network: nn.Module, recorder: _Recorder) -> Iterator[None]:
    """Keep the names of the modules that are running on the recorder's stack."""
    handles = []
    for name, module in network.named_modules():

        def enter(_module: nn.Module, _args: Any, name: str = name) -> None:
            recorder.modules.append(name)

        def leave(_module: nn.Module, _args: Any, _output: Any) -> None:
            recorder.modules.pop()

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
