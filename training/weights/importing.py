"""Checkpoints of others, and of unfinished trainings of ours, as weights files."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bitsr.artifact.fields import Setting
from bitsr.artifact.weights import FORMAT, SUFFIX, WeightsInfo, read_weights_info
from bitsr.common.errors import UsageError, WeightsError
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import SuperResolutionModel, configured_model, list_models, model_info
from bitsr.training.recipe import make_recipe
from bitsr.training.weights import load_weights, save_weights
from bitsr.training.weights.checkpoint import Checkpoint, read_checkpoint
from bitsr.training.weights.released import LAYOUTS, Entry, Layout, State, same

log = logging.getLogger(__name__)
# So many names of each kind are shown where a checkpoint does not fit.
_SHOWN = 4
OWN_LAYOUT = "bitsr"


@dataclass(frozen=True)
class Imported:
    """What was written: the weights file, the id of its model, whose names the checkpoint had, how many tensors."""

    path: Path
    model: str
    layout: str
    tensors: int


@dataclass(frozen=True)
class _Match:
    """How the tensors of a checkpoint fit a model: nothing in the three lists, or what does not."""

    model: str
    layout: str
    state: State
    missing: list[str]
    unexpected: list[str]
    shapes: list[str]

    @property
    def problems(self) -> int:
        return len(self.missing) + len(self.unexpected) + len(self.shapes)


def import_weights(
    source: Path | str, target: Path | str, *, model: str | None = None, key: str | None = None, overwrite: bool = False
) -> Imported:
    """Write the tensors of a checkpoint as a weights file of a model.

    Names may be those of the released code of BBCU, E2FIF, BI-DiffSR and ReActNet, or ours: a ``state_dict`` of
    :func:`~bitsr.training.models.create_model`, or a training's ``last.pt``, of which the averaged weights are taken.

    Args:
        source: a file that :func:`~bitsr.training.weights.checkpoint.read_checkpoint` reads.
        target: the weights file to write, ``.safetensors``.
        model: the id of its model; by default it follows from names and shapes.
        key: the container in the file, see :func:`~bitsr.training.weights.checkpoint.read_checkpoint`.
        overwrite: replace ``target``.

    Raises:
        UsageError: ``target`` exists or has another suffix, or ``source`` is a weights file of bitsr already.
        UnknownNameError: no such model.
        WeightsError: unreadable, of an unknown or of several models, or tensors that do not fit, which are named.
    """
    source, target = Path(source), Path(target)
    if target.suffix != SUFFIX:
        raise UsageError(f"the weights file to write is {target}; expected a name that ends with {SUFFIX}")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists; choose another name, or overwrite it (--overwrite)")
    if model is not None:
        model_info(model)
    _refuse_own_weights(source)
    checkpoint = read_checkpoint(source, key=key)
    found = _identify(checkpoint, model)
    info = _description(checkpoint, found.model)
    save_weights(target, found.state, info)
    try:
        network = configured_model(found.model, info.settings)
        load_weights(network, target)
    except WeightsError:
        target.unlink()
        raise
    _remark_zeros(network)
    return Imported(target, found.model, found.layout, len(found.state))


def _refuse_own_weights(source: Path) -> None:
    if source.suffix != SUFFIX or not source.is_file():
        return
    try:
        known = read_weights_info(source)
    except WeightsError:
        return
    raise UsageError(f"{source} is a weights file of bitsr already ({FORMAT}, '{known.model}'); use it as it is")


def _identify(checkpoint: Checkpoint, model: str | None) -> _Match:
    """The model that all tensors fit.

    Raises:
        WeightsError: there is none, or there are several.
    """
    names = set(checkpoint.tensors)
    layout = next((one for one in LAYOUTS if one.fits(names)), None)
    told = checkpoint.content.get("id") if isinstance(checkpoint.content, dict) else None
    if model is None and layout is None and isinstance(told, str):
        model = told
        if model not in list_models():
            raise WeightsError(
                f"{checkpoint.path} is a training of '{model}', which is not registered here; load the file that "
                "registers it (bitsr --load FILE import ...), or name another model with --model"
            )
    if layout is not None:
        reason = layout.refusal(checkpoint.tensors)
        if reason:
            raise WeightsError(
                f"{checkpoint.path} has the names of {layout.name}, but {reason}; it can not be imported"
            )
    candidates = [model] if model is not None else _candidates(checkpoint.tensors, layout)
    matches = [match for one in candidates if (match := _match(checkpoint, one, layout)) is not None]
    fitting = [match for match in matches if not match.problems]
    if len(fitting) > 1:
        raise WeightsError(
            f"the tensors of {checkpoint.path} fit several models: {', '.join(match.model for match in fitting)}; name "
            "one with --model"
        )
    if fitting:
        return fitting[0]
    raise WeightsError(_mismatch(checkpoint, layout, matches))


def _candidates(tensors: State, layout: Layout | None) -> list[str]:
    if layout is not None:
        return [name for family in layout.families for name in list_models(f"{family}_x[234]")]
    # Every network of ours has a head; building all of them takes seconds.
    return list_models() if "head.weight" in tensors else []


def _is_training(content: Any) -> bool:
    """Whether a checkpoint is one of our trainings."""
    return isinstance(content, dict) and {"id", "recipe", "position"} <= content.keys()


def _settings(checkpoint: Checkpoint, model_id: str) -> dict[str, Setting]:
    """What a training of ours changed in the configuration of its model."""
    content = checkpoint.content
    if not _is_training(content) or content["id"] != model_id:
        return {}
    return make_recipe(content["recipe"], source=str(checkpoint.path)).settings


def _skeleton(model_id: str, settings: dict[str, Setting]) -> SuperResolutionModel:
    """A model without values."""
    with torch.device("meta"):
        return configured_model(model_id, settings)


def _match(checkpoint: Checkpoint, model_id: str, layout: Layout | None) -> _Match | None:
    """How the tensors fit a model, by the names of ``layout`` or ours; None where it is of another kind altogether."""
    tensors = checkpoint.tensors
    skeleton = _skeleton(model_id, _settings(checkpoint, model_id))
    wanted = skeleton.state_dict()
    own = tensors.keys() & wanted.keys()
    if layout is None or (own and len(own) == len(tensors)):
        return _matched(tensors, wanted, [same(name, name) for name in wanted], model_id, OWN_LAYOUT)
    if not any(model_id.startswith(f"{family}_") for family in layout.families):
        return _matched(tensors, wanted, [same(name, name) for name in wanted], model_id, OWN_LAYOUT)
    return _matched(tensors, wanted, list(layout.entries(tensors, skeleton)), model_id, layout.name)


def _matched(tensors: State, wanted: State, entries: list[Entry], model_id: str, layout: str) -> _Match:
    state: State = {}
    missing: list[str] = []
    shapes: list[str] = []
    for entry in entries:
        absent = [name for name in entry.theirs if name not in tensors]
        missing += absent
        if absent or not entry.ours:
            continue
        given = [tensors[name] for name in entry.theirs]
        shape = wanted[entry.ours].shape
        try:
            made = entry.convert(given).to(wanted[entry.ours].dtype).contiguous()
        except RuntimeError:  # a reshape or a stack of what has another size
            made = given[0]
        if made.shape == shape:
            state[entry.ours] = made
        else:
            shapes.append(f"{entry.theirs[0]} {tuple(given[0].shape)}, expected {tuple(shape)}")
    used = {name for entry in entries for name in entry.theirs}
    return _Match(model_id, layout, state, missing, sorted(tensors.keys() - used), shapes)


def _mismatch(checkpoint: Checkpoint, layout: Layout | None, matches: list[_Match]) -> str:
    """What did not match, of the model that it comes nearest to."""
    where = f" (under '{'.'.join(checkpoint.containers)}')" if checkpoint.containers else ""
    subject = f"the {len(checkpoint.tensors)} tensors of {checkpoint.path}{where}"
    if not matches:
        known = ", ".join(one.name for one in LAYOUTS)
        return (
            f"{subject} have the names of no known network: {_listed(list(checkpoint.tensors))}; expected those of "
            f"bitsr or of the public code of {known}; --model ID shows what does not fit a model"
        )
    nearest = min(matches, key=lambda match: match.problems)
    names = f" by the names of {layout.name}" if layout is not None and layout.name == nearest.layout else ""
    near = f", the nearest of {len(matches)} models," if len(matches) > 1 else ""
    kinds = {"missing": nearest.missing, "unexpected": nearest.unexpected, "of another shape": nearest.shapes}
    found = "; ".join(f"{len(items)} {kind}: {_listed(items)}" for kind, items in kinds.items() if items)
    return (
        f"{subject} do not fit '{nearest.model}'{near}{names}: {found}; choose another model (--model), another part "
        "of the file (--key), or register the network in its size"
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")


def _description(checkpoint: Checkpoint, model_id: str) -> WeightsInfo:
    """Of a training of ours what its checkpoint tells; of another the name alone."""
    content = checkpoint.content
    if not _is_training(content):
        return WeightsInfo(model=model_id)
    recipe = make_recipe(content["recipe"], source=str(checkpoint.path))
    return WeightsInfo(
        model=model_id,
        settings=_settings(checkpoint, model_id),
        steps=int(content["position"]["step"]),
        recipe=recipe.to_yaml(),
        data=[folder.name for folder in recipe.data.train],
    )


def _latents(model: SuperResolutionModel) -> Iterator[Tensor]:
    return (layer.weight.detach() for layer in model.modules() if isinstance(layer, BinaryConv2d))


def _remark_zeros(model: SuperResolutionModel) -> None:
    zeros = sum(int((weight == 0).sum()) for weight in _latents(model))
    if zeros:
        log.warning(
            "%d weights of binary layers are exactly 0: torch.sign makes 0 of them, bitsr +1; the network computes "
            "something else where they are many",
            zeros,
        )
