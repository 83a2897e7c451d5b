"""Which call of the reference each op of an artifact stands for, in its file and in what a runner reports of it."""

from collections import defaultdict
from collections.abc import Iterable

from torch import Tensor

from bitsr.artifact.program import OPS, OpKind
from bitsr.validation.errors import TargetError
from bitsr.validation.parity.artifact_ops import ArtifactOp
from bitsr.validation.parity.reference import OpCall

# Kinds that the artifact may leave to its framework.
_OPTIONAL = (OpKind.ADD, OpKind.PIXEL_SHUFFLE)


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


def calls_of_reported(
    reported: Iterable[tuple[str, str]], pairs: list[tuple[int, ArtifactOp, OpCall]], calls: list[OpCall]
) -> dict[str, OpCall]:
    """The calls behind the ops that a runner reports, (place, kind) in order of execution, by their place.

    The n-th reported op of a kind is the n-th of the artifact, and ``pairs`` (of :func:`pair`) know its call. Additions
    that LiteRT hands to our delegate do not stand in the file as ours; they are the network's, in turn, if all are.

    Raises:
        TargetError: the runner reports another number of layers or gates than the artifact has.
    """
    places: dict[str, dict[str, None]] = defaultdict(dict)
    for place, op_name in reported:
        places[op_name][place] = None
    found: dict[str, OpCall] = {}
    for kind in OpKind:
        own = [call for _, item, call in pairs if item.op.kind is kind]
        if not own and kind is OpKind.ADD:
            own = [call for call in calls if call.kind is kind]
        name = kind.name.lower()
        if len(places[name]) == len(own):
            found.update(zip(places[name], own, strict=True))
        elif places[name] and kind not in _OPTIONAL:
            raise TargetError(
                f"the runner reports {len(places[name])} ops of kind {name}, the artifact has {len(own)}; export the "
                "model again"
            )
    return found


def _same(item: ArtifactOp, call: OpCall) -> bool:
    # An op is known by the constant that it always has first: its weights.
    weights = next((place for place, known in enumerate(OPS[item.op.kind].constants) if not known.optional), None)
    if weights is None or not _fits(item, call):
        return False
    array, known = item.op.constants[weights], OPS[item.op.kind].constants[weights]
    return array is not None and array.tobytes() == known.of_torch(call.arguments[known.name].numpy()).tobytes()


def _fits(item: ArtifactOp, call: OpCall) -> bool:
    if item.op.kind is not call.kind:
        return False
    x: Tensor = call.arguments[OPS[call.kind].inputs[0].name]
    if x.shape[1] != item.channels:
        return False
    if call.kind is OpKind.PIXEL_SHUFFLE:
        has_skip = item.op.inputs[1] is not None
        return item.op.attributes == (call.arguments["factor"],) and has_skip == (call.arguments["skip"] is not None)
    return True
