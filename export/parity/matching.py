"""Which call of the reference each op of an artifact stands for, and whether they have the same numbers."""

from torch import Tensor

from bitsr.artifact.program import OPS, OpKind
from bitsr.common.errors import ArtifactError
from bitsr.export.parity.artifact_ops import ArtifactOp
from bitsr.export.parity.recording import OpCall

# Kinds that the artifact may leave to its framework.
OPTIONAL = (OpKind.ADD, OpKind.PIXEL_SHUFFLE)


def pair(own: list[ArtifactOp], calls: list[OpCall]) -> list[tuple[int, ArtifactOp, OpCall]]:
    """Each of the artifact's ops with its call, in the order of the ops, or of the calls where an op has several.

    Layers and gates are matched by their constants, because those that do not depend on each other may change places;
    what is left, whose constants are then wrong, in turn. Additions and shuffles have no constants: the next call with
    the same channels, factor and inputs, and a call that is left is the framework's. A .pte holds equal partitions
    once, as untrained norms between float layers are: an op with all numbers of a call that is left stands for it, too.

    Raises:
        ArtifactError: an op has no call, or a layer or gate of the network no op.
    """
    found, left = match(own, calls)
    again = [(_equal(own, call), call) for call in left if call.kind not in OPTIONAL]
    lost = [f"its op {index} ({item.op.kind.name.lower()})" for index, item in enumerate(own) if index not in found]
    lost += [f"the network's {call.module or call.kind.name.lower()}" for index, call in again if index is None]
    if lost:
        raise ArtifactError(
            f"the artifact is not that of the network: nothing matches {lost[0]}; export the model again"
        )
    pairs = [(index, item, found[index]) for index, item in enumerate(own)]
    if again:
        pairs += [(index, own[index], call) for index, call in again if index is not None]
        pairs.sort(key=lambda entry: entry[2].index)
    return pairs


def _equal(own: list[ArtifactOp], call: OpCall) -> int | None:
    """The first op with all numbers of the call."""
    return next((index for index, item in enumerate(own) if _same(item, call) and difference(item, call) is None), None)


def match(own: list[ArtifactOp], calls: list[OpCall]) -> tuple[dict[int, OpCall], list[OpCall]]:
    """As :func:`pair`: calls by the places of the ops that have one, and the calls that are left."""
    found: dict[int, OpCall] = {}
    left = list(calls)
    for fits in (_same, _fits):
        for index, item in enumerate(own):
            call = None if index in found else next((call for call in left if fits(item, call)), None)
            if call is not None:
                found[index] = call
                left = [other for other in left if other is not call]
    return found, left


def difference(item: ArtifactOp, call: OpCall) -> str | None:
    """What an op of an artifact has other than its call of the reference, bit for bit; ``None`` if nothing.

    Compared are its constants, which of its inputs there are, and the attributes that the call has by name; the others
    are sizes of the constants.
    """
    info = OPS[item.op.kind]
    constants = {known.name for known in info.constants}
    for place, operand in enumerate(info.inputs):
        is_there = item.op.inputs[place] is not None
        # A constant threshold is no input, but always an argument.
        if operand.name not in constants and is_there != (call.arguments[operand.name] is not None):
            return f"its input {operand.name} is {'there' if is_there else 'absent'}"
    for known, array in zip(info.constants, item.op.constants, strict=True):
        given = call.arguments[known.name]
        if array is None:
            is_input = any(
                operand.name == known.name and number is not None
                for operand, number in zip(info.inputs, item.op.inputs, strict=True)
            )
            if given is not None and not is_input:
                return f"it has no {known.name}"
        elif given is None or known.of_torch(given.numpy()).tobytes() != array.tobytes():
            return f"its {known.name} has other values"
    for name, value in info.named(item.op.attributes).items():
        if name in call.arguments and call.arguments[name] != value:
            return f"its {name} is {value}, expected {call.arguments[name]}"
    return None


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
