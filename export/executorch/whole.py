"""A network of our ops alone, for ExecuTorch: one op that holds the program, for passes to walk over."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram, export

from bitsr.artifact.program import Program, ValueKind, read_program, write_program
from bitsr.common.quiet import quiet
from bitsr.export.captured import arguments, constant, op_name
from bitsr.export.errors import ExportError

_EXAMPLE_SIDES = (24, 32)


@torch.library.custom_op("bitsr::program", mutates_args=())
def run_program(x: Tensor, blob: Tensor, channels: int, factor: int) -> Tensor:
    """What a program blob (uint8) makes of a map (1, C, H, W): (1, ``channels``, H ``factor``, W ``factor``), both
    float32 or both uint8.

    It stands in graphs on their way to ExecuTorch, and is computed by the delegate alone.
    """
    raise ExportError("bitsr::program is computed by our delegate alone; run the deploy form instead")


@run_program.register_fake
def _(x: Tensor, blob: Tensor, channels: int, factor: int) -> Tensor:
    batch, _, height, width = x.shape
    return x.new_empty((batch, channels, height * factor, width * factor))


class _Whole(nn.Module):
    def __init__(self, program: Program) -> None:
        super().__init__()
        result = program.values[program.outputs[0]]
        self.channels, self.factor = result.channels, result.up
        blob = bytearray(write_program(program))
        self.register_buffer("blob", torch.frombuffer(blob, dtype=torch.uint8).clone())

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = torch.ops.bitsr.program(x, self.blob, self.channels, self.factor)
        return y


def capture_program(program: Program, *, side: int, min_side: int) -> ExportedProgram:
    """The graph of one op for sides from ``min_side`` to ``side``, both free."""
    given = program.values[program.inputs[0]]
    dtype = torch.uint8 if given.kind is ValueKind.PIXELS else torch.float32
    x = torch.zeros(1, given.channels, *_EXAMPLE_SIDES, dtype=dtype)
    least = max(min_side, 2)  # torch.export takes a side of 1 for a constant
    sizes = {2: Dim("height", min=least, max=side), 3: Dim("width", min=least, max=side)}
    with torch.no_grad(), quiet():
        return export(_Whole(program), (x,), dynamic_shapes=(sizes,), strict=False)


def is_whole_network(node: torch.fx.Node) -> bool:
    """Whether a node calls ``bitsr::program``."""
    return node.op == "call_function" and op_name(node.target) == "bitsr::program"


@dataclass(frozen=True)
class WholeNetwork:
    """The program blob of a network, and the handle of its node for each of its ops ("<index> <op>")."""

    content: bytes
    debug_handles: dict[str, int]


def whole_network(program: ExportedProgram) -> WholeNetwork | None:
    """The network of a partition that is one ``bitsr::program``; ``None`` for any other."""
    node = next((node for node in program.graph.nodes if is_whole_network(node)), None)
    if node is None:
        return None
    blob = constant(program, arguments(node)["blob"])
    assert blob is not None  # as capture_program made it
    content = blob.numpy().tobytes()
    ops = read_program(content).ops
    handle = node.meta.get("debug_handle")
    handles = {} if handle is None else {f"{i} {op.kind.name.lower()}": handle for i, op in enumerate(ops)}
    return WholeNetwork(content, handles)
