"""Which calls of the reference a runner's report speaks of."""

from collections import defaultdict
from collections.abc import Iterable

from bitsr.artifact.program import OpKind
from bitsr.export.parity.artifact_ops import ArtifactOp
from bitsr.export.parity.matching import OPTIONAL
from bitsr.export.parity.recording import OpCall
from bitsr.validation.errors import TargetError


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
        elif places[name] and kind not in OPTIONAL:
            raise TargetError(
                f"the runner reports {len(places[name])} ops of kind {name}, the artifact has {len(own)}; export the "
                "model again"
            )
    return found
