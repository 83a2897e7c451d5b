"""Networks that our ops compute from the picture to the result: their program is known before any lowering."""

import operator

import torch
from torch import nn
from torch.export import ExportedProgram

from bitsr.artifact.program import OpKind, Program, ValueKind, with_pixel_ends
from bitsr.export.captured import is_check, is_layout_copy, op_info, op_name
from bitsr.export.errors import ExportError
from bitsr.export.refusals import is_plain_add, refusal
from bitsr.export.translation import Translation


def may_be_whole(module: nn.Module) -> bool:
    """Whether a capture is worth its seconds: a float layer has parameters, a folded one none."""
    return next(module.parameters(), None) is None


def whole_program(captured: ExportedProgram) -> Program | None:
    """The program of a captured network, from one map to one map; ``None`` where an op of it is not ours."""
    graph = captured.graph_module.graph
    for node in graph.nodes:
        if node.op == "call_function" and not _is_ours(captured, node):
            return None
    for node in list(graph.nodes):
        if node.op == "call_function" and is_check(node):
            graph.erase_node(node)
    program = Translation(captured).program
    ends = [program.values[number] for number in (*program.inputs, *program.outputs)]
    one_map_to_one = len(program.inputs) == len(program.outputs) == 1 and all(
        value.kind is ValueKind.MAP and value.down == 1 for value in ends
    )
    # A result that is the input itself has no op that writes it.
    return program if one_map_to_one and program.outputs != program.inputs else None


def with_ends(program: Program | None, *, pixels: bool) -> Program | None:
    """A network's program, with its ends in 8 bits where ``pixels`` says so.

    Raises:
        ExportError: they shall be, and the network has no program.
    """
    if not pixels:
        return program
    if program is None:
        raise ExportError(
            "the network has ops that are not ours, and only where all are can its input and output be uint8; export "
            "it with float32 ends"
        )
    return with_pixel_ends(program)


def _is_ours(captured: ExportedProgram, node: torch.fx.Node) -> bool:
    if node.target is operator.getitem or is_check(node) or is_layout_copy(node):
        return True
    info = op_info(node)
    if info is None:
        return False
    if info.kind is OpKind.ADD:
        return is_plain_add(node)
    # PyTorch's own pixel shuffle is a row of the table too, but has other arguments.
    return op_name(node.target).startswith("bitsr::") and refusal(captured, node) is None
