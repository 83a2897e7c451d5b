"""Weights files: safetensors with the model id, the recipe and measured figures in the header.

The trained weights of the package lie in this folder, packed (:mod:`bitsr.training.weights.packing`), with their model
cards and a table of their checksums.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bitsr.artifact.weights import (
    CHECKSUMS,
    FORMAT,
    WeightsInfo,
    checksum,
    embedded_weights,
    names_file,
    read_checksums,
    read_weights_info,
)
from bitsr.common.errors import UsageError, WeightsError
from bitsr.common.files import atomic_write
from bitsr.training.models import SuperResolutionModel, configuration, configured_model, create_model, list_models
from bitsr.training.weights.packing import packed_tensors, unpacked


def write_checksum(path: Path) -> None:
    """Enter a weights file into the table of its folder."""
    table = {**read_checksums(path.parent), path.name: checksum(path)}
    with atomic_write(path.parent / CHECKSUMS) as temporary:
        lines = [f"{digest}  {name}\n" for name, digest in sorted(table.items())]
        temporary.write_text("".join(lines), encoding="utf-8")


def save_weights(path: Path | str, state: dict[str, Tensor], info: WeightsInfo) -> None:
    """Write weights atomically, in the precision they have."""
    _write(Path(path), {name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}, info, packed={})


def save_packed(path: Path | str, model: SuperResolutionModel, info: WeightsInfo) -> None:
    """Write what a model computes with, atomically: signs and scales of its binary layers, all else in float16.

    Raises:
        WeightsError: a value is beyond the range of float16.
    """
    tensors, packed = packed_tensors(model)
    _write(Path(path), tensors, info, packed=packed)


def _write(path: Path, tensors: dict[str, Tensor], info: WeightsInfo, *, packed: dict[str, list[int]]) -> None:
    metadata = {"format": FORMAT, "info": json.dumps(asdict(info)), "packed": json.dumps(packed)}
    with atomic_write(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def read_weights(path: Path | str) -> tuple[WeightsInfo, dict[str, Tensor]]:
    """Header and tensors of a weights file; floating-point tensors come as float32.

    Raises:
        WeightsError: missing, broken, or not written by bitsr.
    """
    path = Path(path)
    info = read_weights_info(path)
    try:
        with safe_open(path, framework="pt") as file:
            # Weights in full precision have nothing packed, and files of bitsr 0.1.0 do not say so.
            packed = json.loads((file.metadata() or {}).get("packed", "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
    except (SafetensorError, OSError) as error:
        raise WeightsError(
            f"cannot read the weights file {path}: {error}; expected a complete .safetensors file written by bitsr"
        ) from error
    state = unpacked(state, packed)
    return info, {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in state.items()}


def load_weights(model: SuperResolutionModel, path: Path | str) -> WeightsInfo:
    """Load a weights file into a model of the same id.

    Raises:
        WeightsError: broken, of another model or scale, not finite, or tensors that do not fit.
    """
    info, state = read_weights(path)
    if info.model != model.info.id:
        raise WeightsError(
            f"{path} holds weights of '{info.model}', expected '{model.info.id}'; "
            f"use the model '{info.model}' or other weights"
        )
    theirs = _configuration(info, path=path)
    other = [name for name, value in theirs.items() if model.info.config.get(name) != value]
    if other:
        raise WeightsError(
            f"{path} holds weights of '{info.model}' whose {other[0]} is {theirs[other[0]]!r}, got a model whose "
            f"{other[0]} is {model.info.config.get(other[0])!r}; create it with the same settings"
        )
    broken = [name for name, tensor in state.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise WeightsError(
            f"{path} holds values that are not finite in {len(broken)} tensors, the first is {broken[0]}; use weights "
            "of a training that did not diverge"
        )
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise WeightsError(
            f"the tensors of {path} do not fit '{info.model}': {' '.join(str(error).split())}"
        ) from error
    return info


def _configuration(info: WeightsInfo, *, path: Path | str) -> dict[str, Any]:
    """The configuration of the network that weights are of."""
    try:
        return configuration(info.model, info.settings)
    except UsageError as error:
        raise WeightsError(f"the settings in the weights file {path} are not valid: {error}") from error


def load_model(id_or_path: str | Path, *, scale: int | None = None) -> SuperResolutionModel:
    """A trained model in evaluation mode: by id with the embedded weights, or from a weights file.

    Raises:
        UnknownNameError: neither a file nor a model id.
        WeightsError: no or unusable weights.
        UsageError: ``scale`` contradicts the weights.
    """
    name = str(id_or_path)
    path = Path(name)
    if name in list_models():
        path = embedded_weights(name)
    elif not names_file(name):
        create_model(name)  # Raises the error that suggests the nearest id.
    info = read_weights_info(path)
    if info.settings:
        _configuration(info, path=path)
    model = configured_model(info.model, info.settings)
    load_weights(model, path)
    if scale is not None and scale != model.info.scale:
        raise UsageError(f"{name} is a x{model.info.scale} model, but scale {scale} was asked for")
    return model.eval()


@dataclass(frozen=True)
class Transfer:
    """What :func:`transfer_weights` did with each tensor of the target model."""

    taken: list[str]
    fresh: list[str]
    ignored: list[str]


def transfer_weights(model: SuperResolutionModel, path: Path | str) -> Transfer:
    """Take every tensor of a file whose name and shape fit; all others of the model keep their initial values.

    Raises:
        WeightsError: the file is broken, or not a single tensor fits.
    """
    info, source = read_weights(path)
    target: dict[str, Any] = model.state_dict()
    taken = [k for k, v in target.items() if k in source and source[k].shape == v.shape]
    if not taken:
        raise WeightsError(f"no tensor of {path} ('{info.model}') fits '{model.info.id}'; use weights of its family")
    model.load_state_dict({k: source[k] for k in taken}, strict=False)
    return Transfer(
        taken=taken,
        fresh=[k for k in target if k not in taken],
        ignored=[k for k in source if k not in taken],
    )
