"""What is exported: the module, and the facts that its sidecar carries."""

from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Literal

import torch
from torch import nn

from bitsr.artifact.weights import WeightsInfo, embedded_weights, read_weights_info
from bitsr.common.errors import UsageError
from bitsr.training.models import SuperResolutionModel
from bitsr.training.weights import load_model


@dataclass(frozen=True)
class ExportSource:
    """A module with its name, and the facts of it that are known: ``radius`` in low-resolution pixels, ``weights``."""

    name: str
    module: nn.Module
    scale: int
    radius: int
    global_pooling: bool
    channel_order: Literal["RGB", "any"]
    weights: WeightsInfo | None


def find_source(
    model: str | nn.Module, *, weights: Path | str | None, name: str | None, scale: int | None
) -> ExportSource:
    """A model id with its weights, or a module; arguments and errors are those of ``export_model``."""
    if isinstance(model, str):
        loaded: nn.Module = load_model(model if weights is None else weights)
        path = embedded_weights(model) if weights is None else Path(weights)
        known = read_weights_info(path)
        if known.model != model:
            raise UsageError(
                f"{weights} holds weights of '{known.model}', but '{model}' is to be exported; "
                f"export '{known.model}', or give weights of '{model}'"
            )
    elif weights is not None:
        raise UsageError("weights are for a model id; load them into the module before exporting it")
    else:
        loaded, known = model, None
    if isinstance(loaded, SuperResolutionModel):
        if scale is not None and scale != loaded.scale:
            raise UsageError(
                f"'{loaded.name}' is a x{loaded.scale} model, but scale {scale} was asked for; "
                f"leave the scale out, or export a x{scale} model"
            )
        return ExportSource(
            name or loaded.name,
            loaded,
            loaded.scale,
            loaded.receptive_field_radius,
            loaded.global_pooling,
            "RGB",
            known,
        )
    if name is None or scale is None:
        raise UsageError(f"{type(loaded).__name__} is no registered model; give its name and scale")
    return ExportSource(name, loaded, scale, 0, False, "any", known)


def weights_digest(state: dict[str, torch.Tensor]) -> str:
    """SHA-256 over names, shapes, types and values of a state dict, in the order of the names."""
    digest = sha256()
    for name in sorted(state):
        tensor = state[name].detach().cpu().contiguous()
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()
