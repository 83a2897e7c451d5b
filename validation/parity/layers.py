"""Where a whole network on a target parts from the reference: op by op, from the runner's dump."""

import math
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from torch import Tensor, nn

from bitsr.artifact.info import ArtifactInfo
from bitsr.artifact.program import OpKind
from bitsr.common.installation import how_to_rebuild
from bitsr.export.parity.artifact_ops import ArtifactOp
from bitsr.export.parity.matching import pair
from bitsr.export.parity.recording import OpCall, record
from bitsr.validation.errors import TargetError
from bitsr.validation.parity.pictures import run_network
from bitsr.validation.parity.reported import calls_of_reported
from bitsr.validation.results import FirstDivergence, LayerError, Worst, finite
from bitsr.validation.targets.base import Target
from bitsr.validation.targets.runner_files import Layer, Map, read_layers, read_map

# Most values of all maps of a dump, 128 MiB of float32: of a picture that has more a part is compared.
MAX_DUMP_VALUES = 2**25
_PROBE = 16  # side of the picture whose maps are counted
Key = tuple[int, int]  # call of the reference, number of its result


def compare_layers(
    target: Target,
    model: str,
    own: list[ArtifactOp],
    network: nn.Module,
    x: Tensor,
    *,
    info: ArtifactInfo,
    picture: str,
) -> tuple[FirstDivergence | None, list[LayerError]]:
    """Compare every op's result on ``x`` (1, 3, h, w), or on its upper left part where a dump would be too large.

    ``own`` are the ops of the artifact whose path on the target is ``model``.

    Raises:
        TargetError: the run failed, or its dump does not fit the network.
    """
    side = compared_side(network, x, info)
    if side < max(x.shape[2:]):
        x = x[..., :side, :side].contiguous()
        picture = f"the upper left {x.shape[3]} x {x.shape[2]} pixels of {picture}"
    calls = record(network, x).calls
    with tempfile.TemporaryDirectory(prefix="bitsr-layers-") as temporary:
        dump = Path(temporary) / "layers"
        run_network(target, model, x, info=info, dump=dump)
        found = _match(read_layers(dump), pair(own, calls), calls)
        maps = {key: read_map(dump / layer.file, layer.shape) for key, layer in found.items()}
    return first_divergence(calls, maps, picture=picture), _errors(calls, maps)


def compared_side(network: nn.Module, x: Tensor, info: ArtifactInfo) -> int:
    """Side of the square of ``x`` (1, 3, h, w) that is compared: its longer one where all of it is."""
    probe = x[..., : info.sizes.square(most=_PROBE), : info.sizes.square(most=_PROBE)].contiguous()
    values = sum(result.numel() for _, _, result in _tensors(record(network, probe).calls))
    most = MAX_DUMP_VALUES * probe[0, 0].numel() // max(values, 1)
    height, width = x.shape[2:]
    return max(height, width) if height * width <= most else info.sizes.square(most=math.isqrt(most))


def _match(layers: list[Layer], pairs: list[tuple[int, ArtifactOp, OpCall]], calls: list[OpCall]) -> dict[Key, Layer]:
    """The reference's results behind the dumped ones, which are called PARTITION/OP/RESULT."""
    places = []
    for layer in layers:
        place, _, result = layer.name.rpartition("/")
        if not result.isdigit():
            raise TargetError(f"the dumped layer {layer.name!r} is not PARTITION/OP/RESULT; {how_to_rebuild()}")
        places.append((place, layer.kind))
    by_place = calls_of_reported(places, pairs, calls)
    found: dict[Key, Layer] = {}
    for (place, _), layer in zip(places, layers, strict=True):
        call, number = by_place.get(place), int(layer.name.rpartition("/")[2])
        if call is None:
            continue  # an addition or shuffle that is in part the framework's
        reference = call.results[number] if number < len(call.results) else None
        if reference is None or reference.numel() != np.prod(layer.shape):
            raise TargetError(f"the dumped layer {layer.name} has not the shape of {call.module}'s result")
        found[call.index, number] = layer
    return found


def first_divergence(calls: list[OpCall], maps: Mapping[Key, Map], *, picture: str) -> FirstDivergence | None:
    """The first call whose dumped result is not the reference's, bit for bit; ``None`` if all are."""
    first = None
    for call, number, reference in _results(calls):
        if (call.index, number) in maps and not np.array_equal(
            maps[call.index, number].reshape(reference.shape), reference
        ):
            first = call, number, reference
            break
    if first is None:
        return None
    call, number, reference = first
    got = maps[call.index, number].reshape(reference.shape)
    error = np.abs(got.astype(np.float64) - reference)
    at = tuple(int(i) for i in np.unravel_index(int(np.nan_to_num(error, nan=np.inf).argmax()), error.shape))
    flipped, signs, first_flip = _flips(calls, maps)
    return FirstDivergence(
        picture=picture,
        index=call.index,
        kind=call.kind.name.lower(),
        module=call.module,
        differing=float((got != reference).mean()),
        largest_error=finite(float(error.max())),
        worst=Worst(at=list(at), expected=float(reference[at]), got=finite(float(got[at]))),
        flipped=flipped,
        signs=signs,
        first_flip=first_flip,
    )


def _tensors(calls: list[OpCall]) -> list[tuple[OpCall, int, Tensor]]:
    return [
        (call, number, result) for call in calls for number, result in enumerate(call.results) if result is not None
    ]


def _results(calls: list[OpCall]) -> list[tuple[OpCall, int, Map]]:
    return [(call, number, np.asarray(result.numpy())) for call, number, result in _tensors(calls)]


def _flips(calls: list[OpCall], maps: Mapping[Key, Map]) -> tuple[int, int, str]:
    """How many input signs of binary layers differ, of how many, and the first layer that has one."""
    # A layer's input is an earlier op's result where it lies in the same memory; all results are still alive.
    made = {result.data_ptr(): (call.index, number) for call, number, result in _tensors(calls)}

    def dumped(tensor: Tensor) -> Map | None:
        key = made.get(tensor.data_ptr())
        return None if key is None or key not in maps else maps[key].reshape(tensor.shape)

    flipped = signs = 0
    first = ""
    for call in calls:
        if call.kind is not OpKind.BINARY_CONV2D:
            continue
        x, threshold = call.arguments["x"], call.arguments["threshold"]
        own = dumped(x)
        if own is None:
            continue
        limit = dumped(threshold)
        shape = (-1, x.shape[1], 1, 1)
        reference = x.numpy() >= threshold.numpy().reshape(shape)
        other = own >= (threshold.numpy() if limit is None else limit).reshape(shape)
        count = int((reference != other).sum())
        first = first or (call.module if count else "")
        flipped += count
        signs += reference.size
    return flipped, signs, first


def _errors(calls: list[OpCall], maps: Mapping[Key, Map]) -> list[LayerError]:
    errors = []
    for call, number, reference in _results(calls):
        if (call.index, number) not in maps:
            continue
        difference = maps[call.index, number].reshape(reference.shape).astype(np.float64) - reference
        size = float(np.sqrt(np.mean(np.square(reference, dtype=np.float64))))
        error = float(np.sqrt(np.mean(np.square(difference)))) / (size or 1.0)
        errors.append(
            LayerError(index=call.index, kind=call.kind.name.lower(), module=call.module, relative_error=finite(error))
        )
    return errors
