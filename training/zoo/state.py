"""The state of a training in a file small enough for the repository, and back into a checkpoint.

Latent weights are float16, the optimizers' moments bfloat16 (squares of gradients are too small for float16), all else
as it is. The running average is left out: it starts anew from the weights.
"""

import json
from dataclasses import replace
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from bitsr.common.errors import TrainingError
from bitsr.common.files import atomic_write, make_folder
from bitsr.training.layers import BinaryConv2d
from bitsr.training.models import SuperResolutionModel, configured_model
from bitsr.training.optimizers import make_optimizers
from bitsr.training.recipe import Recipe
from bitsr.training.run import Position, RunFolder, read_checkpoint

FORMAT = "bitsr-training-1"
MODEL = "model/"
_ADAM = ("step", "exp_avg", "exp_avg_sq")
# What each optimizer keeps of a parameter.
MOMENTS = {"Adam": _ADAM, "AdamW": _ADAM, "Muon": ("velocity",)}


def save_state(checkpoint: Path, target: Path, recipe: Recipe) -> None:
    """Write the state of a checkpoint, atomically.

    Raises:
        TrainingError: the checkpoint is broken.
    """
    content = read_checkpoint(checkpoint)
    model = configured_model(recipe.model, recipe.settings)
    latent = {f"{name}.weight" for name, layer in model.named_modules() if isinstance(layer, BinaryConv2d)}
    tensors = {MODEL + name: t.half() if name in latent else t for name, t in content["model"].items()}
    optimizers = make_optimizers(model, recipe.optimizer)
    for optimizer, names, saved in zip(optimizers, _names(model, optimizers), content["optimizers"], strict=True):
        kind = type(optimizer).__name__
        for index, moments in saved["state"].items():
            for key in MOMENTS[kind]:
                value = moments[key]
                tensors[f"{kind}/{key}/{names[index]}"] = value.bfloat16() if value.dim() else value
    metadata = {"format": FORMAT, "id": recipe.model, "position": json.dumps(content["position"])}
    make_folder(target.parent)
    with atomic_write(target) as temporary:
        save_file({name: t.contiguous() for name, t in tensors.items()}, temporary, metadata=metadata)


def state_steps(path: Path) -> int:
    """Steps behind a state; 0 where there is no file. Errors as :func:`restore_state`."""
    return _read(path)[0].step if path.is_file() else 0


def restore_state(path: Path, run: RunFolder) -> None:
    """Write the checkpoint of ``run`` from a state, so that its training goes on with ``resume``.

    Moments of an optimizer that the recipe has no longer are left out, those that are missing start at zero.

    Raises:
        TrainingError: the state is broken or of another model.
    """
    position, model_id, tensors = _read(path)
    # The layout of the trainer's model: a fused optimizer walks weights and moments side by side through memory.
    model = configured_model(run.recipe.model, run.recipe.settings)
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        model.load_state_dict(
            {name.removeprefix(MODEL): tensor for name, tensor in tensors.items() if name.startswith(MODEL)}
        )
    except RuntimeError as error:
        raise TrainingError(
            f"the state {path} of '{model_id}' does not fit '{run.recipe.model}': {' '.join(str(error).split())}; "
            "remove it to train from the start"
        ) from error
    optimizers = make_optimizers(model, run.recipe.optimizer)
    for optimizer, names in zip(optimizers, _names(model, optimizers), strict=True):
        kind = type(optimizer).__name__
        state: dict[int, dict[str, Tensor]] = {}
        for index, name in enumerate(names):
            for key in MOMENTS[kind]:
                value = tensors.get(f"{kind}/{key}/{name}")
                if value is not None:
                    own = torch.empty_like(model.get_parameter(name)) if value.dim() else torch.empty(())
                    state.setdefault(index, {})[key] = own.copy_(value)
        optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
    run.begin()
    run.save(model, model, optimizers, replace(position, averaged_from=position.step))


def _names(model: SuperResolutionModel, optimizers: list[torch.optim.Optimizer]) -> list[list[str]]:
    """The names of each optimizer's parameters, in its order."""
    name_of = {id(parameter): name for name, parameter in model.named_parameters()}
    return [[name_of[id(p)] for group in optimizer.param_groups for p in group["params"]] for optimizer in optimizers]


def _read(path: Path) -> tuple[Position, str, dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if metadata.get("format") != FORMAT:
                raise ValueError(f"expected format {FORMAT}, found {metadata.get('format', 'none')}")
            position = Position(**json.loads(metadata["position"]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - safe_open is no mapping
            return position, metadata["id"], tensors
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise TrainingError(
            f"cannot read the state {path}: {error}; restore it from git, or remove it to train from the start"
        ) from error
