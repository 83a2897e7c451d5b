"""Which call of the reference each op of an artifact stands for."""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from bitsr.artifact.program import OpKind
from bitsr.validation.errors import TargetError
from bitsr.validation.parity.artifact_ops import ArtifactOp
from bitsr.validation.parity.reference import OpCall

# Kinds that the artifact may leave to its framework.
_OPTIONAL = (OpKind.ADD, OpKind.PIXEL_SHUFFLE)

# What an op is known by: a constant of the artifact, and the same of the reference.
_CONSTANT: dict[OpKind, tuple[int, Callable[[OpCall], Tensor]]] = {
    OpKind.BINARY_CONV2D: (1, lambda call: call.arguments["weight_bits"]),
    OpKind.CHANNEL_GATE: (0, lambda call: call.arguments["w1"]),
    OpKind.SPATIAL_GATE: (0, lambda call: call.arguments["weight"][0].permute(1, 2, 0)),
    OpKind.QUANTIZED_SPATIAL_GATE: (0, lambda call: call.arguments["weight"][0].permute(1, 2, 0)),
}


def pair(own: list[ArtifactOp], calls: list[OpCall]) -> list[tuple[int, ArtifactOp, OpCall]]:
    """A call for each of the artifact's ops, in the order of the ops.

    Layers and gates are matched by their constants, because those that do not depend on each other may change places;
    what is left, whose constants are then wrong, in turn. Additions and shuffles have no constants: the next call with
    the same channels, factor and inputs, and a call that is left is the framework's.

    Raises:
        TargetError: an op has no call, or a layer or gate of the network no op.
    """
    found: dict[int, OpCall] = {}
    left = list(calls)
    for match in (_same, _fits):
        for index, item in enumerate(own):
            call = None if index in found else next((call for call in left if match(item, call)), None)
            if call is not None:
                found[index] = call
                left = [other for other in left if other is not call]
    lost = [f"its op {index} ({item.op.kind.name.lower()})" for index, item in enumerate(own) if index not in found]
    lost += [f"the network's {call.module or call.kind.name.lower()}" for call in left if call.kind not in _OPTIONAL]
    if lost:
        raise TargetError(f"the artifact is not that of the network: nothing matches {lost[0]}; export the model again")
    return [(index, item, found[index]) for index, item in enumerate(own)]


def _same(item: ArtifactOp, call: OpCall) -> bool:
    if item.op.kind not in _CONSTANT or not _fits(item, call):
        return False
    place, of_call = _CONSTANT[item.op.kind]
    constant = item.op.constants[place]
    return constant is not None and constant.tobytes() == np.ascontiguousarray(of_call(call).numpy()).tobytes()


def _fits(item: ArtifactOp, call: OpCall) -> bool:
    if item.op.kind is not call.kind:
        return False
    x: Tensor = call.arguments["self" if call.kind is OpKind.ADD else "x"]
    if x.shape[1] != item.channels:
        return False
    if call.kind is OpKind.PIXEL_SHUFFLE:
        has_skip = item.op.inputs[1] is not None
        return item.op.attributes == (call.arguments["factor"],) and has_skip == (call.arguments["skip"] is not None)
    return True
